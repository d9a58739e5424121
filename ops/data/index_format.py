"""The binary format of a `VideoIndex`: about one byte per packet."""

import json
import zlib
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ops.data.packet_index import PacketIndex
from ops.data.packet_scan import MAX_PACKETS
from ops.data.video_index import VideoIndex


def encode_index(index: VideoIndex) -> bytes:
    """The bytes of an index, for `decode_index`."""
    packets = index.packets
    count = len(packets.pts)
    kinds = {"pts": packets.pts, "number": np.arange(count)}
    when = next((kind for kind, array in kinds.items() if np.array_equal(packets.when, array)), "own")
    columns = [packets.pts, packets.dts, *([packets.when] if when == "own" else [])]
    parts = [_packed(column) for column in columns]
    bits = [np.packbits(column).tobytes() for column in (packets.keys, packets.shown)]
    head = {
        "count": count, "length": packets.length, "when": when, "widths": [width for width, _ in parts],
        "ordered": packets.order is not None, "from_keys": packets.from_keys, "first": packets.first,
        "decoded": packets.decoded, "missing": index.missing, "rate": index.rate and str(index.rate),
        "tick": index.tick and str(index.tick), "is_timed": index.is_timed,
        "may_be_interlaced": index.may_be_interlaced, "may_change_size": index.may_change_size,
        "plain_edits": index.plain_edits,
    }  # fmt: skip
    return zlib.compress(json.dumps(head).encode() + b"\n" + b"".join([data for _, data in parts] + bits))


def decode_index(data: bytes) -> VideoIndex:
    """The index encoded in `data`; ValueError if it is not one."""
    try:
        return _parse(data)
    except (zlib.error, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise ValueError(str(error)) from None


def _parse(data: bytes) -> VideoIndex:
    inflate = zlib.decompressobj()
    text = inflate.decompress(data, MAX_PACKETS * 32)
    line, _, body = text.partition(b"\n")
    head: dict[str, Any] = json.loads(line)
    count, offset = int(head["count"]), 0
    columns: list[NDArray[np.int64]] = []
    for width in head["widths"]:
        steps = np.frombuffer(body, f"<i{int(width)}", count, offset)
        columns.append(np.cumsum(steps, dtype=np.int64))
        offset += int(width) * count
    size = (count + 7) // 8
    keys, shown = (
        np.unpackbits(np.frombuffer(body, np.uint8, size, offset + part * size), count=count).view(bool)
        for part in (0, 1)
    )
    if not inflate.eof or not 0 < count <= MAX_PACKETS or offset + 2 * size != len(body):
        raise ValueError("it is cut short, or of another length than it says")
    pts, dts = columns[:2]
    when = {"pts": pts, "number": np.arange(count), "own": columns[-1]}[head["when"]]
    given = np.flatnonzero(shown)
    order = given[np.argsort(when[given], kind="stable")] if head["ordered"] else None
    length = int(head["length"])
    if length < 0 or (order is not None and len(order) != length):
        raise ValueError("the number of frames is not that of the packets that give one")
    packets = PacketIndex(pts, dts, keys, shown, when, length, order, bool(head["from_keys"]), bool(head["first"]),
                          bool(head["decoded"]))  # fmt: skip
    rate, tick = (Fraction(head[name]) if head[name] else None for name in ("rate", "tick"))
    flags = (bool(head[name]) for name in ("is_timed", "may_be_interlaced", "may_change_size", "plain_edits"))
    return VideoIndex(packets, int(head["missing"]), rate, tick, *flags)


def _packed(column: NDArray[np.int64]) -> tuple[int, bytes]:
    """Bytes per difference, and the differences between numbers. Overflows cancel out in their cumulative sum."""
    steps = np.diff(column, prepend=np.int64(0))
    for width in (1, 2, 4):
        least, most = np.iinfo(f"i{width}").min, np.iinfo(f"i{width}").max
        if ((least <= steps) & (steps <= most)).all():
            return width, steps.astype(f"<i{width}").tobytes()
    return 8, steps.astype("<i8").tobytes()
