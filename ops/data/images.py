"""Reading images from disk. This is the only module that lets Pillow open files.

Pillow detects the format from the content, not the name, and for some formats it starts another program. Only the
raster formats in `FORMATS` are opened here; their decoders run inside this process.
"""

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

FORMATS = ("JPEG", "PNG", "BMP", "DIB", "WEBP", "TIFF", "PPM", "GIF")
"""Formats of video frames, by Pillow's names: no vector graphics and no documents."""

MAX_PIXELS = 2**26
"""Pixels per image, as for a frame of a video. Larger images would only fill the memory."""

IMAGE_ERRORS = (OSError, ValueError, SyntaxError, RuntimeError, Image.DecompressionBombError)
"""What `read_image` and Pillow's readers raise for files that are not images or are too large."""


def open_image(path: str | os.PathLike[str]) -> Image.Image:
    """The image at `path`, opened but not decoded: a context manager. One of `IMAGE_ERRORS` if it is not an image."""
    image = Image.open(path, formats=FORMATS)
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise ValueError(f"{image.width} x {image.height}, more than {MAX_PIXELS} pixels")
    return image


def read_image(path: str | os.PathLike[str], gray: bool = False) -> Pixels:
    """RGB uint8 `[h, w, 3]`, or `[h, w]` if `gray`; one of `IMAGE_ERRORS` if the file cannot be read.

    Palettes, CMYK and transparency are converted as Pillow does it. EXIF orientation is ignored (that of TIFF, which is
    part of the format, is applied). Of 16-bit values the upper 8 bits are used, as with OpenCV's IMREAD_COLOR. 32-bit
    values, integer or floating point, are refused, because their range is not known.
    """
    with open_image(path) as image:
        if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
            eight: Any = (np.asarray(image) >> 8).astype(np.uint8)
            return eight if gray else np.repeat(eight[:, :, None], 3, axis=2)
        if image.mode in ("I", "F"):
            raise ValueError("32-bit values, whose range is not known; store frames with 8 or 16 bits")
        return np.array(image.convert("L" if gray else "RGB"))
