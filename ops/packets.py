"""Which packets of a video must be decoded to see certain of its frames.

A frame needs the packets from the last key frame before it up to its own; those further back, and frames on the way
that no other refers to, can be left out without a change to any pixel.
"""

from collections.abc import Iterator, Sequence, Set
from typing import Any

import av
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

MAX_PACKETS = 2**23
"""A day and a half at 60 frames per second; a file with more is none that anyone meant."""

READ_ERRORS = (av.error.FFmpegError, IndexError)
"""What demuxing raises on damaged files; IndexError where a stream turns up that the header did not announce."""

_ONE_FRAME_PER_PACKET = ("h264", "hevc", "av1", "vp9", "mjpeg")
"""Codecs in which every shown packet gives one frame, at the packet's time."""

_SKIP_NOW = ("h264", "hevc")
"""Decoders that can be told from packet to packet to leave out frames that no other refers to."""


class TooManyPacketsError(Exception):
    """A video with more than `MAX_PACKETS`."""


class PacketIndex:
    """The packets of a video stream in the order in which they are decoded.

    `length` is the number of those that are shown: the frames that an intact file has, where its header can lie; the
    others are `hidden`, as an edit of the file left them out. Their times span so many `seconds`.
    `times [length]` are the times (pts) of the frames in order of presentation, or None where they are not known to
    tell which frame comes from which packet: then only decoding from the start does. `clock [length]` are the same, or
    None only where the file does not say them all.
    """

    def __init__(self, container: "av.container.InputContainer") -> None:
        stream = container.streams.video[0]
        times: list[int | None] = []
        shown: list[bool] = []
        keys: list[bool] = []
        try:
            for packet in container.demux(stream):
                if packet.size:
                    if len(times) == MAX_PACKETS:
                        raise TooManyPacketsError
                    times.append(packet.pts)
                    shown.append(not packet.is_discard)
                    keys.append(packet.is_keyframe)
        except READ_ERRORS:
            if not any(shown):
                raise
        known = [time for time in times if time is not None]
        self.seconds = float((max(known) - min(known)) * (stream.time_base or 0)) if known else 0.0
        self.length = sum(shown)
        self.hidden = len(shown) - self.length
        self.times: NDArray[np.int64] | None = None
        self.clock: NDArray[np.int64] | None = None
        if self.length and None not in times:
            self.clock = np.sort(np.array(times, dtype=np.int64)[shown])
        if self.length and _codec_name(stream) in _ONE_FRAME_PER_PACKET and None not in times:
            self._packet_times, self._keys = np.array(times, dtype=np.int64), np.array(keys)
            ordered = np.sort(self._packet_times[shown])
            starts_whole = keys[0] and self._packet_times.argmin() == 0
            if starts_whole and (np.diff(np.sort(self._packet_times)) > 0).all():
                self.times = ordered

    def needed(self, times: Sequence[int]) -> NDArray[np.bool_]:
        """Which packets, in order of decoding, must be decoded for the frames at `times`: bool `[P]`.

        The last key frame before a frame is the last one decoded and shown no later than it: the pictures that an open
        group shows before its key frame need the group before.
        """
        order = np.argsort(self._packet_times)
        own = order[np.searchsorted(self._packet_times, times, sorter=order)]
        keys = np.flatnonzero(self._keys)
        last = np.searchsorted(keys, own, side="right") - 1
        while (late := self._packet_times[keys[last]] > times).any():
            last -= late
        begins = np.bincount(keys[last], minlength=len(self._keys))
        ends = np.bincount(own, minlength=len(self._keys))
        running: NDArray[np.bool_] = np.cumsum(begins - ends) + ends > 0
        return running


def decode_needed(
    container: "av.container.InputContainer", needed: NDArray[np.bool_], times: Set[int]
) -> Iterator[VideoFrame]:
    """Decode only the packets that are `needed` and yield what comes out: the frames at `times`, and others.

    Raises what demuxing and decoding raise.
    """
    stream = container.streams.video[0]
    codec = stream.codec_context
    can_skip = _codec_name(stream) in _SKIP_NOW
    left, flushed = int(needed.sum()), True
    packets: Any = (packet for packet in container.demux(stream) if packet.size)
    for packet, is_needed in zip(packets, needed, strict=False):
        if is_needed:
            codec.skip_frame = "NONREF" if can_skip and packet.pts not in times else "DEFAULT"
            yield from _pictures(packet)
            left, flushed = left - 1, False
            if not left:
                break
        elif not flushed:
            yield from _rest(codec)
            flushed = True
    yield from _rest(codec)


def decode_all(container: "av.container.InputContainer") -> Iterator[VideoFrame]:
    """All frames that decode, in order of presentation; what does not is passed over."""
    packets = container.demux(container.streams.video[0])
    while True:
        try:
            packet = next(packets)
        except (StopIteration, *READ_ERRORS):
            return
        try:
            frames = list(_pictures(packet))
        except av.error.FFmpegError:
            continue
        yield from frames


def _codec_name(stream: Any) -> str:
    """The codec's own name, whichever decoder is at work."""
    return str(stream.codec_context.codec.canonical_name)


def _pictures(packet: "av.Packet[Any]") -> Iterator[VideoFrame]:
    return (frame for frame in packet.decode() if isinstance(frame, VideoFrame))


def _rest(codec: Any) -> Iterator[VideoFrame]:
    """What the decoder still holds; it is ready for another key frame then."""
    yield from codec.decode(None)
    codec.flush_buffers()
