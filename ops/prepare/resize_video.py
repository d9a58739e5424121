"""Resizing videos so that they are small and fast to read: a smaller short side, and frequent key frames."""

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av

from ops.common.errors import MediaError
from ops.common.storage import stamp_of
from ops.data.video_writer import Encoding, write_video
from ops.data.videos import open_video
from ops.prepare.image_folders import Image, resize_image
from ops.prepare.options import Size
from ops.prepare.output_paths import whole_file

OURS = "resized for training"
"""The comment in files written here, by which they are recognised."""


@dataclass(frozen=True)
class ResizeOptions:
    """How videos are encoded: H.264 with `crf` and `preset`, a key frame at least every `gop` frames.

    The short side becomes `size` pixels if it is longer, or in any case with `upscale`.
    """

    size: int = 256
    gop: int = 16
    crf: int = 23
    preset: str = "veryfast"
    upscale: bool = False


def video_file(item: str) -> str:
    """The output path of the video `item`: its own path with the extension .mp4."""
    return os.path.splitext(item)[0] + ".mp4"


def resize_video(path: str, item: str, out: str, options: ResizeOptions) -> dict[str, Any]:
    """Encode the video at `path`, whose item is `item`, as a file in `out`: no sound, upright, 8 bits, 4:2:0.

    It has all frames up to the last that can be decoded, at their times. Returns `decoded`, `claimed` (frames),
    `before` and `after` (width, height, bytes), and `made`, the file's `stamp_of`. MediaError if no frame can be
    decoded.
    """
    name = video_file(item)
    with open_video(path) as source, whole_file(out, name, is_resized) as temporary:
        claimed = source.claimed
        frames, shape, size = _encode(path, source.timed_images(), temporary, options)
        with open_video(temporary) as made:
            if len(made) != frames:
                raise MediaError(path, f"{frames} frames became {len(made)} in the new file")
        decoded = frames - source.stood_in
        before = [shape[1], shape[0], os.stat(path).st_size]
        after = [size[1], size[0], os.stat(temporary).st_size]
    stamp = stamp_of(os.path.join(out, name))
    return {"decoded": decoded, "claimed": claimed, "before": before, "after": after, "made": stamp}


def target_size(height: int, width: int, options: ResizeOptions) -> tuple[int, int]:
    """Height and width of the result: the aspect ratio of the source, as closely as even numbers allow."""
    short = min(height, width)
    scale = options.size / short if short > options.size or options.upscale else 1.0
    return max(2, 2 * round(height * scale / 2)), max(2, 2 * round(width * scale / 2))


def _encode(
    path: str, frames: Iterator[tuple[float | None, Image]], target: str, options: ResizeOptions
) -> tuple[int, tuple[int, ...], tuple[int, int]]:
    """Write `frames` to the file `target`; returns their number, the shape of the first, and the new size."""
    first = next(frames, None)
    if first is None:
        raise MediaError(path, "none of its frames can be decoded")
    shape = first[1].shape
    height, width = target_size(shape[0], shape[1], options)
    size = Size(width, height)
    sized = ((time, resize_image(image, size)) for time, image in itertools.chain([first], frames))
    encoding = Encoding(options.crf, options.preset, options.gop)
    return write_video(target, sized, encoding, path, OURS), shape, (height, width)


def is_resized(path: str) -> bool:
    """Whether the file at `path` is a video that was written here."""
    if not Path(path).is_file():
        return False
    try:
        with av.open("file:" + path) as container:
            return container.metadata.get("comment") == OURS
    except (av.error.FFmpegError, ValueError):
        return False
