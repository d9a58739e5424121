"""Reading frames from video files with PyAV.

Pixels are those of a sequential `cv2.VideoCapture` decode, bit for bit: the same FFmpeg conversion (to BGR with bicubic
chroma), and rotated by the same metadata. There are two differences: PyAV's wheel also decodes AV1, which OpenCV's
opens but cannot read; and OpenCV 5 converts wide-gamut colours (BT.2020, P3) to sRGB, which this reader does not.
"""

import itertools
import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cached_property

import av
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray
from torch import Tensor

from ops.common.errors import MediaError, TruncatedMediaError
from ops.common.text import counted
from ops.data.containers import checked_path, open_container
from ops.data.decoding import decode_all
from ops.data.frame_converter import FrameConverter
from ops.data.frame_source import FrameSource
from ops.data.numbered_packets import SeekError
from ops.data.packet_index import UNKNOWN, PacketIndex
from ops.data.packet_scan import MAX_PACKETS, claimed_frames
from ops.data.selective_decoder import SelectiveDecoder
from ops.data.timestamps import frame_ticks
from ops.data.video_index import VideoIndex, read_index
from ops.data.video_writer import NOMINAL_RATE


@contextmanager
def open_video(path: str | os.PathLike[str], index: VideoIndex | None = None) -> Iterator["VideoSource"]:
    """Open the video file at `path` as a `FrameSource`; MediaError with the reason if that fails.

    `index` is the index of the same file, made earlier; without it, all packets are read.
    """
    with closing(VideoSource(checked_path(path), index)) as source:
        yield source


class VideoSource(FrameSource):
    """One video file. Each call of `frames` reads it in one forward pass and decodes only what the frames need.

    For every method, frame k is the k-th of a sequential decode of the intact file. If a packet in the middle cannot be
    decoded, its frame is replaced by the one before it, as players do, so that later frames keep their numbers.

    Decoding and conversion use one thread: many workers with several threads each would compete for the same cores.
    `index` is the index of the file, `claimed` the number of frames according to its header, including those whose
    packets are missing. `stood_in` counts the frames returned so far in place of others.
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
        """Start time of each frame and end of the last one, `[F + 1]`, relative to the first frame.

        If the file has no times, its frame rate is used, or else 25 frames per second.
        """
        if self._index.order is None and not self._index.decoded and (self._index.pts == UNKNOWN).any():
            self._decode_index()  # only then is it known which frames have a time
        ticks, count = frame_ticks(self._index), len(self)
        step = 1 / float(self.index.rate or NOMINAL_RATE)
        if ticks is None or not self.index.tick:
            return np.arange(count + 1, dtype=np.float64) * step
        shown = (ticks - ticks[0]) * float(self.index.tick)
        step = float(np.median(np.diff(shown))) if count > 1 else step
        return np.append(shown, shown[-1] + step)

    @property
    def is_timed(self) -> bool:
        """Whether frames are identified by their times in the file."""
        return self.index.is_timed and self._index.order is not None and not self._index.decoded

    @property
    def may_be_interlaced(self) -> bool:
        """Whether frames may consist of two fields; decoded frames say whether they do."""
        return self.index.may_be_interlaced

    @property
    def may_change_size(self) -> bool:
        """Whether the size of frames may change in the middle."""
        return self.index.may_change_size

    @property
    def shortfall(self) -> str:
        """A message if the file contains fewer frames than its header claims, else ""."""
        return f"only {len(self)} of {counted(self.claimed, 'frame')} can be read" if len(self) < self.claimed else ""

    @property
    def problem(self) -> str:
        """See `FrameSource.problem`."""
        count = self.stood_in
        return f"{count} requested frames cannot be decoded; the frames before them are used instead" if count else ""

    def frames(self, indices: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        """See `FrameSource.frames`."""
        for index, frame in self.wanted(indices):
            yield index, self._converter.tensor(frame)

    def wanted(self, indices: Sequence[int]) -> Iterator[tuple[int, VideoFrame]]:
        """The frames at the sorted distinct `indices` as they come from the decoder; see `FrameSource.frames`."""
        done = 0
        for renew in (True, False):
            try:
                for item in self._needed_frames(indices[done:]):
                    yield item
                    done += 1
                break
            except SeekError:  # if it happens twice, the file is being changed
                if renew:
                    self._renew_index()
        yield from self._frames_in_sequence(indices[done:])

    def images(self) -> Iterator[NDArray[np.uint8]]:
        """All frames up to the last one that can be decoded, upright: BGR uint8 `[h, w, 3]`, as from OpenCV."""
        for _, frame, decodes in self._numbered():
            self.stood_in += not decodes
            yield self._converter.image(frame)

    def timed_images(self) -> Iterator[tuple[float, NDArray[np.uint8]]]:
        """`images`, each with its start time as in `seconds`."""
        return zip(self.seconds.tolist(), self.images(), strict=False)

    def decodable(self) -> int:
        """How many frames can be decoded; pixels are not converted."""
        return len(self) if self._index.decoded else sum(decodes for _, _, decodes in self._numbered())

    def _needed_frames(self, indices: Sequence[int]) -> Iterator[tuple[int, VideoFrame]]:
        """The frames at `indices`, decoding only what they need, as far as that is possible.

        It ends early, or at once, if the frames of packets are not known in advance, or are not those expected.
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
        """From now on, do not seek, and use no index that was made earlier."""
        self._decoder.close()
        self._decoder = SelectiveDecoder(self.path, seeks=False)
        if self._is_kept:
            kept, self.index, self._is_kept = len(self), self._decoder.read_index(), False
            if len(self) != kept:
                raise MediaError(self.path, f"it has {counted(len(self), 'frame')}, but its index lists {kept}")

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
        """All frames up to the last one that can be decoded: number, frame, and whether it is a replacement (False).

        A frame that cannot be decoded is replaced by the one before it, or at the beginning, by the first one.
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
        """Decode the whole video, because its packets do not give enough information."""
        with closing(open_container(self.path)) as container:
            self.index = read_index(container, self.path, decode=True)
        self._is_kept = False


def header_count(path: str | os.PathLike[str]) -> int:
    """How many frames the file's header claims, 0 if it gives no number; MediaError if it is not a video.

    It is cheap, because nothing else is read, but not reliable: the file may be truncated.
    """
    with closing(open_container(checked_path(path))) as container:
        return claimed_frames(container)


def estimated_count(path: str | os.PathLike[str]) -> int:
    """About how many frames a video has according to its header: their number, else its duration times the frame rate.

    0 if the header gives neither, or claims more than `MAX_PACKETS`; MediaError if it is not a video.
    """
    with closing(open_container(checked_path(path))) as container:
        rate = container.streams.video[0].average_rate or NOMINAL_RATE
        count = claimed_frames(container) or int((container.duration or 0) * rate / av.time_base)
    return count if 0 < count <= MAX_PACKETS else 0
