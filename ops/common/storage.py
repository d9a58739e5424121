"""Atomic files: each is written completely or not at all. All files are written through this module."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from ops.common.errors import InputError, write_error

LONGEST = 240
"""Bytes of a file's name that its temporary name keeps: a name has at most 255, and a random part is added."""


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """The path of an empty temporary file to write, which replaces `path` when the block ends without an error.

    The file is created beside `path`, synced and renamed over it; after an error it is removed and an older file is
    left untouched. Raises what `write_error` gives (no permission, disk full).
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
            with suppress(OSError):  # a problem that prevents this has been raised already
                Path(temporary).unlink()


@contextmanager
def atomic_file(path: str | os.PathLike[str], mode: str = "wb", **options: Any) -> Iterator[IO[Any]]:
    """A file to write, which replaces `path` once it is complete and on disk; see `atomic_path`."""
    with atomic_path(path) as temporary, open(temporary, mode, **options) as file:
        yield file


@contextmanager
def appended_file(path: str | os.PathLike[str], **options: Any) -> Iterator[IO[Any]]:
    """A text file opened for appending; raises what `write_error` gives if it cannot be written."""
    try:
        with open(path, "a", encoding="utf-8", errors="surrogateescape", **options) as file:
            yield file
    except OSError as error:
        raise write_error(path, error) from error


def remove_file(path: str | os.PathLike[str]) -> None:
    """Remove a file, if there is one; raises what `write_error` gives if it cannot be removed."""
    try:
        Path(path).unlink(missing_ok=True)
    except OSError as error:
        raise write_error(path, error) from error


def check_writable(path: str | os.PathLike[str]) -> None:
    """InputError unless a file could be written at `path`; creates its folder, but not the file."""
    path = Path(path)
    if os.path.isdir(path):  # Path.is_dir raises if a name is too long
        raise InputError(f"{path}: is a directory; give the name of a file")
    make_folder(path.parent)
    try:
        os.lstat(path)
    except FileNotFoundError:
        pass
    except OSError as error:  # the name is too long
        raise write_error(path, error) from None


def make_folder(folder: str | os.PathLike[str]) -> Path:
    """`folder`, created if missing; InputError unless files can be written in it."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"{folder}: cannot write to this folder ({error.strerror or error})") from None
    return folder


@contextmanager
def no_empty_folders(*folders: str | os.PathLike[str]) -> Iterator[None]:
    """If the block ends in an InputError, remove the empty ones of `folders` and their parents that it created."""
    made = [path for folder in map(Path, folders) for path in (folder, *folder.parents) if not os.path.exists(path)]
    try:
        yield
    except InputError:
        for path in sorted(set(made), key=lambda path: len(path.parts), reverse=True):
            with suppress(OSError):
                path.rmdir()
        raise


def begins_with(path: str | os.PathLike[str], content: bytes) -> bool:
    """Whether `path` is a regular file, not a link, that begins with `content`."""
    path = Path(path)
    try:
        if path.is_symlink() or not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(len(content)) == content
    except OSError:
        return False


def stamp_of(path: str | os.PathLike[str]) -> str:
    """Size and modification time of a file or folder; "absent" if it does not exist."""
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
    """Flush the file or folder at `path` to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
