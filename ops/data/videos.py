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

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray
from torch import Tensor

from ops.common.errors import MediaError, TruncatedMediaError
from ops.data.containers import checked_path, open_container
from ops.data.decoding import decode_all
from ops.data.frame_converter import FrameConverter
from ops.data.frame_source import FrameSource
from ops.data.numbered_packets import SeekError
from ops.data.packet_index import UNKNOWN, PacketIndex
from ops.data.packet_scan import claimed_frames
from ops.data.selective_decoder import SelectiveDecoder
from ops.data.timestamps import frame_ticks
from ops.data.video_index import VideoIndex, read_index
from ops.data.video_writer import NOMINAL_RATE


@contextmanager
def open_video(path: str | os.PathLike[str], index: VideoIndex | None = None) -> Iterator["VideoSource"]:
    """Open the video file at `path` as a `FrameSource`; MediaError with the reason where that fails.

    `index` is that of the very same file from an earlier time: without it all packets are read.
    """
    with closing(VideoSource(checked_path(path), index)) as source:
        yield source


class VideoSource(FrameSource):
    """One video file. Each call of `frames` goes through it once and decodes only what the wanted frames need.

    Frame k is the k-th that a sequential decode of the intact file gives, by every method. Where a packet in the middle
    does not decode, its frame is the one before it, as players show it: later frames keep their numbers.

    One thread decodes and converts: many workers with many threads each would fight for the same cores. `index` is what
    is known of the packets of the file. `claimed` is the number of frames that the header promises: with those whose
    packets are not there. `stood_in` counts the frames that were given so far in the place of others.
    """

    def __init__(self, path: str, index: VideoIndex | None = None) -> None:
        self.path, self.stood_in = path, 0
        self._converter = FrameConverter(path)
        self._decoder = SelectiveDecoder(path, known=index)
        self._is_kept = index is not None
        self.index = index or self._decoder.read_index()
        self.claimed = len(self) + self.index.missing

    def close(self) -> None:
        """Close the file."""
        self._decoder.close()

    @property
    def _index(self) -> PacketIndex:
        return self.index.packets

    def __len__(self) -> int:
        return self._index.length

    @cached_property
    def seconds(self) -> NDArray[np.float64]:
        """When each frame is shown and the last one ends, `[F + 1]`, counted from the first frame.

        By the file's rate, or else 25 frames in a second, where it does not time its frames.
        """
        if self._index.order is None and not self._index.decoded and (self._index.pts == UNKNOWN).any():
            self._decode_index()  # only then it is known which frames have a time
        ticks, count = frame_ticks(self._index), len(self)
        step = 1 / float(self.index.rate or NOMINAL_RATE)
        if ticks is None or not self.index.tick:
            return np.arange(count + 1, dtype=np.float64) * step
        shown = (ticks - ticks[0]) * float(self.index.tick)
        step = float(np.median(np.diff(shown))) if count > 1 else step
        return np.append(shown, shown[-1] + step)

    @property
    def is_timed(self) -> bool:
        """Whether frames are told by the times that the file gives them."""
        return self.index.is_timed and self._index.order is not None and not self._index.decoded

    @property
    def may_be_interlaced(self) -> bool:
        """Whether frames may hold two fields; frames say it themselves, once they are decoded."""
        return self.index.may_be_interlaced

    @property
    def may_change_size(self) -> bool:
        """Whether the container leaves it open that frames in the middle have another size."""
        return self.index.may_change_size

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
        for index, frame in self.wanted(indices):
            yield index, self._converter.tensor(frame)

    def wanted(self, indices: Sequence[int]) -> Iterator[tuple[int, VideoFrame]]:
        """The frames at the sorted distinct `indices` as they come from the decoder; see `FrameSource.frames`."""
        done = 0
        try:
            for item in self._needed_frames(indices):
                yield item
                done += 1
        except SeekError:
            self._renew_index()
            for item in self._needed_frames(indices[done:]):
                yield item
                done += 1
        yield from self._frames_in_sequence(indices[done:])

    def images(self) -> Iterator[NDArray[np.uint8]]:
        """Every frame up to the last that decodes, in order, upright: BGR uint8 `[h, w, 3]`, as OpenCV has them."""
        for _, frame, decodes in self._numbered():
            self.stood_in += not decodes
            yield self._converter.image(frame)

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
        for packet, frame in self._decoder.decode(self._index, wanted):
            if packet == target and not frame.is_corrupt:
                yield index, frame
                index, target = next(expected, (-1, -1))
                if target < 0:
                    return
            elif packet is None or when[packet] >= when[target]:
                return

    def _renew_index(self) -> None:
        """Do without seeks from now on, and without an index from an earlier time."""
        self._decoder.close()
        self._decoder = SelectiveDecoder(self.path, seeks=False)
        if self._is_kept:
            kept, self.index, self._is_kept = len(self), self._decoder.read_index(), False
            if len(self) != kept:
                raise MediaError(self.path, f"{len(self)} frames, and {kept} when its index was made")

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
        try:
            with closing(open_container(self.path)) as container:
                for packet, frame in decode_all(container, self._index if self._is_kept else None):
                    index = count if ranks is None else ranks.get(packet, -1)
                    if index < count:
                        self._decode_index()
                        break
                    for missing in range(count, index):
                        yield missing, last or frame, False
                    yield index, frame, True
                    count, last = index + 1, frame
                else:
                    return
        except SeekError:
            self._renew_index()
        yield from itertools.islice(self._numbered(), count, None)

    def _decode_index(self) -> None:
        """Decode the whole video, for packets do not tell enough."""
        with closing(open_container(self.path)) as container:
            self.index = read_index(container, self.path, decode=True)
        self._is_kept = False


def header_count(path: str | os.PathLike[str]) -> int:
    """How many frames the file's header claims, 0 where it does not say; MediaError where it is no video.

    Cheap, for nothing else is read, and not to be trusted: the file may be cut short.
    """
    with closing(open_container(checked_path(path))) as container:
        return claimed_frames(container)
