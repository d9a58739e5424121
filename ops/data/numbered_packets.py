"""The packets of a video stream with their numbers in the file, from any key frame on: demuxing with exact seeks.

A seek is only trusted if the packets after it are those at that place in the index of the file.
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
"""Containers that store each frame as a unit, and have an index of key frames.

In transport and program streams, FFmpeg finds frames by parsing, and a seek can end in the middle of a frame.
"""

NEAR = 16
"""The largest gap, in packets, that is read and dropped instead of seeking: it costs about as much as a seek."""


class SeekError(Exception):
    """A seek ended after the requested packet, or the packets differ from those of the index."""


class NumberedPackets:
    """The packets of the video stream of `container`, numbered from 0 as in `index`.

    `at_start`: nothing has been read from the container yet. Without `seeks`, packets can only be read in ascending
    order, starting from such a container.
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

        SeekError if they cannot be found, and errors of demuxing.
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
        """Continue reading at packet `number`, or at an earlier one."""
        if not self._seeks:
            raise SeekError
        for ticks in (int(self._index.pts[number]), int(self._index.dts[number])):
            if ticks != UNKNOWN and self._goes_to(ticks, number):
                return
        raise SeekError

    def _goes_to(self, ticks: int, number: int) -> bool:
        """Seek to a time; returns whether this leads to packet `number` or to an earlier one."""
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
        """The number of a packet; -1 if its times do not identify it."""
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
    """Presentation and decoding time of a packet, in ticks of the stream; `UNKNOWN` if missing."""
    return (UNKNOWN if packet.pts is None else packet.pts), (UNKNOWN if packet.dts is None else packet.dts)
