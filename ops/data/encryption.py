"""Detecting encrypted videos, such as those with digital rights management (DRM).

FFmpeg opens such files, because their headers are not encrypted, and may even decode them to noise.
"""

import itertools
import os
import re
import struct
from collections.abc import Callable, Iterator
from typing import Any

MOV = "mov,mp4,m4a,3gp,3g2,mj2"
"""FFmpeg's name for MP4 and QuickTime containers."""

_SAMPLE_ENTRIES = frozenset((b"encv", b"drmi"))
"""Sample entry types of encrypted video: ISO/IEC 14496-12 (Common Encryption) and Apple's FairPlay."""

_MAX_BOXES = 4096
"""Limit on the boxes read within one box. No real file has as many before the box that describes its tracks (moov)."""

_LARGEST_MOOV = 2**26
"""Limit on the bytes read of the moov box."""

_TS_PACKETS = (188, 192, 204)
"""Lengths of the packets of a transport stream: plain, with a time stamp (Blu-ray), with error correction."""

_SAMPLE_AES = 0xDB
"""The type, in the tables of a transport stream, of H.264 that HLS encrypts sample by sample."""

_BEGINNING = 2**16
"""Bytes of a stream that are searched for packets marked as scrambled."""


def is_encrypted(container: Any, path: str) -> bool:
    """Whether the first video stream of `container`, opened from the file at `path`, is marked as encrypted.

    OSError if the file cannot be read.
    """
    stream, format = container.streams.video[0], container.format.name
    if format == "matroska,webm":
        return "enc_key_id" in stream.metadata
    if format == "asf":
        return "ASF_Protection_Type" in container.metadata
    if format not in (MOV, "mpegts", "mpeg"):
        return False
    file = os.open(path, os.O_RDONLY)
    try:
        if format == MOV:
            return not _SAMPLE_ENTRIES.isdisjoint(_sample_entries(file, stream.id))
        beginning = os.read(file, _BEGINNING)
        if format == "mpeg":
            return _is_scrambled_program(beginning, stream.id)
        return _is_scrambled(beginning, stream.id)
    finally:
        os.close(file)


def _sample_entries(file: int, track: int) -> Iterator[bytes]:
    """The sample entry types of a track of an MP4 file, given its file descriptor; none if no track is encrypted."""
    moov = b""
    for kind, start, stop in _boxes(lambda place, count: os.pread(file, count, place), 0, os.fstat(file).st_size):
        if kind == b"moov":
            moov = os.pread(file, min(stop - start, _LARGEST_MOOV), start)
            break
    if not any(kind in moov for kind in _SAMPLE_ENTRIES):  # nearly always; no need to parse the boxes
        return
    for trak in _inside(moov, (0, len(moov)), b"trak"):
        for start, _ in _inside(moov, trak, b"tkhd"):
            place = start + (20 if moov[start : start + 1] == b"\1" else 12)
            if int.from_bytes(moov[place : place + 4], "big") == track:
                for first, last in _inside(moov, trak, b"mdia", b"minf", b"stbl", b"stsd"):
                    yield from (kind for kind, *_ in _boxes_of(moov, (first + 8, last)))


def _inside(data: bytes, box: tuple[int, int], *kinds: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of the content of each box at the nested path `kinds` within `box`."""
    for kind, start, stop in _boxes_of(data, box):
        if kind == kinds[0]:
            yield from _inside(data, (start, stop), *kinds[1:]) if kinds[1:] else ((start, stop),)


def _boxes_of(data: bytes, box: tuple[int, int]) -> Iterator[tuple[bytes, int, int]]:
    return _boxes(lambda place, count: data[place : place + count], *box)


def _boxes(read: Callable[[int, int], bytes], start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """The type of each box in the bytes `[start, end)`, and the start and end of its content.

    `read(place, count)` returns `count` bytes from `place` on.
    """
    for _ in range(_MAX_BOXES):
        header = read(start, 16)
        if start + 8 > end or len(header) < 8:
            return
        size, kind = struct.unpack_from(">I4s", header)
        length = 8
        if size == 1 and len(header) == 16:
            size, length = struct.unpack_from(">Q", header, 8)[0], 16
        stop = min(start + size, end) if size else end
        if stop < start + length:
            return
        yield kind, start + length, stop
        start = stop


def _is_scrambled(data: bytes, stream: int) -> bool:
    """Whether the stream of this number is scrambled or of such a type, from the beginning of a transport stream."""
    for length, start in itertools.product(_TS_PACKETS, range(_TS_PACKETS[-1])):
        places = range(start, len(data) - 4, length)
        if len(places) > 3 and all(data[place] == 0x47 for place in places):
            packets = [data[place : place + 188] for place in places]
            return any(packet[3] & 0x80 and _pid(packet, 1) == stream for packet in packets) or any(
                (_SAMPLE_AES, stream) in _program(packet) for packet in packets
            )
    return False


def _pid(data: bytes, place: int) -> int:
    return int.from_bytes(data[place : place + 2], "big") & 0x1FFF


def _program(packet: bytes) -> Iterator[tuple[int, int]]:
    """Type and number of the streams in the table of a program (ISO/IEC 13818-1, 2.4.4.8) that begins in a packet."""
    start = 5 + packet[4] if packet[3] & 0x20 else 4
    table = packet[start + 1 + packet[start] :] if packet[1] & 0x40 and start < len(packet) else b""
    if len(table) < 12 or table[0] != 2:
        return
    stop = min(3 + (int.from_bytes(table[1:3], "big") & 0xFFF) - 4, len(table))
    place = 12 + (int.from_bytes(table[10:12], "big") & 0xFFF)
    while place + 5 <= stop:
        yield table[place], _pid(table, place + 1)
        place += 5 + (int.from_bytes(table[place + 3 : place + 5], "big") & 0xFFF)


def _is_scrambled_program(data: bytes, stream: int) -> bool:
    """Whether a packet of the stream with this start code is scrambled, from the beginning of a program stream.

    Those of an encrypted DVD (CSS) are. In MPEG-2 the byte after the start code and the length begins with the bits 10,
    followed by two bits for scrambling; in MPEG-1, which has no scrambling, it never begins with 10.
    """
    flags = re.findall(re.escape(stream.to_bytes(4, "big")) + b"..(.)", data, re.DOTALL)
    return any(b"\x90" <= byte < b"\xc0" for byte in flags)
