"""Fonts that have the characters of class names: DejaVu Sans, or an installed font that has more of them."""

import functools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import font_manager, ft2font
from PIL import ImageFont

DEFAULT = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")


def font_file(texts: Iterable[str]) -> str:
    """The file of the font that has most of the characters in `texts`; DejaVu Sans if it has them all."""
    wanted = frozenset(letter for text in texts for letter in text if letter.isprintable())
    return _font_file(wanted)


def font(texts: Iterable[str], size: int) -> ImageFont.FreeTypeFont:
    """The font of `font_file` for drawing on images, `size` pixels high."""
    return ImageFont.truetype(font_file(texts), size)


@functools.lru_cache
def _font_file(wanted: frozenset[str]) -> str:
    best, least = str(DEFAULT), _missing(str(DEFAULT), wanted)
    if least:
        regular = (entry.fname for entry in font_manager.fontManager.ttflist if entry.style == "normal")
        for file in sorted(set(regular)):
            missing = _missing(file, wanted)
            if missing < least:
                best, least = file, missing
    return best


def _missing(file: str, wanted: frozenset[str]) -> int:
    try:
        face: Any = ft2font.FT2Font(file)
    except (OSError, RuntimeError):  # listed, but missing or broken
        return len(wanted) + 1
    return sum(not face.get_char_index(ord(letter)) for letter in wanted)
