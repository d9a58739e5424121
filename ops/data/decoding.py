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

from ops.data.packet_index import PacketIndex
from ops.data.packet_scan import READ_ERRORS, PacketScan

Decoded = tuple[int | None, VideoFrame]
"""The number of the packet that a frame was in, None where the decoder does not tell, and the frame."""

_SKIP_NOW = ("h264", "hevc")
"""Decoders that can be told from packet to packet to leave out frames that no other refers to."""


def decode_all(container: "av.container.InputContainer") -> Iterator[Decoded]:
    """All frames that decode; packets that do not are passed over. Nothing is raised."""
    stream = container.streams.video[0]
    packets, number = container.demux(stream), -1
    while True:
        try:
            packet = next(packets)
        except (StopIteration, *READ_ERRORS):
            break
        if packet.size:
            number += 1
            packet.pts = number
            yield from _frames_of(stream.codec_context, packet)
    yield from _frames_of(stream.codec_context, None)


def decode_needed(
    container: "av.container.InputContainer", index: PacketIndex, wanted: NDArray[np.int64]
) -> Iterator[Decoded]:
    """Decode what the frames in the packets `wanted` need and yield what comes out: these frames, and others.

    Raises what demuxing and decoding raise.
    """
    stream = container.streams.video[0]
    codec = stream.codec_context
    unwanted = index.shown.copy() if _codec_name(stream) in _SKIP_NOW else np.zeros_like(index.shown)
    unwanted[wanted] = False
    needed = index.needed(wanted)
    left, flushed = int(needed.sum()), True
    packets: Any = (packet for packet in container.demux(stream) if packet.size)
    for number, (packet, is_needed, can_skip) in enumerate(zip(packets, needed, unwanted, strict=False)):
        if is_needed:
            packet.pts = number
            codec.skip_frame = "NONREF" if can_skip else "DEFAULT"
            yield from _numbered(packet.decode())
            left, flushed = left - 1, False
            if not left:
                break
        elif not flushed:
            yield from _rest(codec)
            flushed = True
    yield from _rest(codec)


def index_by_decoding(container: "av.container.InputContainer", scan: PacketScan) -> PacketIndex:
    """Decode the whole video once to know which packets give its frames."""
    return scan.decoded_index([number for number, _ in decode_all(container)])


def _codec_name(stream: Any) -> str:
    return str(stream.codec_context.codec.canonical_name)


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
