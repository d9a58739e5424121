"""The scores of an unfinished test, on disk, so that an interrupted test continues where it stopped."""

import base64
import binascii
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ops.common.errors import InputError, RunStoppedError, write_error
from ops.common.storage import make_folder

Scored = tuple[NDArray[np.float32], str]
"""The scores `[K]` of a video, and what was wrong with it ("": nothing)."""


class PartialScores:
    """The videos that a test with these `settings` has scored, in `folder`; each process appends to its own file.

    Each line has one video; incomplete lines, from a crash of the machine, are ignored. Scores are only reused if
    `settings` (plain data: checkpoints, lists, protocol, precision …) are the same and the video's file is unchanged
    (see `storage.stamp_of`).
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], videos: int, classes: int) -> None:
        key = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()[:16]
        self.folder, self.prefix, self.videos, self.classes = folder, f"partial.{key}.", videos, classes
        self._file: IO[str] | None = None
        self._path = Path()

    @property
    def exist(self) -> bool:
        """Whether an earlier run has stored scores."""
        return bool(self._files())

    def read(self, stamp_of: Callable[[int], str]) -> dict[int, Scored]:
        """The earlier scores of videos that still have the same stamp, by index in the list.

        InputError if the files cannot be read.
        """
        done: dict[int, Scored] = {}
        for path in self._files():
            try:
                with path.open(encoding="utf-8", errors="replace") as file:
                    for entry in filter(None, map(self._parse, file)):
                        index, stamp, scored = entry
                        if stamp_of(index) == stamp:
                            done[index] = scored
            except OSError as error:
                raise InputError(
                    f"{path}: cannot be read ({error.strerror or error}); delete it to start again"
                ) from None
        return done

    @contextmanager
    def writing(self, rank: int) -> Iterator[None]:
        """Open the file of process `rank`; `add` can be called within the block."""
        self._path = self.folder / f"{self.prefix}{time.time_ns()}.{rank}.jsonl"
        try:
            self._file = self._open()
        except OSError as error:
            raise write_error(self._path, error) from error
        try:
            yield
        finally:
            with suppress(OSError):  # retries a failed write
                self._file.close()
            self._file = None

    def add(self, index: int, scores: NDArray[np.float32], note: str, stamp: str) -> None:
        """Store the scores `[K]` of a video, which had this `stamp` when it was read.

        Once this returns, they survive the death of this process. RunStoppedError if they cannot be written.
        """
        assert self._file
        encoded = base64.b64encode(scores.astype("<f4").tobytes()).decode()
        try:
            self._file.write(json.dumps([index, note, encoded, stamp]) + "\n")
            self._file.flush()
            if not self._in_place():
                self._write_again()
        except (InputError, OSError) as error:
            reason = error if isinstance(error, InputError) else error.strerror or error
            raise RunStoppedError(f"{self._path}: scores cannot be written ({reason})") from error

    @contextmanager
    def removed_when_done(self) -> Iterator[None]:
        """Delete the scores after the block, which writes results; if it fails, the error says that they are kept."""
        try:
            yield
        except InputError as error:
            if self._files():
                raise RunStoppedError(f"{error}; scores are kept: run the same command again to continue") from error
            raise
        self.remove()

    def remove(self) -> None:
        """Delete all stored scores, because the test is complete."""
        for path in self._files():
            path.unlink(missing_ok=True)

    def _open(self) -> IO[str]:
        return self._path.open("a+", encoding="utf-8", errors="surrogateescape")

    def _in_place(self) -> bool:
        """Whether the open file is still in its folder."""
        assert self._file
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(self._file.fileno()))
        except OSError:
            return False

    def _write_again(self) -> None:
        """Copy what was written so far to a new file, after the folder was removed or moved during the test."""
        assert self._file
        make_folder(self.folder)
        self._file.seek(0)
        again = self._open()
        again.write(self._file.read())
        again.flush()
        self._file.close()
        self._file = again

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob(f"{self.prefix}*.jsonl"))

    def _parse(self, line: str) -> tuple[int, str, Scored] | None:
        try:
            index, note, encoded, stamp = json.loads(line)
            scores = np.frombuffer(base64.b64decode(encoded, validate=True), "<f4").astype(np.float32)
        except (ValueError, TypeError, RecursionError, binascii.Error):
            return None
        whole = line.endswith("\n") and isinstance(index, int) and isinstance(note, str) and isinstance(stamp, str)
        if not whole or not 0 <= index < self.videos or scores.shape != (self.classes,):
            return None
        return index, stamp, (scores, note)
