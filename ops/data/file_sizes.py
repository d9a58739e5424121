"""Sizes of a sample of a list's files, so that a resumed run notices if files were replaced."""

import os
from collections.abc import Sequence

import numpy as np

from ops.data.frame_source import Reader
from ops.data.lists import Records

SAMPLE = 1000
"""Files checked per list: this takes milliseconds on a local disk, a second or two on a network file system."""


def sampled_places(length: int) -> list[int]:
    """Which of `length` entries are checked, in order: all, or `SAMPLE` of them, depending only on `length`."""
    if length <= SAMPLE:
        return list(range(length))
    return sorted(map(int, np.random.default_rng(length).choice(length, SAMPLE, replace=False)))


def sampled_sizes(records: Records, root: str, reader: Reader) -> list[int]:
    """Size in bytes of each sampled entry's file (for a frame folder, of its first image); -1 if missing.

    Modification times are not compared, because they change when the data are copied to another disk.
    """
    return [_size(reader.first_file(os.path.join(root, records.path(place)))) for place in sampled_places(len(records))]


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except (OSError, ValueError):
        return -1


def changed_files(before: object, now: Sequence[int], records: Records) -> str:
    """A message with the number of files whose size differs from `before`, and the first of them; else ""."""
    if not isinstance(before, list) or len(before) != len(now):
        return ""
    pairs = zip(sampled_places(len(records)), before, now, strict=True)
    changed = [place for place, then, size in pairs if then != size]
    if not changed:
        return ""
    return (
        f"the files of {len(changed)} of {len(now)} checked entries of {records.source}, such as "
        f"{records.path(changed[0])}"
    )
