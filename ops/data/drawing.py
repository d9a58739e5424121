"""Drawing for the built-in datasets: textures, colours, and points at fractions of a pixel."""

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

FIXED_BITS = 4
FIXED = 1 << FIXED_BITS
"""Fractional bits of the coordinates given to OpenCV, for motion by fractions of a pixel."""


def texture(rng: np.random.Generator, size: int, cells: tuple[int, int], brightest: int) -> Image:
    """A smooth mixture of two random colours below `brightest`, uint8 `[size, size, 3]`.

    It has a random number of cells per side, from the first of `cells` to below the second.
    """
    count = int(rng.integers(*cells))
    coarse = rng.random((count, count)).astype(np.float32)
    mix = np.clip(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC), 0, 1)[..., None]
    one, other = rng.integers(0, brightest, (2, 3))
    pixels: Image = (one * mix + other * (1 - mix)).astype(np.uint8)
    return pixels


def bright_colour(rng: np.random.Generator) -> tuple[int, ...]:
    """A random colour with one channel at its maximum."""
    colour = rng.integers(60, 256, 3)
    colour[rng.integers(3)] = 255
    return tuple(map(int, colour))
