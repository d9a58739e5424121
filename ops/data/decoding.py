"""Decoding packets: all of a video in sequence, or only those needed for certain frames.

Before a packet is decoded, its time is set to its number in the file, so that each frame carries the number of its
packet, whatever times the file has. Frames are returned in presentation order.
"""

from collections.abc import Iterator
from typing import Any

import av
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from ops.data.numbered_packets import NumberedPackets, SeekError, times_of
from ops.data.packet_index import PacketIndex
from ops.data.packet_scan import READ_ERRORS, PacketScan

Decoded = tuple[int | None, VideoFrame]
"""The packet number of a frame, None if the decoder does not report it, and the frame."""

_SKIP_NOW = ("h264", "hevc")
"""Decoders that can skip frames which no other frame refers to, decided for each packet."""


def decode_all(container: "av.container.InputContainer", index: PacketIndex | None = None) -> Iterator[Decoded]:
    """All frames that can be decoded; packets that cannot are skipped.

    SeekError if the packets differ from those of `index`, if given; nothing else is raised.
    """
    stream = container.streams.video[0]
    packets, number = container.demux(stream), -1
    while True:
        try:
            packet = next(packets)
        except (StopIteration, *READ_ERRORS):
            break
        if packet.size:
            number += 1
            if index is not None and times_of(packet) != index.times(number):
                raise SeekError
            packet.pts = number
            yield from _frames_of(stream.codec_context, packet)
    yield from _frames_of(stream.codec_context, None)


def decode_needed(
    packets: NumberedPackets, codec: Any, index: PacketIndex, wanted: NDArray[np.int64]
) -> Iterator[Decoded]:
    """Decode what the frames in the packets `wanted` need, and yield all resulting frames, others included.

    SeekError, and errors of demuxing and decoding.
    """
    unwanted = index.shown.copy() if str(codec.codec.canonical_name) in _SKIP_NOW else np.zeros_like(index.shown)
    unwanted[wanted] = False
    for start, stop in _runs(index.needed(wanted)):
        for number, packet in packets.between(start, stop):
            packet.pts = number
            codec.skip_frame = "NONREF" if unwanted[number] else "DEFAULT"
            yield from _numbered(packet.decode())
        yield from _rest(codec)


def _runs(needed: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """The first and the last (exclusive) of each run of True."""
    edges = np.flatnonzero(np.diff(needed, prepend=False, append=False))
    return zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


def index_by_decoding(container: "av.container.InputContainer", scan: PacketScan) -> PacketIndex:
    """Decode the whole video once to find out which packets give its frames."""
    return scan.decoded_index([number for number, _ in decode_all(container)])


def _frames_of(codec: Any, packet: "av.Packet[Any] | None") -> list[Decoded]:
    try:
        return list(_numbered(codec.decode(packet)))
    except av.error.FFmpegError:
        return []


def _numbered(frames: Any) -> Iterator[Decoded]:
    return ((frame.pts, frame) for frame in frames if isinstance(frame, VideoFrame))


def _rest(codec: Any) -> Iterator[Decoded]:
    """The frames that the decoder still holds; afterwards, it can start at another key frame."""
    yield from _numbered(codec.decode(None))
    codec.flush_buffers()
