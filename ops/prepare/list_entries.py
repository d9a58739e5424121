"""The entries of several lists: as items of a job, and duplicates among them."""

import contextlib
import filecmp
import hashlib
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ops.common.string_array import hash_of
from ops.data.lists import Records
from ops.prepare.check_rules import Problem
from ops.prepare.duplicates import Hashes, Places, earlier_in_list, in_later_list, in_several_lists, names_tell
from ops.prepare.journal import Outcome

EXTRACT = 65536
"""Bytes at both ends of a file that are compared before the whole file."""


class Entries:
    """The entries of `lists`, numbered consecutively; as items of a job, each distinct path once."""

    def __init__(self, lists: Sequence[Records]) -> None:
        self.lists = lists
        self.bounds = [0, *itertools.accumulate(map(len, lists))]
        hashes = np.fromiter(map(hash_of, self.paths()), np.uint64, self.bounds[-1])
        self._first = np.zeros(len(hashes), bool)
        self._first[np.unique(hashes, return_index=True)[1]] = True

    def __len__(self) -> int:
        return int(self._first.sum())

    def __iter__(self) -> Iterator[str]:
        return itertools.compress(self.paths(), self._first)

    def paths(self) -> Iterator[str]:
        """The normalised path of every entry (see `plain_path`)."""
        return (plain_path(records.path(index)) for records in self.lists for index in range(len(records)))

    def where(self, place: int) -> str:
        """`file:line` of an entry."""
        number = int(np.searchsorted(self.bounds, place, "right")) - 1
        return self.lists[number].where(place - self.bounds[number])

    def path(self, place: int) -> str:
        """The normalised path of an entry."""
        number = int(np.searchsorted(self.bounds, place, "right")) - 1
        return plain_path(self.lists[number].path(place - self.bounds[number]))

    def labels(self, place: int) -> tuple[int, ...] | None:
        """The labels of an entry, None if the list does not have them."""
        number = int(np.searchsorted(self.bounds, place, "right")) - 1
        return self.lists[number].labels_of(place - self.bounds[number])


def plain_path(path: str) -> str:
    """`path` without `./` and repeated slashes; `..` is kept, because it depends on symbolic links."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return ("/" if path.startswith("/") else "") + "/".join(parts)


@dataclass(frozen=True)
class Relations:
    """For each entry another one that is equal in some way, -1 if there is none.

    `duplicate`: the same file, earlier in the same list. The others refer to a later list, so that an overlap of
    training and validation is reported for training: `leak`, the same file; `copy`, the same bytes; `same_name`, only
    the same name.
    """

    entries: Entries
    duplicate: Places
    leak: Places
    copy: Places
    same_name: Places

    def problems(self, place: int) -> Iterator[Problem]:
        """The problems of an entry in relation to others; of several relations to one list, only the closest."""
        other = int(self.duplicate[place])
        if other >= 0:
            labels = self.entries.labels(other), self.entries.labels(place)
            yield "duplicate", self._words(other) + (", with another label" if labels[0] != labels[1] else "")
        for kind in ("leak", "copy", "same_name"):
            other = int(getattr(self, kind)[place])
            if other >= 0:
                yield kind, self._words(other)
                return

    def _words(self, place: int) -> str:
        return f"see {self.entries.where(place)}"


def relate(entries: Entries, outcome_of: Callable[[str], Outcome], is_video: bool, root: str) -> Relations:
    """The relations of all entries; `outcome_of` gives the outcome of a path below `root`. Memory: 32 bytes per entry.

    Files whose size also occurs in another list are read and compared, a part of them first.
    """
    files, names, sizes = (np.empty(entries.bounds[-1], np.uint64) for _ in range(3))
    for place, path in enumerate(entries.paths()):
        found = outcome_of(path).value
        name = os.path.basename(path)
        name = os.path.splitext(name)[0] if is_video else name
        files[place] = hash_of(found.get("file", path))
        names[place] = hash_of(name)
        sizes[place] = hash_of(f"{found['size']}/{'' if is_video else found['frames']}" if "size" in found else path)
    nowhere = np.full(len(files), -1)
    named = in_later_list(names, entries.bounds) if names_tell(names, files, entries.bounds) else nowhere
    return Relations(
        entries,
        earlier_in_list(files, entries.bounds),
        in_later_list(files, entries.bounds),
        _with_same_bytes(entries, sizes, files, root),
        named,
    )


def _with_same_bytes(entries: Entries, sizes: Hashes, files: Hashes, root: str) -> Places:
    """For each entry one in a later list with the same bytes, -1 if there is none."""
    contents = np.arange(len(sizes), dtype=np.uint64)  # all different
    for place in in_several_lists(sizes, entries.bounds).tolist():
        with contextlib.suppress(OSError):  # files that cannot be read are reported as such
            contents[place] = hash_of(f"{sizes[place]}/{_extract_of(os.path.join(root, entries.path(place)))}")
    copies = in_later_list(contents, entries.bounds)
    for place in np.flatnonzero(copies >= 0).tolist():
        one, other = (os.path.join(root, entries.path(number)) for number in (place, int(copies[place])))
        with contextlib.suppress(OSError):
            if files[place] != files[int(copies[place])] and not _same_bytes(one, other):
                copies[place] = -1
    return copies


def _extract_of(path: str) -> str:
    """A hash of the beginning and the end of a file, or of the first and the last file of a folder."""
    digest = hashlib.blake2b(digest_size=16)
    inner = sorted(os.listdir(path)) if os.path.isdir(path) else []
    for name in (inner[0], inner[-1]) if inner else ("",):
        with open(os.path.join(path, name) if name else path, "rb") as file:
            part = file.read(EXTRACT)
            file.seek(max(os.fstat(file.fileno()).st_size - EXTRACT, 0))
            digest.update(part + file.read(EXTRACT))
    return digest.hexdigest()


def _same_bytes(one: str, other: str) -> bool:
    """Whether two files, or the files of two folders sorted by name, are equal byte for byte."""
    if not os.path.isdir(one):
        return filecmp.cmp(one, other, shallow=False)
    names = sorted(os.listdir(one)), sorted(os.listdir(other))
    pairs = zip(*names, strict=False)
    return len(names[0]) == len(names[1]) and all(
        filecmp.cmp(os.path.join(one, first), os.path.join(other, second), shallow=False) for first, second in pairs
    )
