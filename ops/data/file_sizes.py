"""The sizes of some of a list's files, by which a run that goes on notices that they were replaced."""

import os
from collections.abc import Sequence

import numpy as np

from ops.data.frame_source import Reader
from ops.data.lists import Records

SAMPLE = 1000
"""Files per list that are looked at: milliseconds on a local disk, a second or two on one in a network."""


def sampled_places(length: int) -> list[int]:
    """Which of `length` entries are looked at, in order: all, or `SAMPLE` that depend on `length` alone."""
    if length <= SAMPLE:
        return list(range(length))
    return sorted(map(int, np.random.default_rng(length).choice(length, SAMPLE, replace=False)))


def sampled_sizes(records: Records, root: str, reader: Reader) -> list[int]:
    """Bytes of the file (of a frame folder: of its first image) of each sampled entry; -1 where there is none.

    Times of change are left out: a copy of the data on another disk has others.
    """
    return [_size(reader.first_file(os.path.join(root, records.path(place)))) for place in sampled_places(len(records))]


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except (OSError, ValueError):
        return -1


def changed_files(before: object, now: Sequence[int], records: Records) -> str:
    """In words, how many files of the list have another size than `before`, and which is the first; else ""."""
    if not isinstance(before, list) or len(before) != len(now):
        return ""
    pairs = zip(sampled_places(len(records)), before, now, strict=True)
    changed = [place for place, then, size in pairs if then != size]
    if not changed:
        return ""
    return (
        f"the files of {len(changed)} of {len(now)} entries of {records.source} that were looked at, such as "
        f"{records.path(changed[0])}"
    )
