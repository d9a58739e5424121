"""A lock on an output folder: two runs never write into one folder at the same time.

The lock is the kernel's (`flock` on a hidden file in the folder), so it ends with its process, even after `kill -9`.
The file only says who holds the lock; it is removed at the end, and one left by a killed process is reused.
"""

import errno
import json
import logging
import os
import socket
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ops.common.errors import InputError
from ops.common.text import one_line

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)

LOCK = ".lock"
"""The file's name in the folder."""

RETRIES = 20
"""How often to retry, every 50 ms, when a lock file is just being written or removed."""

COMMAND = 200
"""Characters of the holder's command that are kept and shown."""

_held: set[int] = set()
_warned: set[str] = set()


@contextmanager
def locked_folder(folder: str | os.PathLike[str], advice: str = "", share: str = "") -> Iterator[None]:
    """Hold the lock on `folder`, which must exist, within the block.

    Processes that pass the same `share` (such as the shards of one job) can hold it together; "" is exclusive.
    InputError, naming the holder and ending with `advice`, if another process holds it. On a file system without
    locks, a warning is logged once and the block is entered anyway.
    """
    path = Path(folder) / LOCK
    handle = _acquire(path, advice, share)
    try:
        yield
    finally:
        if handle is not None:
            _release(path, handle)


@contextmanager
def waiting_lock(path: Path, message: str) -> Iterator[None]:
    """Hold the lock on the file `path` within the block; log `message` and wait while another process holds it.

    The file is removed at the end. On a file system without locks the block is entered at once. InputError if the file
    cannot be made.
    """
    while True:
        handle = open_lock(path)
        if not lock_file(handle):
            log.info("%s", message)
            lock_file(handle, wait=True)
        if _is_at(path, handle):
            break
        close_lock(handle)  # its holder has removed it
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()
        close_lock(handle)


def lock_file(handle: int, wait: bool = False) -> bool:
    """Lock the open file `handle` for this process alone; False if another one holds it.

    True if the file system has no locks. With `wait`, block until the lock is free.
    """
    return _flock(handle, alone=True, wait=wait) is not False


def open_lock(path: Path) -> int:
    """Open the lock file `path`, created if missing and never truncated.

    InputError if it is not a regular file, or if no file can be created in its folder.

    Child processes do not inherit the handle: a lock must not outlive the process that took it.
    """
    flags = os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        try:
            handle = os.open(path, os.O_RDWR | flags, 0o666)
        except PermissionError:
            if not os.path.lexists(path):  # otherwise another user left it
                raise
            handle = os.open(path, os.O_RDONLY | flags & ~os.O_CREAT)
    except OSError as error:
        reason = "it is a symbolic link" if error.errno == errno.ELOOP else error.strerror or str(error)
        if not os.path.lexists(path):
            raise InputError(f"{path.parent}: cannot write in this folder ({reason})") from None
        raise InputError(f"{path}: cannot be used as a lock file ({reason}); remove it") from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise InputError(f"{path}: cannot be used as a lock file (it is not a regular file); remove it")
    _held.add(handle)
    return handle


def close_lock(handle: int) -> None:
    """Close the handle from `open_lock`, which releases the lock."""
    _held.discard(handle)
    os.close(handle)


def _close_in_child() -> None:
    while _held:
        with suppress(OSError):
            os.close(_held.pop())


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_close_in_child)


def _acquire(path: Path, advice: str, share: str) -> int | None:
    """The open and locked lock file; None if the file system has no locks."""
    if fcntl is None:
        _say_once(path)
        return None
    holder: dict[str, Any] = {}
    for attempt in range(RETRIES):
        handle = open_lock(path)
        locked = _flock(handle, alone=True)
        if locked is None:
            _say_once(path)
            path.unlink(missing_ok=True)
            close_lock(handle)
            return None
        if locked and not _is_at(path, handle):  # its holder has just removed it
            close_lock(handle)
            continue
        if locked:
            _write_holder(handle, share)
            locked = not share or _flock(handle, alone=False)
        elif share and _flock(handle, alone=False):
            locked = _is_at(path, handle) and _holder(handle).get("share") == share
        if locked:
            return handle
        holder = _holder(handle)
        close_lock(handle)
        if holder and attempt >= 2 and (not share or holder.get("share") != share):
            break
        time.sleep(0.05)  # the entry of a killed process may remain for a moment after another process took the lock
    raise InputError(_refusal(path.parent, holder, advice))


def _release(path: Path, handle: int) -> None:
    """Unlock; the last holder removes the file."""
    if _flock(handle, alone=True) and _is_at(path, handle):
        with suppress(OSError):
            path.unlink()
    close_lock(handle)


def _flock(handle: int, alone: bool, wait: bool = False) -> bool | None:
    """Whether the lock was acquired, `alone` or shared; None if the system or the file system has no locks."""
    if fcntl is None:
        return None
    kind = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
    try:
        fcntl.flock(handle, kind if wait else kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_at(path: Path, handle: int) -> bool:
    """Whether the open file is still the one at `path`."""
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(handle))
    except OSError:
        return False


def _write_holder(handle: int, share: str) -> None:
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": since, "share": share}
    holder["command"] = " ".join(sys.argv)[:COMMAND]
    with suppress(OSError):  # a full disk, or another user's file: the lock holds, but messages cannot name its holder
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(holder).encode(), 0)


def _holder(handle: int) -> dict[str, Any]:
    """What the holder wrote about itself; {} if it has not written anything yet."""
    try:
        holder = json.loads(os.pread(handle, 1 << 16, 0))
    except (OSError, ValueError, RecursionError):
        return {}
    return holder if isinstance(holder, dict) else {}


def _refusal(folder: Path, holder: dict[str, Any], advice: str) -> str:
    who = "another process"
    if holder:
        who = "process {} on {} since {}".format(*(holder.get(key, "?") for key in ("pid", "host", "since")))
        who += f" ({holder.get('command', '?')})"
    return one_line(f"{folder}: in use by {who}; wait for it to end{advice and f', or {advice}'}")


def _say_once(path: Path) -> None:
    if str(path.parent) not in _warned:
        _warned.add(str(path.parent))
        log.warning("%s: this file system has no locks; make sure that nothing else writes to this folder", path.parent)
