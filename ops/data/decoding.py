"""Frames out of packets: all of a video in a row, or only those that certain frames need.

Every packet is given its number in the file as its time before it is decoded, and every frame comes out with the
number of the packet that it was in, whatever times the file has. Frames come in the order in which they are shown.
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
"""The number of the packet that a frame was in, None where the decoder does not tell, and the frame."""

_SKIP_NOW = ("h264", "hevc")
"""Decoders that can be told from packet to packet to leave out frames that no other refers to."""


def decode_all(container: "av.container.InputContainer", index: PacketIndex | None = None) -> Iterator[Decoded]:
    """All frames that decode; packets that do not are passed over.

    Nothing is raised, but SeekError where packets are not those of `index`, if there is one.
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
    """Decode what the frames in the packets `wanted` need and yield what comes out: these frames, and others.

    SeekError, and what demuxing and decoding raise.
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
    """Decode the whole video once to know which packets give its frames."""
    return scan.decoded_index([number for number, _ in decode_all(container)])


def _frames_of(codec: Any, packet: "av.Packet[Any] | None") -> list[Decoded]:
    try:
        return list(_numbered(codec.decode(packet)))
    except av.error.FFmpegError:
        return []


def _numbered(frames: Any) -> Iterator[Decoded]:
    return ((frame.pts, frame) for frame in frames if isinstance(frame, VideoFrame))


def _rest(codec: Any) -> Iterator[Decoded]:
    """What the decoder still holds; it is ready for another key frame then."""
    yield from _numbered(codec.decode(None))
    codec.flush_buffers()
