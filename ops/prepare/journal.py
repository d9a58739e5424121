"""An append-only journal of finished work, so that a job killed at any moment continues where it stopped.

It has one line of JSON per item. A line cut short by a crash is ignored, and its item is processed again. Each shard
writes its own file in the same folder, and reads those of the others.
"""

import errno
import hashlib
import json
import math
import os
import time
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ops.common.errors import InputError, write_error
from ops.common.folder_lock import lock_file
from ops.common.storage import make_folder, remove_file
from ops.common.string_array import hash_of

SYNC_EVERY = 200
"""Lines between two syncs to disk: a crash of the machine loses at most these; a crash of the process loses none."""

OPEN_FILES = 200
"""How many files of other shards are open for reading at the same time."""

OFFSET_BITS = 48
"""The position of a line is one integer: the number of its file, and in this many low bits its offset."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of one item.

    `stamp` is the state of its source at the time (see `stamp_of`), `value` the result of the work, as plain JSON, and
    `reason` why it failed, empty if it did not.
    """

    item: str
    stamp: str
    value: dict[str, Any] = field(default_factory=dict)
    reason: str = ""

    @property
    def ok(self) -> bool:
        """Whether the work succeeded."""
        return not self.reason


class Journal:
    """The outcomes stored in `folder` for the work described by `settings` (plain JSON).

    Work with other settings uses other files. Each outcome takes 16 bytes of memory, whatever it contains. Use it as a
    context manager; `name` is this writer's own file, such as "1-of-4"; a second writer with that name gets an
    InputError.
    """

    def __init__(self, folder: str | os.PathLike[str], settings: Mapping[str, Any], name: str = "1-of-1") -> None:
        self.folder = make_folder(folder)
        text = json.dumps(settings, sort_keys=True)
        self._digest = hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
        self.path = self.folder / f"{self._digest}-{name}.jsonl"
        self._unsynced, self._latest = 0, 0.0
        self._own = self.path.open("ab", buffering=0)
        self._lock()
        self._end_last_line()
        self._paths: list[Path] = []
        self._open: dict[int, IO[bytes]] = {}
        self._hashes: NDArray[np.uint64] = np.empty(0, np.uint64)
        self._places: NDArray[np.uint64] = np.empty(0, np.uint64)
        self.reload()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all files and release the lock."""
        self._own.close()
        self._close_read()

    def remove(self) -> None:
        """Close and delete the files of all writers."""
        self.close()
        for path in self._paths:
            remove_file(path)

    def add(self, outcome: Outcome) -> None:
        """Append an outcome; once this returns, it survives the death of this process."""
        self._latest = max(time.time(), math.nextafter(self._latest, math.inf))  # even if the clock was set back
        line = json.dumps({"time": self._latest, **vars(outcome)}).encode() + b"\n"
        try:
            if self._own.write(line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._unsynced += 1
            if self._unsynced >= SYNC_EVERY:
                os.fsync(self._own.fileno())
                self._unsynced = 0
        except OSError as error:
            raise write_error(self.path, error) from error

    def reload(self) -> None:
        """Read what this process and others have added to the files."""
        self._close_read()
        self._paths = sorted(self.folder.glob(f"{self._digest}-*.jsonl"))
        hashes, places, times = array("Q"), array("Q"), array("d")
        for number in range(len(self._paths)):
            try:
                file = self._file(number)
            except FileNotFoundError:  # another shard has finished and removed the files
                continue
            last = -math.inf
            for offset, (written, outcome) in _read(file):
                last = max(last, written)  # lines of one file are in order, whatever their times
                hashes.append(hash_of(outcome.item))
                places.append(number << OFFSET_BITS | offset)
                times.append(last)
        self._latest = max(self._latest, max(times, default=0.0))
        order = np.lexsort((np.array(times), np.array(hashes)))
        self._hashes = np.array(hashes, np.uint64)[order]
        self._places = np.array(places, np.uint64)[order]

    def get(self, item: str, stamp: str) -> Outcome | None:
        """The last outcome of `item` at the last `reload`, if its source then had the state `stamp`."""
        wanted = np.uint64(hash_of(item))
        first, last = np.searchsorted(self._hashes, wanted, "left"), np.searchsorted(self._hashes, wanted, "right")
        for place in map(int, self._places[first:last][::-1]):
            file = self._file(place >> OFFSET_BITS)
            file.seek(place & (1 << OFFSET_BITS) - 1)
            parsed = _parse(file.readline())
            if parsed and parsed[1].item == item and parsed[1].stamp == stamp:
                return parsed[1]
        return None

    def _file(self, number: int) -> IO[bytes]:
        """The file of that number; a limited number of files stay open."""
        if number not in self._open:
            if len(self._open) == OPEN_FILES:
                self._close_read()
            self._open[number] = self._paths[number].open("rb")
        return self._open[number]

    def _close_read(self) -> None:
        while self._open:
            self._open.popitem()[1].close()

    def _lock(self) -> None:
        if not lock_file(self._own.fileno()):
            self._own.close()
            raise InputError(f"{self.path}: another process is doing the same work; wait for it, or end it")

    def _end_last_line(self) -> None:
        """End a line that was cut short by a crash, so that the next one starts on its own line."""
        if self._own.tell():
            with self.path.open("rb") as file:
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    self._own.write(b"\n")


def _read(file: IO[bytes]) -> Iterator[tuple[int, tuple[float, Outcome]]]:
    """The offset and content of each complete line."""
    offset = 0
    for line in file:
        parsed = _parse(line)
        if parsed:
            yield offset, parsed
        offset += len(line)


def _parse(line: bytes) -> tuple[float, Outcome] | None:
    """The time of an outcome, in seconds, and the outcome; None for an incomplete line."""
    if not line.endswith(b"\n"):
        return None
    try:
        entry = json.loads(line)
        return float(entry.pop("time")), Outcome(**entry)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
