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

from ops.dataset_configs import DatasetConfig
from ops.errors import InputError, MediaError, TruncatedMediaError
from ops.records import Records
from ops.source import FrameSource

# Demuxers of plain media files. Playlists and other formats that name further files or URLs are not among them.
_FORMATS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "mpegts", "mpeg", "mpegvideo", "flv", "asf", "ogg",
            "gif", "ivf", "h264", "hevc", "m4v", "nut", "rm", "dv", "mxf", "wtv", "yuv4mpegpipe")  # fmt: skip
_READ_ERRORS = (av.error.FFmpegError, IndexError)
"""What demuxing raises on damaged files; IndexError where a stream turns up that the header did not announce."""

_PIXELS_HELD = 2**26
"""How many pixels of decoded frames may be held at a time, at a byte and a half each."""

_UNSPECIFIED = 2
"""FFmpeg's number for a colour matrix that is not named."""

_OPTIONS = {"format_whitelist": ",".join(_FORMATS), "protocol_whitelist": "file"}


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


def video_reader(config: DatasetConfig, modality: str) -> VideoReader:
    """The reader of the videos of a dataset; InputError for Flow, which videos do not hold."""
    if modality != "RGB":
        raise InputError(f"videos are RGB; {modality} is trained and tested from frames (main.py, test_models.py)")
    return VideoReader()


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
    """One video file. Each call of `frames` decodes it once from the start, or, where every frame is a key frame,
    decodes just the frames asked for.

    One thread decodes and converts: many workers with many threads each would fight for the same cores.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        with closing(self._container()) as container:
            self._length, self._all_key_frames = _count_packets(path, container)

    def __len__(self) -> int:
        return self._length

    def frames(self, indices: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        """See `FrameSource.frames`. Packets that do not decode are passed over."""
        if self._all_key_frames and max(indices, default=0) < self._length:
            frames = self._key_frames(indices)
            if frames is not None:
                reformatter = VideoReformatter()
                yield from ((i, self._to_tensor(frame, reformatter)) for i, frame in zip(indices, frames, strict=True))
                return
        yield from self._frames_in_sequence(indices)

    def images(self) -> Iterator[NDArray[np.uint8]]:
        """Every frame that decodes, in order, upright: BGR uint8 `[h, w, 3]`, as OpenCV has them."""
        with closing(self._container()) as container:
            reformatter = VideoReformatter()
            for frame in _decode(container):
                yield self._to_image(frame, reformatter)

    def decodable(self) -> int:
        """How many frames decode; their pixels are not looked at."""
        with closing(self._container()) as container:
            return sum(1 for _ in _decode(container))

    def _key_frames(self, indices: Sequence[int]) -> list[VideoFrame] | None:
        """The frames at `indices`, each decoded from its packet alone.

        None where one of them does not decode, and where all of them together would fill the memory.
        """
        wanted = set(indices)
        frames: list[VideoFrame] = []
        with closing(self._container()) as container:
            stream = container.streams.video[0]
            if len(wanted) * stream.width * stream.height > _PIXELS_HELD:
                return None
            position = -1
            try:
                for packet in container.demux(stream):
                    position += _is_shown(packet)
                    if (_is_shown(packet) and position in wanted) or not packet.size:  # an empty one ends the stream
                        frames += [frame for frame in packet.decode() if isinstance(frame, VideoFrame)]
            except _READ_ERRORS:
                return None
        return frames if len(frames) == len(wanted) else None

    def _frames_in_sequence(self, indices: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        wanted = iter(indices)
        target = next(wanted, None)
        if target is None:
            return
        readable = 0
        with closing(self._container()) as container:
            reformatter = VideoReformatter()
            for position, frame in enumerate(_decode(container)):
                readable = position + 1
                if position == target:
                    yield position, self._to_tensor(frame, reformatter)
                    target = next(wanted, None)
                    if target is None:
                        return
        raise TruncatedMediaError(self.path, self._length, readable)

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
        container = av.open("file:" + path, options=dict(_OPTIONS), metadata_errors="replace")
    except (av.error.FFmpegError, ValueError) as error:
        raise MediaError(path, _reason(error)) from None
    if not container.streams.video:
        container.close()
        raise MediaError(path, "no video stream in it")
    container.streams.video[0].thread_count = 1
    return container


def _is_shown(packet: "av.Packet[Any]") -> bool:
    return packet.size > 0 and not packet.is_discard


def _count_packets(path: str, container: "av.container.InputContainer") -> tuple[int, bool]:
    """The number of video packets that are shown, and whether all are key frames in order of presentation.

    The number is exact on intact files, where a header's count can lie.
    """
    count, all_key_frames, last = 0, True, -math.inf
    try:
        for packet in container.demux(container.streams.video[0]):
            if _is_shown(packet):
                count += 1
                all_key_frames &= packet.is_keyframe and packet.pts is not None and packet.pts > last
                last = packet.pts if packet.pts is not None else last
    except _READ_ERRORS as error:
        if not count:
            raise MediaError(path, _reason(error)) from None
    if not count:
        raise MediaError(path, "no frames in it")
    return count, all_key_frames


def _decode(container: "av.container.InputContainer") -> Iterator[VideoFrame]:
    """All frames that decode, in order of presentation."""
    stream = container.streams.video[0]
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, *_READ_ERRORS):
            return
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            continue
        for frame in frames:
            if isinstance(frame, VideoFrame):
                yield frame


def _to_bgr(frame: VideoFrame, reformatter: VideoReformatter) -> NDArray[np.uint8]:
    bgr = reformatter.reformat(frame, format="bgr24", interpolation=Interpolation.BICUBIC, threads=1)
    pixels: NDArray[np.uint8] = bgr.to_ndarray().astype(np.uint8, copy=False)
    return pixels


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return f"not a readable video ({text})"
