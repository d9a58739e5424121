"""How many frames each packet of a video gives, from its first bytes, without decoding.

A packet is not always one frame. VP8 and VP9 have frames that are never shown and only serve as references, MPEG-4 has
placeholder packets, and H.264 and MPEG-2 may store the two fields of a frame in separate packets. A scanner returns the
number of frames if it is certain.
"""

from collections.abc import Callable

from ops.data.h264 import UNCERTAIN, H264Headers

Scanner = Callable[[bytes], int]
"""The bytes of a packet → how many frames it gives, or `UNCERTAIN`."""

IN_ORDER = frozenset(
    ("av1", "vp8", "vp9", "mjpeg", "flv1", "h263", "msmpeg4v1", "msmpeg4v2", "msmpeg4v3", "wmv1", "wmv2", "ffv1",
     "ffvhuff", "huffyuv", "utvideo", "rawvideo", "png", "prores", "dnxhd", "dvvideo", "qtrle")
)  # fmt: skip
"""Codecs whose frames are shown in the order in which they are decoded."""

PROGRESSIVE = frozenset(
    ("av1", "vp8", "vp9", "gif", "flv1", "h263", "msmpeg4v1", "msmpeg4v2", "msmpeg4v3", "wmv1", "wmv2", "mpeg1video")
)
"""Codecs without interlaced coding."""

_SHORT_VOP = 16
"""Bytes from the start code on: a shorter packet may be a placeholder, a longer one holds a picture."""


def scanner_for(codec: str, headers: H264Headers | None = None) -> Scanner | None:
    """The scanner of a stream of `codec`, with its `headers` if it is H.264; None if only decoding can tell."""
    if headers:
        if headers.parameters is None:
            return None
        return _one if headers.parameters.frames_only else headers.frames_of
    if codec in _SCANNERS:
        return _SCANNERS[codec]
    return _one if codec in IN_ORDER or codec == "hevc" else None


def always_one(scanner: Scanner | None) -> bool:
    """Whether `scanner` returns 1 for every packet, so that packets need not be scanned."""
    return scanner is _one


def _one(data: bytes) -> int:
    return 1


def vp8_frames(data: bytes) -> int:
    """VP8 (RFC 6386, section 9.1): a bit of the frame tag says whether the frame is shown."""
    return data[0] >> 4 & 1


def vp9_frames(data: bytes) -> int:
    """VP9: the number of shown frames in the packet, which may be a superframe (Annex B) of several frames."""
    marker = data[-1]
    count, width = (marker & 7) + 1, (marker >> 3 & 3) + 1
    size = 2 + count * width
    if marker & 0xE0 != 0xC0 or len(data) < size or data[-size] != marker:
        return _vp9_shown(data)
    shown, start = 0, 0
    for place in range(len(data) - size + 1, len(data) - 1, width):
        length = int.from_bytes(data[place : place + width], "little")
        if length:
            shown += _vp9_shown(data[start : start + length])
        start += length
    return shown if shown < 2 else UNCERTAIN


def _vp9_shown(data: bytes) -> int:
    """One frame (section 6.2): marker 2 bits, profile 2 (3 in profile 3), existing frame shown, type, shown."""
    head = data[0] << 1 if data[0] & 0x30 == 0x30 else data[0]
    return 1 if head & 8 else head >> 1 & 1


def mpeg4_frames(data: bytes) -> int:
    """MPEG-4 part 2: one coded picture of type I or P gives a frame.

    For packed B-frames and placeholders only the decoder can tell.
    """
    start = data.find(b"\0\0\1\xb6")
    if start < 0 or len(data) - start < _SHORT_VOP or data.find(b"\0\0\1\xb6", start + 4) >= 0:
        return UNCERTAIN
    return 1


def mpeg2_frames(data: bytes) -> int:
    """MPEG-1 and -2: one picture that is a whole frame gives a frame; separate fields have to be decoded."""
    start = data.find(b"\0\0\1\0")
    if start < 0 or data.find(b"\0\0\1\0", start + 4) >= 0:
        return UNCERTAIN
    extension = data.find(b"\0\0\1\xb5", start + 4, start + 64)
    whole = extension < 0 or data[extension + 4] >> 4 != 8 or data[extension + 6] & 3 == 3
    return 1 if whole else UNCERTAIN


def sequence_of(data: bytes) -> bytes | None:
    """The sequence header at the start of an MPEG-1 or -2 packet, from the picture size on; None if there is none.

    When it changes, FFmpeg's decoder drops the picture that it has not returned yet.
    """
    start = data.find(b"\0\0\1\xb3", 0, 64)
    if start < 0:
        return None
    extension = data.find(b"\0\0\1\xb5", start + 8, start + 160)  # quantiser matrices may come before it
    return data[start + 4 : start + 8] + (data[extension + 4 : extension + 10] if extension >= 0 else b"")


_SCANNERS: dict[str, Scanner] = {
    "vp8": vp8_frames,
    "vp9": vp9_frames,
    "mpeg4": mpeg4_frames,
    "mpeg1video": mpeg2_frames,
    "mpeg2video": mpeg2_frames,
}


def is_b_picture(codec: str, data: bytes) -> bool:
    """Whether a packet of MPEG-1, -2 or -4 holds a picture that refers to a later one."""
    if codec == "mpeg4":
        start = data.find(b"\0\0\1\xb6")
        return start >= 0 and len(data) > start + 4 and data[start + 4] >> 6 == 2
    start = data.find(b"\0\0\1\0")
    return start >= 0 and len(data) > start + 5 and data[start + 5] >> 3 & 7 == 3


def needs_first_packet(codec: str, pix_fmt: str | None, data: bytes) -> bool:
    """Whether later pictures decode differently if the first packet, `data`, was not decoded before them.

    x264 stores its version there, and FFmpeg reproduces the bugs of old versions: up to 33, and up to 150 without
    chroma subsampling. In Motion JPEG the first picture may hold the tables for all others.
    """
    if codec == "mjpeg":
        return True
    name = b"x264 - core "
    place = data.find(name, 0, 4096) if codec == "h264" else -1
    digits = data[place + len(name) : place + len(name) + 4].split(b" ")[0].split(b"r")[0] if place >= 0 else b""
    if not digits.isdigit():
        return False
    return int(digits) <= 33 or (int(digits) <= 150 and "420" not in (pix_fmt or ""))
