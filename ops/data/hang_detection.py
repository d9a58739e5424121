"""Videos on which a decoder hangs: detected, reported, and skipped by the next run."""

import os
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.utils.data import get_worker_info

from ops.common.errors import InputError, MediaError, RunStoppedError
from ops.common.storage import appended_file, make_folder

LOOKS = 4
"""How often the board is checked within the time that a video may take."""

HUNG = "hung.txt"
"""The file, in the folder of a run or test, that lists the full paths of videos on which a decoder hung."""


class Board:
    """Shared memory that shows the main process what each worker is reading, and since when."""

    def __init__(self, workers: int) -> None:
        self._entries = torch.full((workers, 2), -1.0, dtype=torch.float64)  # index, seconds
        self._entries.share_memory_()  # type: ignore[no-untyped-call]

    @contextmanager
    def reading(self, index: int) -> Iterator[None]:
        """Called in a worker: records that it reads video `index` within the block."""
        worker = get_worker_info()
        if worker is None or worker.id >= len(self._entries):
            yield
            return
        entry = self._entries[worker.id]
        entry[1] = time.monotonic()
        entry[0] = index
        try:
            yield
        finally:
            entry[0] = -1

    def read_now(self) -> list[tuple[int, float]]:
        """The videos that are being read at this moment, and since when."""
        return [(int(index), since) for index, since in self._entries.tolist() if index >= 0]


class Suspects:
    """Videos that were too slow at the last check. Only those still being read at the next check count as hung, because
    all processes may have been suspended in between.

    `idle` counts consecutive checks at which nothing was being read.
    """

    def __init__(self) -> None:
        self.idle, self._slow = 0, frozenset[tuple[int, float]]()

    def confirmed(self, board: Board, seconds: float) -> list[int]:
        """Check the board; returns the videos that have been read for longer than `seconds` at two checks in a row."""
        reading, now = board.read_now(), time.monotonic()
        self.idle = 0 if reading else self.idle + 1
        slow = frozenset(entry for entry in reading if now - entry[1] > seconds)
        both, self._slow = slow & self._slow, slow
        return sorted(index for index, _ in both)


NO_BOARD = Board(0)
"""For datasets that are not watched."""


class HungError(RunStoppedError):
    """A decoder hung on the videos `paths`."""

    def __init__(self, paths: list[str], seconds: float) -> None:
        self.paths = paths
        super().__init__(
            f"{', '.join(paths)}: not read within {seconds:g} s (--decode_timeout); run the same command again, "
            "in training with --resume auto, to continue without it"
        )


@contextmanager
def noting_hangs(folder: str | os.PathLike[str]) -> Iterator[None]:
    """On a `HungError`, add its videos to those that the next run in `folder` skips."""
    try:
        yield
    except HungError as error:
        try:
            with appended_file(make_folder(folder) / HUNG) as file:
                file.write("".join(f"{path}\n" for path in error.paths))
        except InputError as problem:
            raise RunStoppedError(f"{error}, after adding it to {HUNG}, which failed: {problem}") from error
        raise


def videos_that_hung(folder: str | os.PathLike[str]) -> frozenset[str]:
    """The videos listed in the `HUNG` file of `folder`; none without that file. InputError if it cannot be read."""
    path = Path(folder) / HUNG
    try:
        text = path.read_text("utf-8", "surrogateescape")
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    return frozenset(filter(None, text.split("\n")))


def check_not_passed_over(path: str, passed_over: Collection[str]) -> None:
    """MediaError if the video `path` is in `passed_over`."""
    if path in passed_over:
        raise MediaError(path, f"skipped, because a decoder hung on it before ({HUNG})")
