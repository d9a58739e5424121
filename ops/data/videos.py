"""The reader of whole videos: frames by PyAV, decoded in one forward pass. The decoder is known only here.

Pixels are those of a sequential `cv2.VideoCapture` decode, bit for bit: the same FFmpeg conversion (to BGR with
bicubic chroma), rotation metadata applied. Two differences: PyAV's wheel also decodes AV1, which OpenCV's opens and
cannot read; and OpenCV 5 maps wide-gamut colours (BT.2020, P3) to a screen's, where this takes them as they are.
"""

import itertools
import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray
from torch import Tensor

from ops.common.errors import MediaError, TruncatedMediaError
from ops.data.containers import checked_path, open_container, reason_of
from ops.data.decoding import decode_all, decode_needed, index_by_decoding
from ops.data.frame_source import FrameSource
from ops.data.lists import Records
from ops.data.orientation import UPRIGHT, matrix_of, orient
from ops.data.packet_index import UNKNOWN, PacketIndex
from ops.data.packet_scan import (
    MAX_PACKETS,
    READ_ERRORS,
    PacketScan,
    TooManyPacketsError,
    claimed_frames,
    missing_packets,
)
from ops.data.timestamps import frame_ticks
from ops.data.video_writer import NOMINAL_RATE

_UNSPECIFIED = 2
"""FFmpeg's number for a colour matrix that is not named."""

MAX_SECONDS = 7 * 24 * 3600
"""A week. What claims more has times that mean nothing."""


class VideoReader:
    """Opens the videos of a list. A two-column line holds path and label: the count comes from the file."""

    kind = "videos"
    decoder = f"PyAV {av.__version__}"
    counts_in_pairs = False

    def prepare(self, records: Records, root: str | Path) -> "VideoReader":
        """Nothing to find out: every video says what it is."""
        return self

    def first_file(self, path: str) -> str:
        """The video itself."""
        return path

    @contextmanager
    def open(self, path: str, num_frames: int) -> Iterator[FrameSource]:
        """Open one video; the list's `num_frames` is not needed."""
        with open_video(path) as source:
            yield source


@contextmanager
def open_video(path: str | os.PathLike[str]) -> Iterator["VideoSource"]:
    """Open the video file at `path` as a `FrameSource`; MediaError with the reason where that fails."""
    yield VideoSource(checked_path(path))


class VideoSource(FrameSource):
    """One video file. Each call of `frames` goes through it once and decodes only what the wanted frames need.

    Frame k is the k-th that a sequential decode of the intact file gives, by every method. Where a packet in the middle
    does not decode, its frame is the one before it, as players show it: later frames keep their numbers.

    One thread decodes and converts: many workers with many threads each would fight for the same cores. `claimed` is
    the number of frames that the header promises: with those whose packets are not there. `stood_in` counts the frames
    that were given so far in the place of others.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.stood_in, self._is_upright = 0, False
        with closing(self._container()) as container:
            try:
                self._scan = PacketScan(container)
            except READ_ERRORS as error:
                raise MediaError(path, reason_of(error)) from None
            except TooManyPacketsError:
                raise MediaError(path, f"more than {MAX_PACKETS} frames; cut it into shorter videos") from None
            stream = container.streams.video[0]
            missing = missing_packets(container, self._scan.packets)
            self._rate, self._tick = stream.guessed_rate or stream.average_rate, stream.time_base
        if self._scan.seconds > MAX_SECONDS:
            raise MediaError(path, f"its times span {self._scan.seconds:.0f} s, more than {MAX_SECONDS}")
        if not self._scan.packets:
            raise MediaError(path, "no frames in it")
        self._index = self._scan.index() or self._decoded_index()
        if not len(self):
            raise MediaError(path, "no frames in it")
        self.claimed = len(self) + missing

    def __len__(self) -> int:
        return self._index.length

    @cached_property
    def seconds(self) -> NDArray[np.float64]:
        """When each frame is shown and the last one ends, `[F + 1]`, counted from the first frame.

        By the file's rate, or else 25 frames in a second, where it does not time its frames.
        """
        if self._index.order is None and not self._index.decoded and (self._index.pts == UNKNOWN).any():
            self._index = self._decoded_index()  # only it tells which frames have a time
        ticks, count = frame_ticks(self._index), len(self)
        step = 1 / float(self._rate or NOMINAL_RATE)
        if ticks is None or not self._tick:
            return np.arange(count + 1, dtype=np.float64) * step
        shown = (ticks - ticks[0]) * float(self._tick)
        step = float(np.median(np.diff(shown))) if count > 1 else step
        return np.append(shown, shown[-1] + step)

    @property
    def is_timed(self) -> bool:
        """Whether frames are told by the times that the file gives them."""
        return self._scan.is_timed and self._index.order is not None and not self._index.decoded

    @property
    def may_be_interlaced(self) -> bool:
        """Whether frames may hold two fields; frames say it themselves, once they are decoded."""
        return self._scan.may_be_interlaced

    @property
    def may_change_size(self) -> bool:
        """Whether the container leaves it open that frames in the middle have another size."""
        return self._scan.may_change_size

    @property
    def shortfall(self) -> str:
        """What is wrong where fewer frames are in the file than its header promises, else ""."""
        return f"only {len(self)} of {self.claimed} frames are there" if len(self) < self.claimed else ""

    @property
    def problem(self) -> str:
        """See `FrameSource.problem`."""
        count = self.stood_in
        return f"{count} frames that were asked for do not decode; the last ones before them stand in" if count else ""

    def frames(self, indices: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        """See `FrameSource.frames`."""
        reformatter = VideoReformatter()
        for index, frame in self.wanted(indices):
            yield index, self._to_tensor(frame, reformatter)

    def wanted(self, indices: Sequence[int]) -> Iterator[tuple[int, VideoFrame]]:
        """The frames at the sorted distinct `indices` as they come from the decoder; see `FrameSource.frames`."""
        done = 0
        for item in self._needed_frames(indices):
            yield item
            done += 1
        yield from self._frames_in_sequence(indices[done:])

    def images(self) -> Iterator[NDArray[np.uint8]]:
        """Every frame up to the last that decodes, in order, upright: BGR uint8 `[h, w, 3]`, as OpenCV has them."""
        reformatter = VideoReformatter()
        for _, frame, decodes in self._numbered():
            self.stood_in += not decodes
            yield self._to_image(frame, reformatter)

    def timed_images(self) -> Iterator[tuple[float, NDArray[np.uint8]]]:
        """`images`, each with the time at which it is shown, as in `seconds`."""
        return zip(self.seconds.tolist(), self.images(), strict=False)

    def decodable(self) -> int:
        """How many frames decode; their pixels are not looked at."""
        return len(self) if self._index.decoded else sum(decodes for _, _, decodes in self._numbered())

    def _needed_frames(self, indices: Sequence[int]) -> Iterator[tuple[int, VideoFrame]]:
        """The frames at `indices` with as little decoding as they need, as far as that goes.

        It ends early, or at once, where packets do not tell which frame they give, or do not give it.
        """
        order, when = self._index.order, self._index.when
        if order is None or not self._index.from_keys or not len(indices) or max(indices) >= len(self):
            return
        wanted = order[list(indices)]
        expected = iter(zip(indices, wanted.tolist(), strict=True))
        index, target = next(expected)
        with closing(self._container(strict=True)) as container:
            try:
                for packet, frame in decode_needed(container, self._index, wanted):
                    if packet == target and not frame.is_corrupt:
                        yield index, frame
                        index, target = next(expected, (-1, -1))
                        if target < 0:
                            return
                    elif packet is None or when[packet] >= when[target]:
                        return
            except READ_ERRORS:
                return

    def _frames_in_sequence(self, indices: Sequence[int]) -> Iterator[tuple[int, VideoFrame]]:
        wanted = iter(indices)
        target = next(wanted, None)
        if target is None:
            return
        readable = 0
        for index, frame, decodes in self._numbered():
            readable = index + 1
            if index == target:
                self.stood_in += not decodes
                yield index, frame
                target = next(wanted, None)
                if target is None:
                    return
        raise TruncatedMediaError(self.path, len(self), readable)

    def _numbered(self) -> Iterator[tuple[int, VideoFrame, bool]]:
        """Every frame up to the last one that decodes, with its number, and whether it is its own.

        Where one does not decode it is the one before, or at the beginning the first one after.
        """
        ranks = self._index.ranks
        count, last = 0, None
        with closing(self._container()) as container:
            for packet, frame in decode_all(container):
                index = count if ranks is None else ranks.get(packet, -1)
                if index < count:
                    self._index = self._decoded_index()
                    yield from itertools.islice(self._numbered(), count, None)
                    return
                for missing in range(count, index):
                    yield missing, last or frame, False
                yield index, frame, True
                count, last = index + 1, frame

    def _decoded_index(self) -> PacketIndex:
        with closing(self._container()) as container:
            return index_by_decoding(container, self._scan)

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
                raise MediaError(self.path, reason_of(error)) from None
        if self._is_upright and not frame.rotation:  # looked up in the first frame, for that takes a while
            return np.ascontiguousarray(bgr)
        matrix = matrix_of(frame)
        self._is_upright = matrix == UPRIGHT
        return orient(bgr, matrix)

    def _container(self, strict: bool = False) -> "av.container.InputContainer":
        return open_container(self.path, strict)


def header_count(path: str | os.PathLike[str]) -> int:
    """How many frames the file's header claims, 0 where it does not say; MediaError where it is no video.

    Cheap, for nothing else is read, and not to be trusted: the file may be cut short.
    """
    with closing(open_container(checked_path(path))) as container:
        return claimed_frames(container)


def _to_bgr(frame: VideoFrame, reformatter: VideoReformatter) -> NDArray[np.uint8]:
    bgr = reformatter.reformat(frame, format="bgr24", interpolation=Interpolation.BICUBIC, threads=1)
    pixels: NDArray[np.uint8] = bgr.to_ndarray().astype(np.uint8, copy=False)
    return pixels
