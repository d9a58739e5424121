"""Validating the `meta` of a checkpoint once, when it is read, so that all code that uses it can trust its types."""

import os
from collections.abc import Callable, Mapping
from typing import Any

from ops.common.errors import InputError

LARGEST_SIDE = 16384
"""The largest input size in pixels that is accepted."""


def check_meta(meta: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """InputError, naming the file at `path`, if a value that is used has the wrong type or range."""
    for key, (is_right, wanted) in _KNOWN.items():
        value = meta.get(key)
        if value is not None and not is_right(value):
            raise InputError(f"{path}: {key} in its meta is {str(value)[:40]!r}, but must be {wanted}")


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping) and all(map(_is_text, value))


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and 1 <= value <= LARGEST_SIDE


def _is_share(value: Any) -> bool:
    return _is_number(value) and 0 <= value < 1


def _is_choice(value: Any) -> bool:
    return isinstance(value, bool)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(map(_is_text, value))


def _is_numbers(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(map(_is_number, value))


def _is_results(value: Any) -> bool:
    return _is_mapping(value) and all(part is None or _is_number(part) or _is_text(part) for part in value.values())


_TEXT = (_is_text, "a text")
_SIZE = (_is_size, f"an integer from 1 to {LARGEST_SIDE}")
_MAPPING = (_is_mapping, "a dictionary with string keys")
_KNOWN: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(("dataset", "modality", "sampling", "consensus", "untrained", "commit"), _TEXT),
    **dict.fromkeys(("input_size", "scale_size", "num_segments"), _SIZE),
    **dict.fromkeys(("recipe", "versions"), _MAPPING),
    **dict.fromkeys(("class_names", "history"), (_is_texts, "a list of strings")),
    **dict.fromkeys(("mean", "std"), (_is_numbers, "a list of numbers")),
    "multi_label": (_is_choice, "True or False"),
    "dropout": (_is_share, "a number in [0, 1)"),
    "results": (_is_results, "a dictionary of numbers"),
}
