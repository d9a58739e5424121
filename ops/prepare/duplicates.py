"""Which entries of several lists are the same: in numbers alone, a few bytes for each of a million entries.

Entries of all lists are numbered one after the other; `bounds [L + 1]` says where each list begins and ends.
"""

import itertools

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Places = NDArray[np.int64]

NAMELESS = 0.01
"""Names of which more than this share occurs twice within a list say nothing: `class/1.mp4`, `other/1.mp4`."""


def earlier_in_list(hashes: Hashes, bounds: list[int]) -> Places:
    """For each entry the first one in the same list that equals it, -1 where it is the first itself."""
    earlier = np.full(len(hashes), -1)
    for start, stop in itertools.pairwise(bounds):
        _, first, inverse = np.unique(hashes[start:stop], return_index=True, return_inverse=True)
        same = first[inverse]
        repeated = same < np.arange(stop - start)
        earlier[start:stop][repeated] = same[repeated] + start
    return earlier


def in_later_list(hashes: Hashes, bounds: list[int]) -> Places:
    """For each entry one in a later list that equals it, -1 where there is none."""
    later = np.full(len(hashes), -1)
    for start, stop in itertools.pairwise(bounds):
        rest, first = np.unique(hashes[stop:], return_index=True)
        if rest.size:
            nearest = np.minimum(np.searchsorted(rest, hashes[start:stop]), rest.size - 1)
            equal = rest[nearest] == hashes[start:stop]
            later[start:stop][equal] = first[nearest][equal] + stop
    return later


def in_several_lists(hashes: Hashes, bounds: list[int]) -> Places:
    """The entries that equal one in another list, in order."""
    distinct = [np.unique(hashes[start:stop]) for start, stop in itertools.pairwise(bounds)]
    values, counts = np.unique(np.concatenate([np.empty(0, np.uint64), *distinct]), return_counts=True)
    return np.flatnonzero(np.isin(hashes, values[counts > 1]))


def names_tell(names: Hashes, files: Hashes, bounds: list[int]) -> bool:
    """Whether names tell videos apart within each list, so that equal ones in two lists mean something."""
    repeated = (earlier_in_list(names, bounds) >= 0) & (earlier_in_list(files, bounds) < 0)
    return float(repeated.mean()) <= NAMELESS if repeated.size else True
