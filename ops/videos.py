"""The reader of whole videos: frames by PyAV, decoded in one forward pass. The decoder is known only here.

Pixels are those of a sequential `cv2.VideoCapture` decode, bit for bit: the same FFmpeg conversion (to BGR with
bicubic chroma), rotation metadata applied. Two differences: PyAV's wheel also decodes AV1, which OpenCV's opens and
cannot read; and OpenCV 5 maps wide-gamut colours (BT.2020, P3) to a screen's, where this takes them as they are.
"""

import math
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import torch
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray
from torch import Tensor

from ops.encoding import NOMINAL_RATE
from ops.errors import MediaError, TruncatedMediaError
from ops.packets import MAX_PACKETS, READ_ERRORS, PacketIndex, TooManyPacketsError, decode_all, decode_needed
from ops.records import Records
from ops.source import FrameSource

# Demuxers of plain media files. Playlists and other formats that name further files or URLs are not among them.
_FORMATS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "mpegts", "mpeg", "mpegvideo", "flv", "asf", "ogg",
            "gif", "ivf", "h264", "hevc", "m4v", "nut", "rm", "dv", "mxf", "wtv", "yuv4mpegpipe")  # fmt: skip
_UNSPECIFIED = 2
"""FFmpeg's number for a colour matrix that is not named."""

MAX_PIXELS = 2**26
"""Pixels of a frame: twice those of 8K video. What claims more would only fill the memory."""

MAX_SECONDS = 7 * 24 * 3600
"""A week. What claims more has times that mean nothing."""

_OPTIONS = {"format_whitelist": ",".join(_FORMATS), "protocol_whitelist": "file"}

# PyAV 18 raises on tags that are not UTF-8 unless told otherwise; 19 keeps their bytes and has no such argument.
_TAGS: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}


class VideoReader:
    """Opens the videos of a list. A two-column line holds path and label: the count comes from the file."""

    kind = "videos"
    decoder = f"PyAV {av.__version__}"
    counts_in_pairs = False

    def prepare(self, records: Records, root: str | Path) -> "VideoReader":
        """Nothing to find out: every video says what it is."""
        return self

    @contextmanager
    def open(self, path: str, num_frames: int) -> Iterator[FrameSource]:
        """Open one video; the list's `num_frames` is not needed."""
        with open_video(path) as source:
            yield source


@contextmanager
def open_video(path: str | os.PathLike[str]) -> Iterator["VideoSource"]:
    """Open the video file at `path` as a `FrameSource`; MediaError with the reason where that fails."""
    yield VideoSource(_checked(path))


def _checked(path: str | os.PathLike[str]) -> str:
    """`path` as text; MediaError unless it is a file."""
    path = os.fspath(path)
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise MediaError(path, error.strerror or "cannot be opened") from None
    except ValueError as error:
        raise MediaError(repr(path), str(error)) from None
    if not stat.S_ISREG(mode):
        raise MediaError(path, "not a regular file")
    return path


class VideoSource(FrameSource):
    """One video file. Each call of `frames` goes through it once and decodes only what the wanted frames need.

    One thread decodes and converts: many workers with many threads each would fight for the same cores. `claimed` is
    the number of frames that its header promises, or its packets, if they are more.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        with closing(self._container()) as container:
            try:
                self._index = PacketIndex(container)
            except READ_ERRORS as error:
                raise MediaError(path, _reason(error)) from None
            except TooManyPacketsError:
                raise MediaError(path, f"more than {MAX_PACKETS} frames; cut it into shorter videos") from None
            stream = container.streams.video[0]
            self.claimed = max(len(self), stream.frames - self._index.hidden)
            self._rate, self._tick = stream.guessed_rate or stream.average_rate, stream.time_base
        if not len(self):
            raise MediaError(path, "no frames in it")
        if self._index.seconds > MAX_SECONDS:
            raise MediaError(path, f"its times span {self._index.seconds:.0f} s, more than {MAX_SECONDS}")

    def __len__(self) -> int:
        return self._index.length

    @cached_property
    def seconds(self) -> NDArray[np.float64]:
        """When each frame is shown and the last one ends, `[F + 1]`, counted from the first frame.

        By the file's rate, or else 25 frames in a second, where it does not time its frames.
        """
        times, count = self._index.clock, len(self)
        if times is None or not self._tick or (count > 1 and times[-1] <= times[0]):
            return np.arange(count + 1) / float(self._rate or NOMINAL_RATE)
        shown = (times - times[0]) * float(self._tick)
        step = np.median(np.diff(shown)) if count > 1 else 1 / float(self._rate or NOMINAL_RATE)
        return np.append(shown, shown[-1] + step)

    @property
    def shortfall(self) -> str:
        """What is wrong where fewer frames are in the file than its header promises, else ""."""
        return f"only {len(self)} of {self.claimed} frames are there" if len(self) < self.claimed else ""

    def frames(self, indices: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        """See `FrameSource.frames`. Packets that do not decode are passed over."""
        reformatter = VideoReformatter()
        done = 0
        for index, frame in self._needed_frames(indices):
            yield index, self._to_tensor(frame, reformatter)
            done += 1
        for index, frame in self._frames_in_sequence(indices[done:]):
            yield index, self._to_tensor(frame, reformatter)

    def images(self) -> Iterator[NDArray[np.uint8]]:
        """Every frame that decodes, in order, upright: BGR uint8 `[h, w, 3]`, as OpenCV has them."""
        return (image for _, image in self.timed_images())

    def timed_images(self) -> Iterator[tuple[float | None, NDArray[np.uint8]]]:
        """`images`, each with the time in seconds at which it is shown, None where the file does not say."""
        with closing(self._container()) as container:
            reformatter = VideoReformatter()
            for frame in decode_all(container):
                yield frame.time, self._to_image(frame, reformatter)

    def decodable(self) -> int:
        """How many frames decode; their pixels are not looked at."""
        with closing(self._container()) as container:
            return sum(1 for _ in decode_all(container))

    def _needed_frames(self, indices: Sequence[int]) -> Iterator[tuple[int, VideoFrame]]:
        """The frames at `indices` with as little decoding as they need, as far as that goes.

        It ends early, or at once, where packets do not tell which frame they give, or do not give it.
        """
        times = self._index.times
        if times is None or not len(indices) or max(indices) >= len(self):
            return
        wanted = times[list(indices)].tolist()
        expected = iter(zip(indices, wanted, strict=True))
        index, time = next(expected)
        with closing(self._container()) as container:
            try:
                for frame in decode_needed(container, self._index.needed(wanted), set(wanted)):
                    if frame.pts == time and not frame.is_corrupt:
                        yield index, frame
                        index, time = next(expected, (-1, math.inf))
                    elif frame.pts is None or frame.pts >= time:
                        return
            except READ_ERRORS:
                return

    def _frames_in_sequence(self, indices: Sequence[int]) -> Iterator[tuple[int, VideoFrame]]:
        wanted = iter(indices)
        target = next(wanted, None)
        if target is None:
            return
        readable = 0
        with closing(self._container()) as container:
            for position, frame in enumerate(decode_all(container)):
                readable = position + 1
                if position == target:
                    yield position, frame
                    target = next(wanted, None)
                    if target is None:
                        return
        raise TruncatedMediaError(self.path, len(self), readable)

    def _to_tensor(self, frame: VideoFrame, reformatter: VideoReformatter) -> Tensor:
        """RGB uint8 `[3, h, w]`, upright; a view of `[h, w, 3]` memory (channels last)."""
        rgb = cv2.cvtColor(self._to_image(frame, reformatter), cv2.COLOR_BGR2RGB)
        return torch.from_numpy(rgb).permute(2, 0, 1)

    def _to_image(self, frame: VideoFrame, reformatter: VideoReformatter) -> NDArray[np.uint8]:
        """BGR uint8 `[h, w, 3]`, upright."""
        try:
            bgr = _to_bgr(frame, reformatter)
        except av.error.FFmpegError:
            try:  # a colour matrix that the conversion does not know: taken as if it were not named
                frame.colorspace = _UNSPECIFIED
                bgr = _to_bgr(frame, reformatter)
            except av.error.FFmpegError as error:
                raise MediaError(self.path, _reason(error)) from None
        upright = np.rot90(bgr, k=round(frame.rotation / 90)) if frame.rotation else bgr
        return np.ascontiguousarray(upright)

    def _container(self) -> "av.container.InputContainer":
        return _open_container(self.path)


def header_count(path: str | os.PathLike[str]) -> int:
    """How many frames the file's header claims, 0 where it does not say; MediaError where it is no video.

    Cheap, for nothing else is read, and not to be trusted.
    """
    with closing(_open_container(_checked(path))) as container:
        return max(0, container.streams.video[0].frames)


def _open_container(path: str) -> "av.container.InputContainer":
    try:
        container: av.container.InputContainer = av.open("file:" + path, options=dict(_OPTIONS), **_TAGS)
    except (av.error.FFmpegError, ValueError) as error:
        raise MediaError(path, _reason(error)) from None
    if not container.streams.video:
        container.close()
        raise MediaError(path, "no video stream in it")
    codec = container.streams.video[0].codec_context
    if codec is None:  # refused before anything is decoded: some PyAV releases end the process there
        container.close()
        raise MediaError(path, f"not a readable video (no decoder in PyAV {av.__version__}: re-encode it as H.264, or "
                               "fetch it again if its header was cut off)")  # fmt: skip
    if codec.width * codec.height > MAX_PIXELS:
        container.close()
        raise MediaError(path, f"frames of {codec.width} x {codec.height}, more than {MAX_PIXELS} pixels each")
    codec.thread_count = 1
    codec.options = {"max_pixels": str(MAX_PIXELS)}  # the header can lie, and sizes can change on the way
    return container


def _to_bgr(frame: VideoFrame, reformatter: VideoReformatter) -> NDArray[np.uint8]:
    bgr = reformatter.reformat(frame, format="bgr24", interpolation=Interpolation.BICUBIC, threads=1)
    pixels: NDArray[np.uint8] = bgr.to_ndarray().astype(np.uint8, copy=False)
    return pixels


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return f"not a readable video ({text})"
