"""A confusion matrix for a page: a figure with class names or, for many classes, a map that shows them on hover."""

import io
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ops.common.figures import cluster_order, confusion_figure
from ops.common.html import figure_uri, image_uri
from ops.report.results import Test

READABLE = 60
"""With more classes than this, the names beside a matrix would be too small for a page."""

PIXELS = 800
"""The smallest side of the map."""

PAIRS = 50
"""How many of the most frequent confusions are listed."""


@dataclass(frozen=True)
class Pair:
    """A class that was predicted as another: how often, and in percent of its videos."""

    label: str
    prediction: str
    times: int
    share: float


@dataclass(frozen=True)
class Confusion:
    """A picture of the matrix, and its most frequent confusions.

    `cells` is for maps without names, else {}: `names` in the order of the picture, and `counts`, row → column → times.
    """

    uri: str
    pairs: list[Pair]
    cells: dict[str, Any]


def describe_confusion(test: Test) -> Confusion | None:
    """The confusion of a test, None if it wrote none."""
    if test.confusion is None:
        return None
    count = len(test.confusion)
    named = [row.name for row in test.classes]
    names = named if len(named) == count else [str(k) for k in range(count)]
    pairs = common_pairs(test.confusion, names)
    if count <= READABLE:
        return Confusion(figure_uri(confusion_figure(test.confusion, names)), pairs, {})
    order = cluster_order(test.confusion)
    matrix = test.confusion[order][:, order]
    counts = {y: {int(x): int(matrix[y, x]) for x in np.flatnonzero(matrix[y])} for y in range(count)}
    return Confusion(image_uri(draw_map(matrix)), pairs, {"names": [names[k] for k in order], "counts": counts})


def common_pairs(confusion: NDArray[np.int64], names: list[str]) -> list[Pair]:
    """The most frequent confusions."""
    wrong = confusion.copy()
    np.fill_diagonal(wrong, 0)
    videos = np.maximum(confusion.sum(axis=1), 1)
    best = np.argsort(-wrong, axis=None, kind="stable")[:PAIRS].tolist()
    places = [divmod(place, len(wrong)) for place in best]
    return [Pair(names[y], names[x], int(wrong[y, x]), 100 * wrong[y, x] / videos[y]) for y, x in places if wrong[y, x]]


def draw_map(confusion: NDArray[np.int64]) -> bytes:
    """`[K, K]` → a PNG with a square per cell, in the colours of `confusion_figure`."""
    share = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    levels = np.round(255 * np.sqrt(share)).astype(np.uint8)
    side = -(-PIXELS // len(levels))
    image = Image.fromarray(np.kron(levels, np.ones((side, side), np.uint8)))  # "L", then its colours
    colours = matplotlib.colormaps["Blues"](np.arange(256), bytes=True)[:, :3]
    image.putpalette(colours.astype(np.uint8).tobytes())
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
