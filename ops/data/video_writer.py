"""Videos written: H.264 of 8 bits, without sound, every frame at its own time."""

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
"""Ticks of a second in which frames are timed: the usual frame rates fit."""

NOMINAL_RATE = 25
"""Frames per second where a file times none."""

FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
"""What names of videos that can be written end in, and FFmpeg's name for each container."""

_NO_PLACE = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EIO, errno.EFBIG)


@dataclass(frozen=True)
class Encoding:
    """How x264 works: quality `crf` from 0 (best) to 51, `preset`, a key frame at least every `gop` frames.

    `threads` is 0 for as many as there are cores; `format` one of FFmpeg's names in `FORMATS`.
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
    """Write `frames`, BGR uint8 `[h, w, 3]` of one even size, each with its time in seconds, to the file `target`.

    The first is at 0; where times are None or run backwards, frames follow each other as the last two did. Returns how
    many there were. MediaError, in the name of `source`, where nothing comes or x264 does not take it; InputError where
    nothing can be written, in the name of `name` (default: `target`). What is left at `target` is then of no use.
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
                raise MediaError(source, "no frame of it decodes")
            container.mux(stream.encode(None))
    except av.error.FFmpegError as error:
        if error.errno in _NO_PLACE:
            raise InputError(f"{name or target}: cannot be written ({error.strerror})") from None
        raise MediaError(source, f"cannot be encoded ({error.strerror})") from None
    return count


def _add_stream(container: "av.container.OutputContainer", size: tuple[int, ...], encoding: Encoding) -> Any:
    """No macroblock tree, whose bytes can differ from one run to the next.

    No other frame refers to three of four: a reader that wants a few of many leaves the rest of them out.
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
