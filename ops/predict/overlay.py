"""Writing a copy of a video with the predictions for each moment drawn on it."""

import itertools
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw

from ops.common.console import progress
from ops.common.storage import atomic_path
from ops.data.video_writer import FORMATS, Encoding, Image, write_video
from ops.data.videos import open_video
from ops.predict.fonts import font
from ops.predict.windows import Timeline

ROWS = 3
"""How many classes are shown at a time."""

LEAST = 144, 240
"""Height and width that the text needs; smaller videos are enlarged, or get a black margin."""

ENLARGED_TO = 2048
"""Videos are not enlarged beyond this side length."""

_BACK, _BAR, _FIRST, _TEXT = (0, 0, 0, 150), (90, 90, 90, 210), (31, 119, 180, 230), (255, 255, 255, 255)


@dataclass(frozen=True)
class Canvas:
    """The canvas for a video of `height` × `width`: even sides, and room for the text."""

    height: int
    width: int

    @property
    def scale(self) -> int:
        """The factor by which the video is enlarged."""
        wanted = math.ceil(max(LEAST[0] / self.height, LEAST[1] / self.width))
        return max(1, min(wanted, ENLARGED_TO // max(self.height, self.width)))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the canvas."""
        height, width = max(LEAST[0], self.height * self.scale), max(LEAST[1], self.width * self.scale)
        return height + height % 2, width + width % 2

    def place(self, image: Image) -> Image:
        """A new canvas with `image`, BGR uint8 `[h, w, 3]` of any size, at its place."""
        inner = self.height * self.scale, self.width * self.scale
        resize: Any = cv2.resize
        if image.shape[:2] != inner:
            image = resize(image, inner[::-1], interpolation=cv2.INTER_LINEAR)
        down, right = self.size[0] - inner[0], self.size[1] - inner[1]
        top, left = down // 2, right // 2  # a single line that makes a side even repeats its neighbour
        edge = cv2.BORDER_REPLICATE if max(down, right) <= 1 else cv2.BORDER_CONSTANT
        return np.asarray(cv2.copyMakeBorder(image, top, down - top, left, right - left, edge), np.uint8)


def save_overlay(target: str | os.PathLike[str], timeline: Timeline, shown: bool = False) -> int:
    """Write the video of `timeline` to `target`, atomically, each frame with the prediction of the window around it.

    H.264, upright, each frame at its time, without sound; the extension of `target` selects the container, one of
    `FORMATS`. Returns the number of frames. MediaError if nothing can be read, InputError if the file cannot be
    written.
    """
    target = os.fspath(target)
    encoding = Encoding(crf=20, gop=50, threads=0, format=FORMATS[os.path.splitext(target)[1].lower()])
    with open_video(timeline.path) as source, atomic_path(target) as temporary:
        bar = progress(source.timed_images(), len(source), "drawing", "frame", shown, leave=False)
        with bar:
            return write_video(str(temporary), _drawn(iter(bar), timeline), encoding, timeline.path, name=target)


def _drawn(frames: Iterator[tuple[float | None, Image]], timeline: Timeline) -> Iterator[tuple[float | None, Image]]:
    """`frames` with the prediction of the window whose centre is nearest to each."""
    middles = [(window.start + window.stop) / 2 for window in timeline.windows]
    edges = [(a + b) / 2 for a, b in itertools.pairwise(middles)]
    of_window = lru_cache(maxsize=2)(lambda number, canvas: _panel_of(timeline, number, canvas))
    canvas: Canvas | None = None
    for index, (time, image) in enumerate(frames):
        canvas = canvas or Canvas(*image.shape[:2])
        picture = canvas.place(image)
        blend(picture, of_window(int(np.searchsorted(edges, index, side="right")), canvas))
        yield time, picture


def _panel_of(timeline: Timeline, number: int, canvas: Canvas) -> NDArray[np.uint8]:
    top = timeline.prediction(timeline.windows[number]).top(ROWS)
    return draw_panel(top, *canvas.size, timeline.class_names or ())


def draw_panel(
    top: Sequence[tuple[str, float]], height: int, width: int, names: Sequence[str] = ()
) -> NDArray[np.uint8]:
    """A panel of classes and probabilities for the lower left of a `height` × `width` canvas: RGBA uint8 `[h, w, 4]`.

    Each class has a row with its name and probability, and a bar behind them. The font has the characters of all
    `names`.
    """
    size = max(13, round(0.035 * min(height, width) + 4))
    letters = font(names or [name for name, _ in top], size)
    row, gap = round(1.5 * size), round(0.35 * size)
    panel = Pillow.new("RGBA", (min(width, 26 * size), len(top) * row + gap), _BACK)
    draw = ImageDraw.Draw(panel)
    room = panel.width - 2 * gap
    for number, (name, share) in enumerate(top):
        y = gap // 2 + number * row
        bar = (gap, y + 1, gap + round(share * room), y + row - 2)
        draw.rectangle(bar, fill=_BAR if number else _FIRST)
        percent = f"{100 * share:.0f} %"
        space = room - 3 * gap - letters.getlength("100 %")
        middle = y + row / 2
        draw.text((2 * gap, middle), _fitting(name, letters, space), _TEXT, letters, anchor="lm")
        draw.text((panel.width - 2 * gap, middle), percent, _TEXT, letters, anchor="rm")
    return np.asarray(panel)


def blend(picture: Image, panel: NDArray[np.uint8]) -> None:
    """Blend `panel`, RGBA, over the lower left of `picture`, BGR, in place."""
    height, width = panel.shape[:2]
    below = picture[-height:, :width]
    alpha = panel[..., 3:].astype(np.uint16)
    below[...] = (panel[..., 2::-1] * alpha + below * (255 - alpha) + 127) // 255


def _fitting(name: str, letters: Any, space: float) -> str:
    """`name`, shortened so that it fits."""
    if letters.getlength(name) <= space:
        return name
    while name and letters.getlength(name + "…") > space:
        name = name[:-1]
    return name.rstrip() + "…"
