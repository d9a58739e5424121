"""Counting the frames of a video, and finding their order, from its packets.

The reference is a sequential decode. Packets give the same result at a fraction of the cost if the codec, the container
and the headers inside the packets leave no doubt; otherwise the video is decoded once (see `ops.data.decoding`).
"""

from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from ops.data.bitstreams import (
    IN_ORDER,
    PROGRESSIVE,
    always_one,
    is_b_picture,
    needs_first_packet,
    scanner_for,
    sequence_of,
)
from ops.data.h264 import UNCERTAIN, H264Headers
from ops.data.packet_index import UNKNOWN, PacketIndex

MAX_PACKETS = 2**23
"""A day and a half at 60 frames per second. A file that claims more is assumed to be damaged."""

READ_ERRORS = (av.error.FFmpegError, IndexError)
"""Raised by demuxing damaged files; IndexError if a stream appears that is not in the header."""

_STARTS_AT_KEYS = ("h264", "hevc", "av1", "vp9", "mjpeg")
"""Codecs for which decoding from a key frame gives the same frames as decoding from the start."""

_WITH_B_PICTURES = ("mpeg4", "mpeg1video", "mpeg2video")

_INDEXED = ("mov,mp4,m4a,3gp,3g2,mj2", "avi")
"""Containers with an index of all packets, which shows the packets that are empty or cut out by edits."""

_TIMED = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "mpegts", "mpeg", "flv", "nut", "mxf", "wtv")
"""Containers with presentation times. For others, FFmpeg only knows the decoding order."""

_ONE_SIZE = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "gif", "ivf", "yuv4mpegpipe")
"""Containers whose header gives the size of all frames. In others, the size may change."""


class TooManyPacketsError(Exception):
    """A video with more than `MAX_PACKETS`."""


class PacketScan:
    """One pass over the packets of `container`, without decoding. TooManyPacketsError, and errors of demuxing."""

    def __init__(self, container: "av.container.InputContainer") -> None:
        stream = container.streams.video[0]
        context: Any = stream.codec_context
        self.codec, self._extradata = _codec_of(context)
        self._pix_fmt, self._delays = context.pix_fmt, context.has_b_frames
        self._tick = stream.time_base or 0
        self.is_timed = container.format.name in _TIMED
        self.may_change_size = container.format.name not in _ONE_SIZE
        self._facts: list[tuple[int | None, int | None, bool, bool]] = []
        self._frames: list[int] = []
        self._rises, self._anchors, self._b_pictures = True, 0, False
        self._sequence = b""
        facts = self._facts
        try:
            for packet in container.demux(stream):
                if packet.size:
                    if len(facts) == MAX_PACKETS:
                        raise TooManyPacketsError
                    if not facts:
                        self._begin(bytes(packet))
                    facts.append((packet.pts, packet.dts, packet.is_keyframe, packet.is_discard))
                    if self._count_is_open or self._order_is_open:
                        self._inspect(bytes(packet))
        except READ_ERRORS:
            if all(is_discard for _, _, _, is_discard in facts):
                raise

    def _begin(self, data: bytes) -> None:
        self._headers = H264Headers(self._extradata, data) if self.codec == "h264" else None
        self._scan = scanner_for(self.codec, self._headers)
        self._count_is_open = not always_one(self._scan)
        parameters = self._headers.parameters if self._headers else None
        self._order_is_open = parameters is not None and parameters.reorder != 0
        self._first = needs_first_packet(self.codec, self._pix_fmt, data)
        self._clean_start = self._headers is None or bool(_or_uncertain(self._headers.starts_anew, data))

    def _inspect(self, data: bytes) -> None:
        """Inspect the headers in a packet, until only decoding can tell, or pictures turn out to be reordered."""
        if self._count_is_open:
            self._frames.append(self._frames_of(data))
            self._count_is_open = self._frames[-1] != UNCERTAIN
        if self._order_is_open:
            times = [UNKNOWN if time is None else time for time, *_ in self._facts[-2:]]
            rises = times[-1] > times[0] or len(times) == 1
            assert self._headers
            self._rises = self._order_is_open = rises and _or_uncertain(self._headers.rises, data) > 0

    def _frames_of(self, data: bytes) -> int:
        """How many frames a packet gives."""
        if self.codec in _WITH_B_PICTURES:
            if self.codec != "mpeg4" and (sequence := sequence_of(data)):
                self._sequence = self._sequence or sequence
                if sequence != self._sequence:
                    return UNCERTAIN
            if not is_b_picture(self.codec, data):
                self._anchors += 1
            elif self._anchors < 2:  # refers to a picture that does not exist
                return UNCERTAIN
            else:
                self._b_pictures = True
        return _or_uncertain(self._scan, data) if self._scan else UNCERTAIN

    @property
    def packets(self) -> int:
        """How many there are, including those cut out by edits."""
        return len(self._facts)

    @property
    def seconds(self) -> float:
        """The time between the first and the last packet."""
        known = [time for time, *_ in self._facts if time is not None]
        return float((max(known) - min(known)) * self._tick) if known else 0.0

    @property
    def may_be_interlaced(self) -> bool:
        """Whether the video may be interlaced, judging by its codec and, for H.264, its header."""
        return not (always_one(self._scan) if self._headers else self.codec in PROGRESSIVE)

    def _arrays(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
        """Presentation and decoding times of packets, which are key frames, and which edits keep."""
        pts, dts, keys, discarded = zip(*self._facts, strict=True)
        first, second = (np.array([UNKNOWN if tick is None else tick for tick in ticks]) for ticks in (pts, dts))
        return first, second, np.array(keys), ~np.array(discarded)

    def index(self) -> PacketIndex | None:
        """The index; None if the frames can only be counted by decoding."""
        pts, dts, keys, shown = self._arrays()
        if not keys[0] or UNCERTAIN in self._frames:
            return None
        if self._frames:
            shown &= np.array(self._frames) > 0
        when, order = np.arange(len(pts)), np.flatnonzero(shown)
        known = True
        if self.codec in _WITH_B_PICTURES:
            known = not self._b_pictures
            if not known and _falls(dts):
                return None
        elif self.codec not in IN_ORDER:
            known = self._times_tell(pts)
            if not known and not self._all_come_out(pts, dts):
                return None
            when, order = pts, order[np.argsort(pts[order])]
        from_keys = known and self.codec in _STARTS_AT_KEYS
        return PacketIndex(pts, dts, keys, shown, when, int(shown.sum()), order if known else None, from_keys,
                           self._first, False)  # fmt: skip

    def decoded_index(self, given: list[int | None]) -> PacketIndex:
        """The index of a decoded video; `given` are the packets of its frames, in presentation order."""
        pts, dts, keys, shown = self._arrays()
        count = len(pts)
        when = np.arange(count)
        order: NDArray[np.int64] | None = None
        packets = [packet for packet in given if packet is not None and 0 <= packet < count]
        if len(packets) == len(given) == len(set(packets)):
            order = np.array(packets, dtype=np.int64)
            shown = np.isin(when, order)
            rank = np.full(count, -1)
            rank[order] = np.arange(len(order))
            when = rank[np.maximum.accumulate(np.where(shown, when, 0))]
        keys &= shown
        from_keys = order is not None and self.codec in _STARTS_AT_KEYS and bool(len(order)) and bool(keys[0])
        return PacketIndex(pts, dts, keys, shown, when, len(given), order, from_keys, self._first, True)

    def _times_tell(self, pts: NDArray[np.int64]) -> bool:
        """Whether the presentation times of H.264 or HEVC are complete, distinct and trustworthy."""
        if UNKNOWN in pts or pts.argmin() or not (np.diff(np.sort(pts)) > 0).all():
            return False
        if (np.diff(pts) > 0).all():  # also the case if a file only gives the decoding order
            return self._rises if self._headers else not self._delays
        return self.is_timed

    def _all_come_out(self, pts: NDArray[np.int64], dts: NDArray[np.int64]) -> bool:
        """Whether a decoder returns one frame of H.264 or HEVC for every packet, in any order.

        This needs a known reorder depth, and a stream that does not start in the middle of a group.
        """
        if self._headers:
            parameters = self._headers.parameters
            return parameters is not None and parameters.reorder is not None and self._clean_start and not _falls(dts)
        return self.is_timed and UNKNOWN not in pts and bool((np.diff(pts) > 0).all())


def _codec_of(context: Any) -> tuple[str, bytes]:
    """The name of the codec, independent of the decoder, and its header data."""
    return str(context.codec.canonical_name), bytes(context.extradata or b"")


def _or_uncertain(look: Any, data: bytes) -> int:
    """The result of `look` for a packet; `UNCERTAIN` if the packet is truncated."""
    try:
        return int(look(data))
    except (ValueError, IndexError):
        return UNCERTAIN


def _falls(dts: NDArray[np.int64]) -> bool:
    """Whether decoding times decrease, as in joined files."""
    known = dts[dts != UNKNOWN]
    return bool((np.diff(known) < 0).any())


def missing_packets(container: "av.container.InputContainer", found: int) -> int:
    """How many more packets the header claims than were `found`; 0 if it gives no number.

    Packets cut out by edits do not count; nor do empty ones, with which AVI repeats the previous frame.
    """
    frames = container.streams.video[0].frames
    if frames > found and (entries := _entries_of(container)):
        frames = sum(entry.size > 0 for entry in entries)
    return max(0, frames - found)


def claimed_frames(container: "av.container.InputContainer") -> int:
    """How many frames the header claims; 0 if it gives no number, or if packets must be inspected."""
    codec, extradata = _codec_of(container.streams.video[0].codec_context)
    headers = H264Headers(extradata) if codec == "h264" else None
    if not always_one(scanner_for(codec, headers)):
        return 0
    if entries := _entries_of(container):
        return sum(entry.size > 0 and not entry.is_discard for entry in entries)
    return max(0, container.streams.video[0].frames)


def _entries_of(container: "av.container.InputContainer") -> Any:
    """The entries of the container's index if it covers all packets; otherwise empty."""
    stream = container.streams.video[0]
    entries = stream.index_entries
    return entries if container.format.name in _INDEXED and stream.frames > 0 and len(entries) < MAX_PACKETS else ()
