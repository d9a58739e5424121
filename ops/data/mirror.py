"""The mirror rule: the class of a clip's mirror image if mirroring changes it, as with left and right."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ops.data.dataset_configs import DatasetConfig


def mirror_partners(config: DatasetConfig, num_classes: int, class_names: Sequence[str] | None) -> NDArray[np.int64]:
    """The class `[K]` of each class's mirror image; -1 if it has none, and its clips must not be mirrored.

    If mirroring changes classes, names decide: left ↔ right and clockwise ↔ counter-clockwise; a name whose
    counterpart is not a class has no mirror image. Without names the dataset's `swap_pairs` are used, if the number of
    classes is the dataset's; otherwise all are -1.
    """
    partners = np.arange(num_classes)
    if not config.swap:
        return partners
    if class_names:
        place = {_words(name): index for index, name in enumerate(class_names)}
        for index, words in enumerate(map(_words, class_names)):
            if _mirrored(words) != words:
                partners[index] = place.get(_mirrored(words), -1)
        return partners
    if num_classes != config.num_classes or not config.swap_pairs:
        return np.full(num_classes, -1)
    for one, other in config.swap_pairs:
        partners[[one, other]] = other, one
    return partners


_MIRRORED_WORDS = {
    "left": "right",
    "right": "left",
    "clockwise": "counterclockwise",
    "counterclockwise": "clockwise",
}


def _words(name: str) -> str:
    """A class name for comparison: lower case, words separated by one space, one spelling of counterclockwise."""
    words = " ".join(re.findall(r"[^\W_]+", name.lower()))
    return re.sub(r"\b(counter|anti) ?clockwise\b", "counterclockwise", words)


def _mirrored(words: str) -> str:
    return " ".join(_MIRRORED_WORDS.get(word, word) for word in words.split())
