"""Videos made small and quick to read: a short side of few pixels, and key frames close to each other."""

import errno
import os
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av

from ops.errors import InputError, MediaError
from ops.prepare.images import Image, Size
from ops.prepare.journal import stamp_of
from ops.prepare.outputs import whole_file
from ops.videos import open_video

PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")
CLOCK = 90000
"""Ticks of a second in which frames are timed: the usual frame rates fit."""

NOMINAL_RATE = 25
"""Frames per second where a file times none."""

OURS = "resized for training"
"""The comment in the files made here, by which they are known."""

_NO_PLACE = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EIO, errno.EFBIG)


@dataclass(frozen=True)
class ResizeOptions:
    """How videos are encoded: H.264 with `crf` and `preset`, a key frame at least every `gop` frames.

    The short side becomes `size` pixels where it is longer, or in any case with `upscale`.
    """

    size: int = 256
    gop: int = 16
    crf: int = 23
    preset: str = "veryfast"
    upscale: bool = False


def video_file(item: str) -> str:
    """Where the video `item` goes: its own path, ending in .mp4."""
    return os.path.splitext(item)[0] + ".mp4"


def resize_video(path: str, item: str, out: str, options: ResizeOptions) -> dict[str, Any]:
    """Encode the video at `path`, which is called `item`, as a file in `out`: no sound, upright, 8 bits, 4:2:0.

    As many frames as decode, at their times. Returns `decoded`, `claimed` (frames), `before` and `after` (width,
    height, bytes), and `made`, the file's `stamp_of`. MediaError where no frame decodes.
    """
    name = video_file(item)
    with open_video(path) as source, whole_file(out, name, _is_ours) as temporary:
        claimed = source.claimed
        decoded, shape, size = _encode(path, source.timed_images(), temporary, options)
        with open_video(temporary) as made:
            if len(made) != decoded:
                raise MediaError(path, f"{decoded} frames became {len(made)} in the new file")
        before = [shape[1], shape[0], os.stat(path).st_size]
        after = [size[1], size[0], os.stat(temporary).st_size]
    stamp = stamp_of(os.path.join(out, name))
    return {"decoded": decoded, "claimed": claimed, "before": before, "after": after, "made": stamp}


def target_size(height: int, width: int, options: ResizeOptions) -> tuple[int, int]:
    """Height and width to encode at: the aspect of the source, as closely as even numbers allow."""
    short = min(height, width)
    scale = options.size / short if short > options.size or options.upscale else 1.0
    return max(2, 2 * round(height * scale / 2)), max(2, 2 * round(width * scale / 2))


def _encode(
    path: str, frames: Iterable[tuple[float | None, Image]], target: str, options: ResizeOptions
) -> tuple[int, tuple[int, ...], tuple[int, int]]:
    """Write `frames` to the file `target`: their number, the first one's shape, and the size they were given."""
    count, shape, size = 0, (0, 0), (0, 0)
    first, last, step = 0.0, -1, CLOCK // NOMINAL_RATE
    try:
        with av.open("file:" + target, "w", format="mp4", container_options={"movflags": "faststart"}) as container:
            container.metadata["comment"] = OURS
            stream: Any = None
            for time, image in frames:
                if stream is None:
                    shape, size, first = image.shape, target_size(image.shape[0], image.shape[1], options), time or 0.0
                    stream = _add_stream(container, size, options)
                frame = _to_frame(image, size)
                now = last + step if time is None else max(last + 1, round((time - first) * CLOCK))
                last, step = now, now - last if count else step
                frame.pts, frame.duration, frame.time_base = now, step, Fraction(1, CLOCK)
                container.mux(stream.encode(frame))
                count += 1
            if stream is None:
                raise MediaError(path, "no frame of it decodes")
            container.mux(stream.encode(None))
    except av.error.FFmpegError as error:
        if error.errno in _NO_PLACE:
            raise InputError(f"{target}: cannot be written ({error.strerror})") from None
        raise MediaError(path, f"cannot be encoded ({error.strerror})") from None
    return count, shape, size


def _add_stream(container: "av.container.OutputContainer", size: tuple[int, int], options: ResizeOptions) -> Any:
    """One thread, and no macroblock tree, whose bytes can differ from one run to the next.

    No other frame refers to three of four: a reader that wants a few of many leaves the rest of them out.
    """
    stream: Any = container.add_stream("libx264", rate=NOMINAL_RATE)
    stream.height, stream.width = size
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    context.gop_size, context.max_b_frames, context.thread_count = options.gop, 3, 1
    context.time_base = stream.time_base = Fraction(1, CLOCK)
    context.options = {
        "crf": str(options.crf),
        "preset": options.preset,
        "x264-params": "mbtree=0:b-adapt=0:b-pyramid=none",
    }
    return stream


def _to_frame(image: Image, size: tuple[int, int]) -> av.VideoFrame:
    """`image` (BGR `[h, w, 3]`) at `size` (height, width), as the encoder takes it."""
    sized = Size(size[1], size[0]).apply(image)
    return av.VideoFrame.from_ndarray(sized, format="bgr24").reformat(format="yuv420p", threads=1)


def _is_ours(path: str) -> bool:
    try:
        with av.open("file:" + path) as container:
            return container.metadata.get("comment") == OURS
    except (av.error.FFmpegError, ValueError):
        return False
