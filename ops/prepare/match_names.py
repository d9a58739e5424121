"""Matching files to the names in annotations."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Key = Callable[[str], str]
"""The part of a name, or of a path without extension, that is compared."""

Rules = Sequence[tuple[Key, Key]]
"""Pairs of keys: for names and for paths."""


@dataclass(frozen=True)
class Matches:
    """The result of `match`.

    files: for each name the index of its file `[N]`, -1 if it has none.
    again: which names are repeated `[N]`; repeated names get no file.
    spare: files whose name already has another file: pairs of file and name.
    """

    files: NDArray[np.int64]
    again: NDArray[np.bool_]
    spare: list[tuple[int, int]]


def match(names: Sequence[str], paths: Sequence[str], rules: Rules, stem: Key) -> Matches:
    """Find the file of each of `names [N]` among `paths [F]`, comparing the `stem` of each path.

    The `rules` are tried in turn on the remaining files; a key that several names share is not used. If a rule matches
    several files to a name, the first is used.
    """
    files = np.full(len(names), -1, np.int64)
    distinct = np.sort(np.unique(_hashes(names), return_index=True)[1])
    again = np.ones(len(names), np.bool_)
    again[distinct] = False
    left = np.arange(len(paths))
    spare: list[tuple[int, int]] = []
    for key_of_name, key_of_path in rules if len(names) else ():
        keys, first, counts = np.unique(
            _hashes(key_of_name(names[number]) for number in distinct.tolist()), return_index=True, return_counts=True
        )
        wanted = _hashes(key_of_path(stem(paths[number])) for number in left.tolist())
        place = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
        hits = (keys[place] == wanted) & (counts[place] == 1)
        for file, name in zip(left[hits].tolist(), distinct[first[place[hits]]].tolist(), strict=True):
            if files[name] < 0:
                files[name] = file
            else:
                spare.append((file, name))
        left = left[~hits]
    return Matches(files, again, spare)


def whole(text: str) -> str:
    """A key: the whole text."""
    return text


def last(text: str) -> str:
    """A key: the part after the last slash."""
    return os.path.basename(text)


def last_two(text: str) -> str:
    """A key: the part after the last slash, and the folder before it."""
    return "/".join(text.rsplit("/", 2)[-2:])


def _hashes(texts: Iterable[str]) -> NDArray[np.int64]:
    """A 64-bit hash of each: among a million texts, the chance of any collision is about one in 10 million."""
    return np.fromiter(map(hash, texts), np.int64)
