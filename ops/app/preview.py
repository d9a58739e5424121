"""A small copy of a video that every browser can play, whatever the format of the video."""

import itertools
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from ops.data.video_writer import Encoding, Image, write_video
from ops.data.videos import open_video

SIDE = 360
"""The short side of the copy is at most as long, in pixels."""

MOST_FRAMES = 1800
"""The copies of longer videos leave out frames: a minute has all of them, and five minutes every fifth."""


@dataclass(frozen=True)
class Preview:
    """An H.264 copy of a video, MP4, without sound; `step`: it has every `step`-th frame."""

    content: bytes
    width: int
    height: int
    step: int


def make_preview(path: str | os.PathLike[str]) -> Preview:
    """The copy of the video at `path`, upright, each frame at its time; MediaError if nothing can be read."""
    size = (0, 0)

    def small(frames: Iterator[tuple[float, Image]]) -> Iterator[tuple[float, Image]]:
        nonlocal size
        for time, image in frames:
            size = size if any(size) else preview_size(*image.shape[:2])
            yield time, np.asarray(cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA), np.uint8)

    with open_video(path) as source, tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        step = -(-len(source) // MOST_FRAMES)
        frames = itertools.islice(source.timed_images(), 0, None, step)
        write_video(file.name, small(frames), Encoding(crf=26, gop=15, threads=0), os.fspath(path))
        return Preview(file.read(), size[1], size[0], step)


def preview_size(height: int, width: int) -> tuple[int, int]:
    """Height and width of the copy, both even: x264 needs that."""
    scale = min(1.0, SIDE / min(height, width), 4 * SIDE / max(height, width))
    return max(2, 2 * round(height * scale / 2)), max(2, 2 * round(width * scale / 2))
