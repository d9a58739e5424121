"""Plain JPEG files by OpenCV: Pillow's pixels in less time. Other files are left to Pillow.

Both decode by libjpeg-turbo, but OpenCV says nothing where Pillow has an error: of files cut short, of a file that goes
on after its end, and where a damaged place looks like the start of something else. None of these is plain.
Damaged pixels that both take are mentioned on standard error when OpenCV reads them.
"""

import os
import re
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

_START, _END = b"\xff\xd8", b"\xff\xd9"
_BASELINE, _SCAN = (0xC0, 0xC1), 0xDA
_HEADERS = {0xC4, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0)}
"""Markers of tables, comments and application data."""

_AFTER_PIXELS = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""The first marker after the coded pixels, which hold none but stuffing and restarts."""

_MOST = 2**26
"""Of bytes and of pixels; of larger images Pillow warns."""


def read_plain_jpeg(path: str, gray: bool) -> Pixels | None:
    """RGB uint8 `[h, w, 3]`, or `[h, w]` if `gray`, not turned by metadata; None where the file is not plain.

    OSError where it cannot be opened.
    """
    with open(path, "rb") as file:
        if file.read(len(_START)) != _START or os.fstat(file.fileno()).st_size > _MOST:
            return None
        data = _START + file.read()
    channels = _plain_channels(data)
    if not channels or (gray and channels != 1):  # OpenCV's grey of a colour file is rounded otherwise
        return None
    flags = cv2.IMREAD_IGNORE_ORIENTATION | (cv2.IMREAD_GRAYSCALE if gray else cv2.IMREAD_COLOR)
    image: Any = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if image is None:
        return None
    pixels: Pixels = image if gray else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    return pixels


def _plain_channels(data: bytes) -> int:
    """1 or 3 for a baseline file of 8 bits and one scan, whole up to its end and not too large; else 0."""
    place, channels = len(_START), 0
    while data[place : place + 1] == b"\xff" and place + 10 < len(data):
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        if marker == _SCAN:
            end = _AFTER_PIXELS.search(data, place + 2 + length)
            whole = end and end.start() == len(data) - len(_END) and end[0] == _END
            return channels if whole and data[place + 4] == channels else 0
        if marker in _BASELINE:
            bits, height, width = data[place + 4], data[place + 5 : place + 7], data[place + 7 : place + 9]
            area = int.from_bytes(height, "big") * int.from_bytes(width, "big")
            channels = data[place + 9] if bits == 8 and area <= _MOST and data[place + 9] in (1, 3) else 0
        elif marker not in _HEADERS:
            return 0
        place += 2 + length
    return 0
