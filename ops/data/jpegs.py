"""Reading plain JPEG files with OpenCV, which is faster than Pillow and gives the same pixels. Other files are left to
Pillow.

Both use libjpeg-turbo, but OpenCV reports no error in some cases where Pillow does: truncated files, data after the end
of the image, and damaged data that look like another marker. Such files do not count as plain.
For damaged pixels that both accept, libjpeg prints a warning to standard error when OpenCV reads them.
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
"""The first marker after the coded pixels, which contain only stuffed bytes and restart markers."""

_MOST = 2**26
"""Limit on bytes and on pixels; Pillow warns about larger images."""


def read_plain_jpeg(path: str, gray: bool) -> Pixels | None:
    """RGB uint8 `[h, w, 3]`, or `[h, w]` if `gray`, without applying EXIF orientation; None if the file is not plain.

    OSError if it cannot be opened.
    """
    with open(path, "rb") as file:
        if file.read(len(_START)) != _START or os.fstat(file.fileno()).st_size > _MOST:
            return None
        data = _START + file.read()
    channels = _plain_channels(data)
    if not channels or (gray and channels != 1):  # OpenCV rounds differently when it converts colour to grey
        return None
    flags = cv2.IMREAD_IGNORE_ORIENTATION | (cv2.IMREAD_GRAYSCALE if gray else cv2.IMREAD_COLOR)
    image: Any = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if image is None:
        return None
    pixels: Pixels = image if gray else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    return pixels


def _plain_channels(data: bytes) -> int:
    """The channels, 1 or 3, of a complete baseline file with 8 bits and one scan, if not too large; else 0."""
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
