"""Which file belongs to which name of the annotations."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Key = Callable[[str], str]
"""What is compared of a name, or of a path without extension."""

Rules = Sequence[tuple[Key, Key]]
"""Pairs of what is compared: of the names, of the paths."""


@dataclass(frozen=True)
class Matches:
    """What `match` found.

    files: for each name the number of its file `[N]`, -1 where it has none.
    again: which names stand there a second time `[N]`; they have no file.
    spare: files whose name has another one already: pairs of file and name.
    """

    files: NDArray[np.int64]
    again: NDArray[np.bool_]
    spare: list[tuple[int, int]]


def match(names: Sequence[str], paths: Sequence[str], rules: Rules, stem: Key) -> Matches:
    """Give each of `names [N]` its file among `paths [F]`, of which `stem` is compared.

    The `rules` are tried in turn on the files that are left; a key that several names share decides nothing. Of
    several files that one rule gives to a name, the first is taken.
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
    """A key: all of it."""
    return text


def last(text: str) -> str:
    """A key: what comes after the last slash."""
    return os.path.basename(text)


def last_two(text: str) -> str:
    """A key: that, and the folder before it."""
    return "/".join(text.rsplit("/", 2)[-2:])


def _hashes(texts: Iterable[str]) -> NDArray[np.int64]:
    """64 bits of each: among a million texts, two are taken for one in one case of 10 million."""
    return np.fromiter(map(hash, texts), np.int64)
