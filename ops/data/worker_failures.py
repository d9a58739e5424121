"""Loader processes that are killed or cannot hand over what they read: noticed at one place, and said in one line.

PyTorch notices the death of a loader process in a signal handler, so its error can come up anywhere in the main
process, in the middle of saving a checkpoint too. Here it comes up only where a batch is waited for.
"""

import errno
import multiprocessing.queues
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from torch._C import _error_if_any_worker_fails

from ops.common.errors import InputError, RunStoppedError

NO_ROOM, NO_FILES = 71, 72
"""Exit statuses of a loader process that cannot hand a batch over: no shared memory, no more open files."""

DYING = 2.0
"""Seconds in which a process that has closed its connections should be gone."""

_FILES = "too few open files are allowed: raise the limit (ulimit -n), or take fewer -j"
_ROOM = "there is no room in /dev/shm for what the loader processes hand over: make it larger, or take fewer -j"
_STATUSES = {NO_FILES: _FILES, NO_ROOM: _ROOM}
_SIGNS = {
    "Too many open files": _FILES,
    "ancdata": _FILES,
    "No space left on device": _ROOM,
    "unable to mmap": _ROOM,
    "Bus error": _ROOM,
}

_waiting = False


@contextmanager
def noticing_deaths() -> Iterator[None]:
    """Within the block the death of a loader process raises RuntimeError, at once if it is dead already."""
    global _waiting
    _waiting = True
    try:
        _error_if_any_worker_fails()
        yield
    finally:
        _waiting = False


def hold_back_deaths() -> None:
    """Let PyTorch's signal handler, which is there once a loader was started, do its work in `noticing_deaths` only."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGCHLD"):
        return
    handler = signal.getsignal(signal.SIGCHLD)
    if callable(handler) and getattr(handler, "__name__", "") != _held_back.__name__:
        _held_back.handler = handler  # type: ignore[attr-defined]
        signal.signal(signal.SIGCHLD, _held_back)


def _held_back(number: int, frame: FrameType | None) -> None:
    if _waiting:
        _held_back.handler(number, frame)  # type: ignore[attr-defined]


def end_on_undelivered_batches() -> None:
    """For a loader process: end, with a status that says why, where a batch cannot be handed over.

    Else a traceback is printed and the main process waits for that batch.
    """
    multiprocessing.queues.Queue._on_queue_feeder_error = staticmethod(_end)  # type: ignore[attr-defined]


def _end(error: BaseException, item: Any) -> None:
    files = isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)
    os._exit(NO_FILES if files or "Too many open files" in str(error) else NO_ROOM)


def why_workers_failed(error: Exception, iterator: Any) -> RunStoppedError | None:
    """The one line for an `error` that came up while a batch was waited for; None if it is not the loaders'.

    `iterator` is that of the loader, or None where it could not even be started.
    """
    text = str(error)
    if isinstance(error, InputError):
        return None
    for worker in getattr(iterator, "_workers", ()):
        if worker.exitcode in _STATUSES:
            return RunStoppedError(_STATUSES[worker.exitcode])
    for sign, reason in _SIGNS.items():
        if sign in text and isinstance(error, RuntimeError | OSError):
            return RunStoppedError(reason)
    if text.startswith("DataLoader worker") or (isinstance(error, OSError | EOFError) and _one_died(iterator)):
        what = text.splitlines()[0] if text.startswith("DataLoader worker") else "it has closed its connection"
        return RunStoppedError(f"a process that reads videos is gone: {what}; if memory ran out, fewer -j help")
    if iterator is None and isinstance(error, OSError):
        return RunStoppedError(f"the processes that read videos cannot be started ({error.strerror or error})")
    return None


def _one_died(iterator: Any) -> bool:
    """Whether a loader process is gone, or goes within a moment."""
    workers, end = getattr(iterator, "_workers", ()), time.monotonic() + DYING
    while time.monotonic() < end:
        if any(not worker.is_alive() for worker in workers):
            return True
        time.sleep(0.05)
    return False
