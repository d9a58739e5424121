"""The packets of a video stream with their numbers in the file, from any key frame on: demuxing with exact seeks.

A seek is only trusted where the packets that follow it are the ones that the index of the file has there.
"""

import itertools
from collections.abc import Iterator
from typing import Any

import av
import numpy as np

from ops.data.encryption import MOV
from ops.data.packet_index import UNKNOWN, PacketIndex
from ops.data.packet_scan import READ_ERRORS

MATROSKA = "matroska,webm"

SEEKABLE = (MOV, MATROSKA, "avi", "flv")
"""Containers that hold frames as they are, with an index of key frames.

Of transport and program streams FFmpeg finds the frames by parsing, and a seek can lead into the middle of one.
"""

NEAR = 16
"""Packets that are read and dropped rather than sought over: so many cost about as much as a seek."""


class SeekError(Exception):
    """A seek went past the packet that was wanted, or packets are not those of the index."""


class NumberedPackets:
    """The packets of the video stream of `container`, numbered from 0 as `index` has them.

    `at_start`: nothing of the container has been read so far. Without `seeks` packets are only read in rising order,
    from such a container.
    """

    def __init__(
        self, container: "av.container.InputContainer", index: PacketIndex, at_start: bool, seeks: bool
    ) -> None:
        self._container, self._index = container, index
        self._stream: Any = container.streams.video[0]
        self._packets = self._demux()
        self._next = 0 if at_start else -1
        self._seeks = seeks
        self._only_shown = container.format.name == MATROSKA  # FFmpeg guesses when frames are decoded

    def between(self, start: int, stop: int) -> Iterator[tuple[int, "av.Packet[Any]"]]:
        """The packets `start` … `stop` - 1 with their numbers; the first one is a key frame, or number 0.

        SeekError where they cannot be found, and what demuxing raises.
        """
        distance = start - self._next
        if self._next < 0 or distance < 0 or (distance > NEAR and self._seeks):
            self._seek(start)
        first = self._next
        times = zip(self._index.pts[first:stop].tolist(), self._index.dts[first:stop].tolist(), strict=True)
        for number, (packet, expected) in enumerate(zip(self._packets, times, strict=False), first):
            if not self._agree(times_of(packet), expected):
                raise SeekError
            self._next = number + 1
            if number >= start:
                yield number, packet
            if self._next == stop:
                return

    def _demux(self) -> Iterator["av.Packet[Any]"]:
        return (packet for packet in self._container.demux(self._stream) if packet.size)

    def _seek(self, number: int) -> None:
        """Go on reading at packet `number`, or at one before it."""
        if not self._seeks:
            raise SeekError
        for ticks in (int(self._index.pts[number]), int(self._index.dts[number])):
            if ticks != UNKNOWN and self._goes_to(ticks, number):
                return
        raise SeekError

    def _goes_to(self, ticks: int, number: int) -> bool:
        """Seek by time; whether that leads to packet `number`, or to one before it."""
        packets = self._demux()
        try:
            self._container.seek(ticks, stream=self._stream)
            first = next(packets)
        except (StopIteration, *READ_ERRORS):
            return False
        self._next = self._number_of(first)
        self._packets = itertools.chain([first], packets)
        return 0 <= self._next <= number

    def _number_of(self, packet: "av.Packet[Any]") -> int:
        """The number of a packet, -1 where its times do not tell."""
        pts, dts = times_of(packet)
        there = self._index.pts == pts
        numbers = np.flatnonzero(there if self._only_shown else there & (self._index.dts == dts))
        return int(numbers[0]) if len(numbers) == 1 else -1

    def _agree(self, found: tuple[int, int], expected: tuple[int, int]) -> bool:
        return found[0] == expected[0] if self._only_shown else found == expected


def can_seek(container: "av.container.InputContainer") -> bool:
    """Whether seeks in `container` are exact."""
    return container.format.name in SEEKABLE


def times_of(packet: "av.Packet[Any]") -> tuple[int, int]:
    """When a packet is shown and when it is decoded, in ticks of the stream; `UNKNOWN` where the file does not say."""
    return (UNKNOWN if packet.pts is None else packet.pts), (UNKNOWN if packet.dts is None else packet.dts)
