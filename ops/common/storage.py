"""Files that are whole or absent: everything is written through here."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from ops.common.errors import InputError, write_error

LONGEST = 240
"""Bytes of a file's name that its temporary name has: a name has at most 255, and eight random ones are added."""


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """The path of an empty file to fill, and to read again, that becomes `path` only once the block ends well.

    It lies beside `path` under a temporary name, and is synced and renamed over it; after an error nothing of it is
    left and an older file is untouched. InputError where it cannot be written (no space, no permission).
    """
    path = Path(path)
    temporary: str | None = None
    try:
        name = os.fsdecode(os.fsencode(path.name)[:LONGEST])
        handle, temporary = tempfile.mkstemp(prefix=f".{name}.", suffix=".tmp", dir=path.parent)
        os.close(handle)
        yield Path(temporary)
        sync(temporary)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
        temporary = None
        sync(path.parent)
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)


@contextmanager
def atomic_file(path: str | os.PathLike[str], mode: str = "wb", **options: Any) -> Iterator[IO[Any]]:
    """A file to write that becomes `path` only once it is complete and on disk; see `atomic_path`."""
    with atomic_path(path) as temporary, open(temporary, mode, **options) as file:
        yield file


@contextmanager
def appended_file(path: str | os.PathLike[str], **options: Any) -> Iterator[IO[Any]]:
    """A text file to write at the end of; InputError where it cannot be written."""
    try:
        with open(path, "a", encoding="utf-8", errors="surrogateescape", **options) as file:
            yield file
    except OSError as error:
        raise write_error(path, error) from error


def check_writable(path: str | os.PathLike[str]) -> None:
    """InputError unless a file could be written at `path`, whose folder is made; nothing else is left behind."""
    path = Path(path)
    if os.path.isdir(path):  # Path.is_dir raises where a name is too long
        raise InputError(f"{path}: is a directory, a file name is needed")
    make_folder(path.parent)
    try:
        os.lstat(path)
    except FileNotFoundError:
        pass
    except OSError as error:  # its name is too long
        raise write_error(path, error) from None


def make_folder(folder: str | os.PathLike[str]) -> Path:
    """`folder`, made if need be; InputError unless files can be written in it."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"{folder}: cannot write in this folder ({error.strerror or error})") from None
    return folder


def begins_with(path: str | os.PathLike[str], content: bytes) -> bool:
    """Whether there is a file at `path`, itself and no link, that begins so."""
    path = Path(path)
    try:
        if path.is_symlink() or not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(len(content)) == content
    except OSError:
        return False


def stamp_of(path: str | os.PathLike[str]) -> str:
    """Size and time of the last change of a file or folder; "absent" where there is none."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return "absent"
    return f"{status.st_size}-{status.st_mtime_ns}"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def sync(path: str | os.PathLike[str]) -> None:
    """Let what is in the file or folder at `path` reach the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
