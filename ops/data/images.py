"""Images from disk as pixels: the one place that lets Pillow open a file.

Pillow goes by what a file holds, whatever its name, and some of the formats that it knows make it start another
program. Only the raster formats of `FORMATS` are opened here, by decoders that run inside this process.
"""

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

FORMATS = ("JPEG", "PNG", "BMP", "DIB", "WEBP", "TIFF", "PPM", "GIF")
"""What frames of video datasets are stored as, by Pillow's names: no vector graphics and no documents."""

MAX_PIXELS = 2**26
"""Of one image, as of a frame of a video. What claims more would only fill the memory."""

IMAGE_ERRORS = (OSError, ValueError, SyntaxError, RuntimeError, Image.DecompressionBombError)
"""What `read_image` and Pillow's readers raise on files that are no images, or too large ones."""


def open_image(path: str | os.PathLike[str]) -> Image.Image:
    """The image at `path`, opened but not decoded: a context manager. One of `IMAGE_ERRORS` where it is none."""
    image = Image.open(path, formats=FORMATS)
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise ValueError(f"{image.width} x {image.height}, more than {MAX_PIXELS} pixels")
    return image


def read_image(path: str | os.PathLike[str], gray: bool = False) -> Pixels:
    """RGB uint8 `[h, w, 3]`, or `[h, w]` if `gray`; one of `IMAGE_ERRORS` where the file cannot be read as that.

    Palettes, CMYK and transparency are converted as Pillow does. EXIF metadata do not turn the image (in TIFF, whose
    orientation is a part of the format, they do). Of 16 bits the upper 8 are taken, as OpenCV's IMREAD_COLOR does.
    Values of 32 bits, whole or floating, are refused: their scale is not known.
    """
    with open_image(path) as image:
        if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
            eight: Any = (np.asarray(image) >> 8).astype(np.uint8)
            return eight if gray else np.repeat(eight[:, :, None], 3, axis=2)
        if image.mode in ("I", "F"):
            raise ValueError("32-bit values, whose scale is not known; store frames with 8 or 16 bits")
        return np.array(image.convert("L" if gray else "RGB"))
