"""Finding duplicate entries of several lists with integer arrays: a few bytes per entry, for millions of entries.

Entries of all lists are numbered consecutively; `bounds [L + 1]` are the first numbers of each list, and the end.
"""

import itertools

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Places = NDArray[np.int64]

NAMELESS = 0.01
"""If more than this fraction of names is repeated within a list, names do not identify videos: `a/1.mp4`, `b/1.mp4`."""


def earlier_in_list(hashes: Hashes, bounds: list[int]) -> Places:
    """For each entry the first equal one in the same list, -1 if it is the first itself."""
    earlier = np.full(len(hashes), -1)
    for start, stop in itertools.pairwise(bounds):
        _, first, inverse = np.unique(hashes[start:stop], return_index=True, return_inverse=True)
        same = first[inverse]
        repeated = same < np.arange(stop - start)
        earlier[start:stop][repeated] = same[repeated] + start
    return earlier


def in_later_list(hashes: Hashes, bounds: list[int]) -> Places:
    """For each entry an equal one in a later list, -1 if there is none."""
    later = np.full(len(hashes), -1)
    for start, stop in itertools.pairwise(bounds):
        rest, first = np.unique(hashes[stop:], return_index=True)
        if rest.size:
            nearest = np.minimum(np.searchsorted(rest, hashes[start:stop]), rest.size - 1)
            equal = rest[nearest] == hashes[start:stop]
            later[start:stop][equal] = first[nearest][equal] + stop
    return later


def in_several_lists(hashes: Hashes, bounds: list[int]) -> Places:
    """The entries that are equal to one in another list, in order."""
    distinct = [np.unique(hashes[start:stop]) for start, stop in itertools.pairwise(bounds)]
    values, counts = np.unique(np.concatenate([np.empty(0, np.uint64), *distinct]), return_counts=True)
    return np.flatnonzero(np.isin(hashes, values[counts > 1]))


def names_tell(names: Hashes, files: Hashes, bounds: list[int]) -> bool:
    """Whether names identify videos within each list, so that equal names in two lists are meaningful."""
    repeated = (earlier_in_list(names, bounds) >= 0) & (earlier_in_list(files, bounds) < 0)
    return float(repeated.mean()) <= NAMELESS if repeated.size else True
