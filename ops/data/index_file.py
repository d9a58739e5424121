"""The indexes of the videos of a list, in a file beside it, so that videos need not be read completely again.

It is an SQLite database with one row per video, whose key is the path in the list. A row is valid as long as the size
and modification time of the video and the version of FFmpeg stay the same.
"""

import contextlib
import importlib
import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import av

from ops.common.errors import InputError
from ops.common.storage import atomic_path
from ops.data.index_format import decode_index
from ops.data.video_index import VideoIndex

log = logging.getLogger(__name__)

ENDING = ".index"

VERSION = 1
"""To be increased whenever the rules of indexing change."""

MADE_BY = " ".join(
    [
        str(VERSION),
        *(f"{name} {'.'.join(map(str, av.library_versions[name]))}" for name in ("libavformat", "libavcodec")),
    ]
)
"""What an index depends on, apart from the file."""

_APPLICATION = 0x54414D01
"""The application ID in the header of the SQLite file: "TAM" and the version of the tables."""


def index_file_of(source: str | os.PathLike[str]) -> Path:
    """The path of the index file of the list `source`."""
    return Path(f"{os.fspath(source)}{ENDING}")


class IndexFile:
    """The index file at `path`, for videos under the folder `root`; picklable, each process opens it on its own."""

    def __init__(self, path: str | os.PathLike[str], root: str | os.PathLike[str]) -> None:
        self.path, self._prefix = Path(path), os.path.join(os.fspath(root), "") if os.fspath(root) else ""
        self._connection: Any = None
        self._process = 0

    def __reduce__(self) -> tuple[Any, ...]:
        return IndexFile, (self.path, self._prefix)

    def get(self, path: str, stamp: str) -> VideoIndex | None:
        """The index of the video at `path` in the state `stamp` (see `stamp_of`); None if there is none."""
        if self._process != os.getpid():
            self._connection, self._process = _connect(self.path), os.getpid()
        if self._connection is None:
            return None
        item = os.fsencode(path.removeprefix(self._prefix))
        try:
            row = self._connection.execute(
                "select packets from videos where item = ? and stamp = ?", (item, stamp)
            ).fetchone()
            return decode_index(row[0]) if row else None
        except (ValueError, TypeError, _sqlite().Error):
            log.warning(
                "%s: damaged and not used; delete it, or run tools/check_dataset.py to write it anew", self.path
            )
            self._connection = None
            return None


def write_index_file(path: str | os.PathLike[str], videos: Iterable[tuple[str, str, bytes]]) -> bool:
    """Write an index file from `(item, stamp, result of encode_index)`; False if Python was built without SQLite.

    InputError if it cannot be written.
    """
    try:
        sqlite = _sqlite()
    except ImportError:
        return False
    with atomic_path(path) as temporary:
        try:
            with contextlib.closing(sqlite.connect(temporary)) as connection:
                connection.executescript(
                    f"pragma application_id = {_APPLICATION}; pragma journal_mode = off; pragma synchronous = off;"
                    "create table made_by (text text);"
                    "create table videos (item blob primary key, stamp text, packets blob) without rowid;"
                )
                connection.execute("insert into made_by values (?)", (MADE_BY,))
                rows = ((os.fsencode(item), stamp, packets) for item, stamp, packets in videos)
                connection.executemany("insert or replace into videos values (?, ?, ?)", rows)
                connection.commit()
        except sqlite.Error as error:
            raise InputError(f"{path}: cannot be written ({error})") from None
    return True


def is_index_file(path: str | os.PathLike[str]) -> bool:
    """Whether there is an index file at `path`, of any version."""
    try:
        if not Path(path).is_file():  # opening a pipe would block
            return False
        with open(path, "rb") as file:
            head = file.read(72)
    except OSError:
        return False
    return head.startswith(b"SQLite format 3\0") and head[68:] == _APPLICATION.to_bytes(4, "big")


def _connect(path: Path) -> Any:
    """A connection to the file; None if it cannot be used."""
    if not path.is_file():
        return None
    try:
        sqlite = _sqlite()
    except ImportError:
        return None
    reason = "not an index of videos"
    if is_index_file(path):
        uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
        connection = sqlite.connect(uri, uri=True, check_same_thread=False)
        try:
            made_by = connection.execute("select text from made_by").fetchone()
        except sqlite.Error:
            made_by = None
        if made_by == (MADE_BY,):
            return connection
        connection.close()
        reason = "made with another FFmpeg" if made_by else reason
    log.warning("%s: not used (%s); delete it, or run tools/check_dataset.py to write it anew", path, reason)
    return None


def _sqlite() -> Any:
    """The `sqlite3` module, which not every build of Python has."""
    return importlib.import_module("sqlite3")
