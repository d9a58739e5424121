"""Loader processes that are killed or cannot deliver their batches: reported in one line, at one place in the code.

PyTorch detects the death of a loader process in a signal handler, so its error can be raised anywhere in the main
process, even while it saves a checkpoint. With this module it is only raised while waiting for a batch.
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
"""Exit statuses of a loader process that cannot deliver a batch: no shared memory, no more open files."""

DYING = 2.0
"""Seconds within which a process that has closed its connections should have ended."""

_FILES = "the limit on open files is too low: raise it (ulimit -n), or use a smaller -j"
_ROOM = "/dev/shm is too small for the data of the loader processes: make it larger, or use a smaller -j"
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
    """Within the block, the death of a loader process raises RuntimeError, immediately if it has already died."""
    global _waiting
    _waiting = True
    try:
        _error_if_any_worker_fails()
        yield
    finally:
        _waiting = False


def hold_back_deaths() -> None:
    """Make PyTorch's signal handler, installed when a loader starts, act only within `noticing_deaths`."""
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
    """Called in a loader process: exit, with a status that gives the reason, if a batch cannot be delivered.

    Otherwise a traceback would be printed, and the main process would wait for that batch.
    """
    multiprocessing.queues.Queue._on_queue_feeder_error = staticmethod(_end)  # type: ignore[attr-defined]


def _end(error: BaseException, item: Any) -> None:
    files = isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)
    os._exit(NO_FILES if files or "Too many open files" in str(error) else NO_ROOM)


def why_workers_failed(error: Exception, iterator: Any) -> RunStoppedError | None:
    """The error to report for an `error` raised while waiting for a batch; None if it has another cause.

    `iterator` is that of the loader, or None if it could not be started.
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
        return RunStoppedError(f"a loader process has died: {what}; if memory ran out, use a smaller -j")
    if iterator is None and isinstance(error, OSError):
        return RunStoppedError(f"the loader processes cannot be started ({error.strerror or error})")
    return None


def _one_died(iterator: Any) -> bool:
    """Whether a loader process has died, or dies within `DYING` seconds."""
    workers, end = getattr(iterator, "_workers", ()), time.monotonic() + DYING
    while time.monotonic() < end:
        if any(not worker.is_alive() for worker in workers):
            return True
        time.sleep(0.05)
    return False
