"""The index of a video, made by reading all its packets once: packets, frames, and properties of the stream."""

from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av

from ops.common.errors import MediaError
from ops.data.containers import open_container, reason_of
from ops.data.decoding import index_by_decoding
from ops.data.encryption import MOV
from ops.data.packet_index import PacketIndex
from ops.data.packet_scan import MAX_PACKETS, READ_ERRORS, PacketScan, TooManyPacketsError, missing_packets

LONG = 10_000
"""With at least this many packets, it is worth checking whether the file can be opened faster."""

MAX_SECONDS = 7 * 24 * 3600
"""A week. If a file claims more, its times are meaningless."""


@dataclass(frozen=True)
class VideoIndex:
    """The packets and frames of a video file, and what else a reader needs to know.

    Attributes:
        packets: which packets give which frames.
        missing: how many packets are in the header's count but not in the file.
        rate: frames per second according to the header; None if not given.
        tick: seconds per tick of the times in `packets`; None if not given.
        is_timed: whether the container has presentation times.
        may_be_interlaced: whether frames may consist of two fields.
        may_change_size: whether the size of frames may change in the middle.
        plain_edits: whether the packets and their times stay the same if FFmpeg does not apply the edit list of an MP4
            file packet by packet, which takes more than half of the time to open a film of hours.
    """

    packets: PacketIndex
    missing: int
    rate: Fraction | None
    tick: Fraction | None
    is_timed: bool
    may_be_interlaced: bool
    may_change_size: bool
    plain_edits: bool = False


def read_index(container: "av.container.InputContainer", path: str, decode: bool = False) -> VideoIndex:
    """Read all packets of `container`, which has just been opened from the file at `path`.

    The video is also decoded once if frames cannot be counted from packets, or with `decode`. MediaError if it cannot
    be read, or contains no frame.
    """
    try:
        scan = PacketScan(container)
    except READ_ERRORS as error:
        raise MediaError(path, reason_of(error)) from None
    except TooManyPacketsError:
        raise MediaError(path, f"more than {MAX_PACKETS} frames; cut it into shorter videos") from None
    missing = missing_packets(container, scan.packets)
    stream = container.streams.video[0]
    rate, tick = _fraction(stream.guessed_rate) or _fraction(stream.average_rate), _fraction(stream.time_base)
    if scan.seconds > MAX_SECONDS:
        raise MediaError(path, f"its times span {scan.seconds:.0f} s, more than {MAX_SECONDS}")
    packets = scan.index() if scan.packets and not decode else None
    if packets is None and scan.packets:
        with closing(open_container(path)) as decoded:
            packets = index_by_decoding(decoded, scan)
    if not packets or not packets.length:
        raise MediaError(path, "no frames in it")
    return VideoIndex(packets, missing, rate, tick, scan.is_timed, scan.may_be_interlaced, scan.may_change_size,
                      len(packets.pts) >= LONG and _has_plain_edits(container, path))  # fmt: skip


def _fraction(ratio: Any) -> Fraction | None:
    """A rate or time base: a Fraction or None in PyAV 18, an AVRational (0: unknown) in PyAV 19."""
    return Fraction(ratio.numerator, ratio.denominator) if ratio and ratio.denominator else None


def _has_plain_edits(container: "av.container.InputContainer", path: str) -> bool:
    if container.format.name != MOV:
        return False
    with closing(open_container(path, known=True, edits=False)) as plain:
        entries, others = (each.streams.video[0].index_entries for each in (container, plain))
        return len(entries) == len(others) and all(
            (a.timestamp, a.pos, a.is_discard) == (b.timestamp, b.pos, False)
            for a, b in zip(entries, others, strict=True)
        )
