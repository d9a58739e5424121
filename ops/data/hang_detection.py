"""Videos on which a decoder hangs: noticed, named, and passed over by the next run."""

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
"""How often the board is looked at while a video is allowed to take."""

HUNG = "hung.txt"
"""The file, in the folder of a run or of a test, with the full paths of the videos on which a decoder hung there."""


class Board:
    """What each of the workers is reading and since when, for the process that waits for them to look at."""

    def __init__(self, workers: int) -> None:
        self._entries = torch.full((workers, 2), -1.0, dtype=torch.float64)  # index, seconds
        self._entries.share_memory_()  # type: ignore[no-untyped-call]

    @contextmanager
    def reading(self, index: int) -> Iterator[None]:
        """For a worker: it is reading video `index` from here to the end of the block."""
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
        """What is being read at this moment: the videos, and since when."""
        return [(int(index), since) for index, since in self._entries.tolist() if index >= 0]


class Suspects:
    """What was too slow at the last look: only what still is at the next one hangs, for all may have been suspended.

    `idle` counts the looks in a row at which nothing was being read.
    """

    def __init__(self) -> None:
        self.idle, self._slow = 0, frozenset[tuple[int, float]]()

    def confirmed(self, board: Board, seconds: float) -> list[int]:
        """Look at the board: the videos that were and are being read for longer than that."""
        reading, now = board.read_now(), time.monotonic()
        self.idle = 0 if reading else self.idle + 1
        slow = frozenset(entry for entry in reading if now - entry[1] > seconds)
        both, self._slow = slow & self._slow, slow
        return sorted(index for index, _ in both)


NO_BOARD = Board(0)
"""For datasets on which no one waits."""


class HungError(RunStoppedError):
    """A decoder hangs on the videos `paths`."""

    def __init__(self, paths: list[str], seconds: float) -> None:
        self.paths = paths
        super().__init__(
            f"{', '.join(paths)}: not read in {seconds:g} s (--decode_timeout); the same command, with --resume auto "
            "where it trains, goes on without it"
        )


@contextmanager
def noting_hangs(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Add the videos of a `HungError` to those that are passed over by what runs next in `folder`."""
    try:
        yield
    except HungError as error:
        try:
            with appended_file(make_folder(folder) / HUNG) as file:
                file.write("".join(f"{path}\n" for path in error.paths))
        except InputError as problem:
            raise RunStoppedError(f"{error}, if it is named in {HUNG}; {problem}") from error
        raise


def videos_that_hung(folder: str | os.PathLike[str]) -> frozenset[str]:
    """Those named in `folder`; none where nothing ever hung there. InputError where that cannot be read."""
    path = Path(folder) / HUNG
    try:
        text = path.read_text("utf-8", "surrogateescape")
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    return frozenset(filter(None, text.split("\n")))


def check_not_passed_over(path: str, passed_over: Collection[str]) -> None:
    """MediaError where the video `path` is one of them."""
    if path in passed_over:
        raise MediaError(path, f"passed over, for its decoder hung before ({HUNG})")
