"""Writing videos: 8-bit H.264, without sound, each frame with its own timestamp."""

import errno
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from ops.common.errors import InputError, MediaError

Image = NDArray[np.uint8]

CLOCK = 90000
"""Ticks per second of timestamps: a multiple of the usual frame rates."""

NOMINAL_RATE = 25
"""Frames per second if there are no timestamps."""

FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
"""File extensions of videos that can be written, and FFmpeg's name for each container."""

_NO_PLACE = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EIO, errno.EFBIG)


@dataclass(frozen=True)
class Encoding:
    """Settings of x264: quality `crf` from 0 (best) to 51, `preset`, a key frame at least every `gop` frames.

    `threads` 0 means one per core; `format` is one of FFmpeg's names in `FORMATS`.
    """

    crf: int = 23
    preset: str = "veryfast"
    gop: int = 16
    threads: int = 1
    format: str = "mp4"


def write_video(
    target: str,
    frames: Iterable[tuple[float | None, Image]],
    encoding: Encoding,
    source: str,
    comment: str = "",
    name: str = "",
) -> int:
    """Write `frames`, BGR uint8 `[h, w, 3]`, all of one even size, each with its time in seconds, to the file `target`.

    The first frame is at 0; if times are None or decrease, the previous frame interval is repeated. Returns the number
    of frames. MediaError for `source` if there are no frames or x264 rejects them; InputError for `name` (default:
    `target`) if the file cannot be written. After an error, the file at `target` is unusable.
    """
    count, last, step, first = 0, -1, CLOCK // NOMINAL_RATE, 0.0
    options = {"movflags": "faststart"} if encoding.format in ("mp4", "mov") else {}
    try:
        with av.open("file:" + target, "w", format=encoding.format, container_options=options) as container:
            container.metadata["comment"] = comment
            stream: Any = None
            for time, image in frames:
                if stream is None:
                    stream, first = _add_stream(container, image.shape[:2], encoding), time or 0.0
                frame = av.VideoFrame.from_ndarray(image, format="bgr24").reformat(format="yuv420p", threads=1)
                now = last + step if time is None else max(last + 1, round((time - first) * CLOCK))
                last, step = now, now - last if count else step
                frame.pts, frame.duration, frame.time_base = now, step, Fraction(1, CLOCK)
                container.mux(stream.encode(frame))
                count += 1
            if stream is None:
                raise MediaError(source, "none of its frames can be decoded")
            container.mux(stream.encode(None))
    except av.error.FFmpegError as error:
        if error.errno in _NO_PLACE:
            raise InputError(f"{name or target}: cannot be written ({error.strerror})") from None
        raise MediaError(source, f"cannot be encoded ({error.strerror})") from None
    return count


def _add_stream(container: "av.container.OutputContainer", size: tuple[int, ...], encoding: Encoding) -> Any:
    """Add the video stream. Macroblock-tree is off, because its output can differ from one run to the next.

    Three of four frames are not referenced by others, so a reader that needs only a few frames can skip the rest.
    """
    stream: Any = container.add_stream("libx264", rate=NOMINAL_RATE)
    stream.height, stream.width = size
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    context.gop_size, context.max_b_frames, context.thread_count = encoding.gop, 3, encoding.threads
    context.time_base = stream.time_base = Fraction(1, CLOCK)
    context.options = {
        "crf": str(encoding.crf),
        "preset": encoding.preset,
        "x264-params": "mbtree=0:b-adapt=0:b-pyramid=none",
    }
    return stream
