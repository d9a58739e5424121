"""Whether something in an output folder was written by these tools: nothing else is ever removed or overwritten.

Images carry a mark, tables are recognised by their columns, and other files by their hash, which is stored when they
are written. Unmarked images of earlier versions are recognised by the state that the journals have of them.
"""

import hashlib
import json
import os
import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, Any

from ops.common.csv_tables import header_line
from ops.common.errors import InputError
from ops.common.storage import atomic_file, atomic_path, begins_with, make_folder, stamp_of

MARK = b"made by TAM"
"""The mark in every image: a comment in jpg, text in png, and its last word in the unused field of a bmp header."""

JOURNAL = ".journal"
"""Folder of the journals, in a tool's output folder."""

NOT_OURS = (
    "already exists and was not made by this tool, or was changed since; move it away, or use another output folder"
)
"""The reason why a file or folder is not replaced."""

_WRITTEN = "written.json"
_PNG_START = 33
"""Length of signature and header, in bytes."""


def marked(image: bytes, extension: str) -> bytes:
    """The bytes of an image file with `MARK` added; formats other than jpg, png and bmp are left unchanged."""
    if extension == ".jpg":
        place = 4 + int.from_bytes(image[4:6], "big") if image[2:4] == b"\xff\xe0" else 2  # after the JFIF header
        return image[:place] + b"\xff\xfe" + struct.pack(">H", 2 + len(MARK)) + MARK + image[place:]
    if extension == ".png":
        text = b"tEXtSoftware\0" + MARK
        chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
        return image[:_PNG_START] + chunk + image[_PNG_START:]
    return image[:6] + MARK[-3:] + image[9:] if extension == ".bmp" else image


def is_marked(path: str | os.PathLike[str]) -> bool:
    """Whether the image file at `path` carries `MARK`."""
    try:
        with open(path, "rb") as file:
            head = file.read(96)
    except OSError:
        return False
    return MARK in head or (head[:2] == b"BM" and head[6:9] == MARK[-3:])


def is_own_folder(folder: str, names: "re.Pattern[str]", out: str, thorough: bool = True) -> bool:
    """Whether `folder`, below `out`, contains only images that match `names` and were written by these tools.

    Without `thorough`, only the first and the last image are opened.
    """
    if Path(folder).is_symlink() or not os.path.isdir(folder):
        return False
    there = sorted(os.listdir(folder))
    if not all(map(names.fullmatch, there)):
        return False
    if stamp_of(folder) in recorded_stamps(out):
        return True
    return all(is_marked(os.path.join(folder, name)) for name in (there if thorough else there[:1] + there[-1:]))


@cache
def recorded_stamps(out: str) -> frozenset[str]:
    """The states of all results recorded in the journals in `out`."""
    stamps = set()
    for path in sorted(Path(out, JOURNAL).glob("*.jsonl")):
        for line in path.read_bytes().splitlines():
            try:
                stamps.add(str(json.loads(line)["value"]["made"]))
            except (ValueError, TypeError, LookupError, RecursionError):
                continue
    return frozenset(stamps)


def check_own_table(path: str, header: Iterable[str]) -> None:
    """InputError if something at `path` is not a CSV file with these columns."""
    if os.path.lexists(path) and not begins_with(path, header_line(tuple(header), end="\n")):
        raise not_ours(path)


def not_ours(path: str | os.PathLike[str]) -> InputError:
    """The error for a file or folder that must not be replaced."""
    return InputError(f"{path}: {NOT_OURS}")


class WrittenFiles:
    """The files that tools wrote in or for the folder `out`, with their hashes, stored on disk.

    While a file is replaced, the hashes of both versions are stored, separated by a comma.
    """

    def __init__(self, out: str | os.PathLike[str]) -> None:
        self._path = Path(out) / JOURNAL / _WRITTEN

    def check(self, paths: Iterable[Path]) -> None:
        """InputError if one of `paths` exists and is not exactly the file that was written there."""
        known = self._read()
        for path in paths:
            if os.path.lexists(path) and not (_hash(path) and _hash(path) in known.get(_key(path), "").split(",")):
                raise not_ours(path)

    @contextmanager
    def file(self, path: Path, mode: str = "w", **options: Any) -> Iterator[IO[Any]]:
        """A file to write, which replaces `path` once it is complete, like `storage.atomic_file`.

        Its hash is stored before it appears under its name, so that the files that a stopped run has written are
        recognised by the next one. InputError if a file is there that fails `check`.
        """
        with atomic_path(path) as temporary:
            with open(temporary, mode, **options) as file:
                yield file
            self.check([path])
            self._store({_key(path): ",".join(filter(None, (_hash(path), _hash(temporary))))})

    def add(self, paths: Iterable[Path]) -> None:
        """Store the hashes of those of `paths` that exist, which have just been written."""
        self._store({_key(path): _hash(path) for path in paths if path.is_file()})

    def _store(self, hashes: dict[str, str]) -> None:
        known = self._read() | hashes
        make_folder(self._path.parent)
        with atomic_file(self._path, "w", encoding="utf-8") as file:
            json.dump(known, file, indent=1)

    def _read(self) -> dict[str, str]:
        try:
            content = json.loads(self._path.read_text("utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return {key: str(value) for key, value in content.items()} if isinstance(content, dict) else {}


def _key(path: Path) -> str:
    return os.path.abspath(path).encode("utf-8", "backslashreplace").decode()


def _hash(path: Path) -> str:
    if path.is_symlink() or not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
