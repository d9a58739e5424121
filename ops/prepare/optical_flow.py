"""Computing the optical flow between the frames of a video, as images in a folder of its own."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ops.common.errors import MediaError
from ops.common.storage import stamp_of
from ops.common.text import counted
from ops.data.dataset_configs import DATASETS
from ops.data.frames import FolderSource, FrameTemplate, template_in
from ops.data.videos import VideoSource, open_video
from ops.prepare.image_folders import Image, resize_image, write_image
from ops.prepare.options import FLOW_PRESETS, Size
from ops.prepare.output_paths import image_folder, names_by, whole_folder

Flow = NDArray[np.float32]
"""Motion from one frame to the next in pixels, `[h, w, 2]`: x to the right, y down."""

_PRESETS = dict(
    zip(
        FLOW_PRESETS,
        (
            cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
            cv2.DISOPTICAL_FLOW_PRESET_FAST,
            cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
        ),
        strict=True,
    )
)


@dataclass(frozen=True)
class FlowOptions:
    """How flow is computed and written.

    `template` gives the names of the files (see `ops.data.frames.FrameTemplate`): an image per axis or, without
    `{axis}`, one with x in red and y in green. `frames` is the template of the frames that are read; if `named`, no
    other names are accepted. `bound` is the motion in pixels at which values are clipped; frames are first resized to
    `size` (None: unchanged).
    """

    method: str = "dis"
    preset: str = "medium"
    template: str = DATASETS["custom"].flow
    bound: float = 20.0
    size: Size | None = None
    quality: int = 95
    keep_dirs: bool = False
    frames: str = DATASETS["custom"].rgb
    named: bool = False


def extract_flow(path: str, item: str, out: str, options: FlowOptions) -> dict[str, Any]:
    """Write the flow of the video or frame folder at `path`, whose item is `item`, as images to a folder in `out`.

    There are as many images as frames, so that one list fits both: image i is the motion from frame i to the next,
    and the last one repeats the one before. Returns the same as `extract_frames.extract_video`. MediaError
    if there are fewer than two frames.
    """
    name = image_folder(item, options.keep_dirs, os.path.isdir(path))
    template = FrameTemplate(options.template)
    compute = flow_method(options.method, options.preset)
    flow: Flow | None = None
    previous: Image | None = None
    decoded = 0
    with (
        _gray_frames(path, options.frames, options.named) as (claimed, frames, video),
        whole_folder(out, name, options.template) as folder,
    ):
        for frame in frames:
            sized = resize_image(frame, options.size) if options.size else frame
            if previous is not None:
                sized = _match(sized, previous)
                flow = compute(previous, sized)
                _write(folder, name, template, decoded - 1, flow, options)
            previous, decoded = sized, decoded + 1
        if flow is None:
            raise MediaError(path, f"{counted(decoded, 'frame')} can be decoded, but two are needed for motion")
        _write(folder, name, template, decoded - 1, flow, options)
    stood_in = video.stood_in if video else 0
    made = stamp_of(os.path.join(out, name))
    return {"frames": decoded, "decoded": decoded - stood_in, "claimed": claimed, "made": made}


def flow_method(method: str, preset: str) -> Callable[[Image, Image], Flow]:
    """The function from two grey frames `[h, w]` to the flow between them; `preset` is for DIS."""
    if method == "dis":
        dis: Any = cv2.DISOpticalFlow.create(_PRESETS[preset])
        return lambda one, other: dis.calc(one, other, None)
    farneback: Any = cv2.calcOpticalFlowFarneback
    return lambda one, other: farneback(one, other, None, 0.5, 5, 13, 10, 5, 1.1, 0)


def flow_to_pixels(flow: Flow, bound: float) -> Image:
    """`flow` in pixels, clipped at ±`bound` → uint8 of the same shape: round((flow + bound) · 255 / (2 · bound)).

    No motion is 128 (127.5, rounded to even), -bound is 0 and bound is 255.
    """
    pixels: Image = np.rint((np.clip(flow, -bound, bound) + bound) * (255 / (2 * bound))).astype(np.uint8)
    return pixels


def _write(folder: str, name: str, template: FrameTemplate, index: int, flow: Flow, options: FlowOptions) -> None:
    """The paths of the images of frame `index` in `folder`, with the names for the final folder `name`."""
    pixels = flow_to_pixels(flow, options.bound)
    x, y = pixels[..., 0], pixels[..., 1]
    both = np.stack([np.full_like(x, 128), y, x], axis=2)  # BGR
    for axis, image in zip(template.axes, (x, y) if len(template.axes) == 2 else (both,), strict=True):
        try:
            path = os.path.join(folder, template.name(name, index, axis))
        except ValueError:
            raise MediaError(name, f"{template.pattern} needs a video whose name is a number") from None
        write_image(path, image, options.quality, full_colour=True)


def _match(frame: Image, like: Image) -> Image:
    """`frame` resized to the size of `like`, because sizes can change within a video."""
    return resize_image(frame, Size(like.shape[1], like.shape[0]))


@contextmanager
def _gray_frames(path: str, pattern: str, named: bool) -> Iterator[tuple[int, Iterator[Image], VideoSource | None]]:
    """The claimed number of frames of a video or frame folder, its grey frames `[h, w]`, and the video, if any."""
    if os.path.isdir(path):
        yield *_folder_frames(path, pattern, named), None
        return
    with open_video(path) as source:
        yield source.claimed, (_gray(image, cv2.COLOR_BGR2GRAY) for image in source.images()), source


def _folder_frames(path: str, pattern: str, named: bool) -> tuple[int, Iterator[Image]]:
    """For a frame folder: the number of images named like frames, and the images before the first gap."""
    template = template_in(path, pattern, flow=False, named=named)
    names, alike = set(os.listdir(path)), names_by(template.pattern)
    extension = os.path.splitext(template.pattern)[1]
    claimed = sum(name.endswith(extension) and alike.fullmatch(name) is not None for name in names)
    count = 0
    while template.name(path, count) in names:
        count += 1
    frames = FolderSource(path, count, template, flow=False).frames(range(count))
    return claimed, (_gray(rgb.permute(1, 2, 0).numpy(), cv2.COLOR_RGB2GRAY) for _, rgb in frames)


def _gray(image: Image, conversion: int) -> Image:
    convert: Any = cv2.cvtColor
    gray: Image = convert(image, conversion)
    return gray
