"""The orientation of a video: rotation in steps of 90 degrees and mirroring, from the display matrix of its frames."""

import struct
from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

Image = NDArray[np.uint8]

UPRIGHT = (1, 0, 0, 1)


def matrix_of(frame: VideoFrame) -> tuple[int, int, int, int]:
    """`(a, b, c, d)` with the signs of the frame's display matrix: x' = a·x + c·y and y' = b·x + d·y.

    Only the larger of the pairs a, d and b, c is used, and the other is set to 0: videos are rotated by right angles. A
    singular matrix is ignored, and the frame is shown as it is stored.
    """
    stored: Any = frame.side_data.get("DISPLAYMATRIX")
    if stored is None:
        return UPRIGHT
    a, b, _, c, d = struct.unpack("=5i", bytes(stored)[:20])
    if a * d == b * c:
        return UPRIGHT
    turned = abs(b * c) > abs(a * d)
    a, b, c, d = ((value > 0) - (value < 0) for value in (a, b, c, d))
    return (0, b, c, 0) if turned else (a, 0, 0, d)


def orient(image: Image, matrix: tuple[int, int, int, int]) -> Image:
    """`image [h, w, 3]` rotated and mirrored according to `matrix`, contiguous."""
    a, b, c, d = matrix
    if not a:
        image, a, d = image.transpose(1, 0, 2), c, b
    return np.ascontiguousarray(image[::d, ::a])
