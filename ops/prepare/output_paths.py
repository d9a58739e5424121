"""Writing the result for a video, a folder of images or a file, atomically and under a unique name.

It is written in a hidden folder of the output folder and moved into place at the end. Anything under its final name is
therefore complete, and a killed run leaves nothing that could be mistaken for a result.
"""

import errno
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from ops.common.csv_tables import TableWriter
from ops.common.errors import InputError, MediaError, write_error
from ops.common.storage import atomic_file
from ops.common.string_array import StringArray, hash_of
from ops.data.file_search import VIDEO_EXTENSIONS, endings_there, find_frame_folders, find_videos
from ops.prepare.ownership import NOT_OURS, check_own_table, is_own_folder

PARTIAL = ".partial"
"""The hidden folder for unfinished results, in the output folder."""

REPORT = "report.csv"
"""The report's name in the output folder."""

NameOf = Callable[[str], str]
"""Item → the path of its result, relative to the output folder."""


def locate_videos(path: str, out: str, extensions: Sequence[str]) -> tuple[str, StringArray]:
    """The video at `path`, or all videos below it except those in `out`: a folder, and paths relative to it.

    InputError if there are none.
    """
    if Path(path).is_file():
        return str(Path(path).parent), StringArray([os.path.basename(path)])
    videos = _outside(find_videos(_folder(path), extensions), path, out)
    if not len(videos):
        wanted = "" if tuple(extensions) == VIDEO_EXTENSIONS else f" ({' '.join(extensions)})"
        raise InputError(f"{path}: contains no videos{wanted}{endings_there(path)}")
    return path, videos


def locate_frame_folders(path: str, out: str) -> tuple[str, StringArray]:
    """Likewise for frame folders."""
    check_apart(_folder(path), out)
    folders = _outside(find_frame_folders(path), path, out)
    if len(folders):
        return path, folders
    folder = Path(path).absolute()
    return str(folder.parent), StringArray([folder.name])


def check_apart(path: str, out: str) -> None:
    """InputError if `out` is the folder `path` or contains it: results could overwrite sources."""
    if (os.path.realpath(path) + os.sep).startswith(os.path.join(os.path.realpath(out), "")):
        raise InputError(f"{out}: contains the sources; give another folder with -o")


def _folder(path: str) -> str:
    if not os.path.isdir(path):
        raise InputError(f"{path}: {'not a folder' if os.path.exists(path) else 'no such file or folder'}")
    return path


def _outside(items: Iterable[str], path: str, out: str) -> StringArray:
    """The items in the folder `path` that are not in the folder `out`."""
    own = os.path.relpath(os.path.realpath(out), os.path.realpath(path)) + os.sep
    return StringArray(item for item in items if not (item + os.sep).startswith(own))


def image_folder(item: str, keep_dirs: bool, is_folder: bool = False) -> str:
    """The folder for the images of `item`: the name of a video without its extension, or that of a frame folder."""
    name = item if is_folder else os.path.splitext(item)[0]
    return name if keep_dirs else os.path.basename(name)


def check_names(items: Iterable[str], name_of: NameOf, advice: str) -> None:
    """InputError, naming two items, if their results would have the same path, or one would be inside the other.

    `advice` is appended to the message. Memory: 16 bytes per item.
    """
    names = np.fromiter((hash_of(name_of(item)) for item in items), np.uint64)
    above = np.fromiter(map(hash_of, _folders_above(map(name_of, items))), np.uint64)
    taken = np.array([hash_of(REPORT)], np.uint64)
    distinct, counts = np.unique(names, return_counts=True)
    clashing = np.concatenate([distinct[counts > 1], np.intersect1d(distinct, above), np.intersect1d(distinct, taken)])
    if clashing.size:
        raise InputError(f"{_clash(items, name_of, int(clashing[0]))}; {advice}")


def _clash(items: Iterable[str], name_of: NameOf, name: int) -> str:
    """The conflict about the name whose hash is `name`, in words."""
    same = [item for item in items if hash_of(name_of(item)) == name][:2]
    place = name_of(same[0])
    if len(same) == 2:
        return f"{same[0]} and {same[1]} would both become {place}"
    inside = [item for item in items if name_of(item).startswith(place + os.sep)][:1]
    conflict = f"but {inside[0]} goes inside it" if inside else "which is the name of the report"
    return f"{same[0]} would become {place}, {conflict}"


def _folders_above(names: Iterable[str]) -> Iterator[str]:
    """All parent folders of names, at any depth; few are repeated if names are sorted."""
    last = ""
    for name in names:
        folder = os.path.split(name)[0]
        if folder != last:
            last = folder
            while folder:
                yield folder
                folder = os.path.split(folder)[0]


@contextmanager
def whole_folder(out: str, name: str, template: str) -> Iterator[str]:
    """An empty folder to fill, which becomes `out/name` when the block ends without an error.

    An older folder of that name is replaced if it contains only images that were written by these tools and are named
    by `template` (in any format), else MediaError; also if the name is too long. InputError if it cannot be written.
    """
    final, ours = os.path.join(out, name), names_by(template)
    _check_replaceable(final, ours, out)
    with _partial(out, name) as temporary:
        with _written(final):
            Path(temporary).mkdir(parents=True)
        yield temporary
        with _written(final):
            _check_replaceable(final, ours, out)
            Path(final).parent.mkdir(parents=True, exist_ok=True)
            if os.path.isdir(final):
                old = _temporary(out, name)
                os.replace(final, old)
                shutil.rmtree(old)
            os.replace(temporary, final)


@contextmanager
def whole_file(out: str, name: str, is_ours: Callable[[str], bool]) -> Iterator[str]:
    """The path of a file to write, which becomes `out/name` when the block ends without an error.

    An older file of that name is replaced if it `is_ours`, else MediaError; also if the name is too long. InputError
    if it cannot be written.
    """
    final = os.path.join(out, name)
    if os.path.lexists(final) and not (Path(final).is_file() and is_ours(final)):
        raise MediaError(final, NOT_OURS)
    with _partial(out, name) as temporary:
        with _written(final):
            Path(temporary).parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with _written(final):
            Path(final).parent.mkdir(parents=True, exist_ok=True)
            os.replace(temporary, final)


def write_bytes(path: str, data: Any) -> None:
    """Write `data`, bytes or an array, to a file; InputError if that fails, as on a full disk."""
    with _written(path), open(path, "wb") as file:
        file.write(data)


def clean_up(out: str, unmade: Iterable[str]) -> None:
    """Remove leftovers of dead processes under the name `unmade`."""
    for name in unmade:
        _discard(out, name)
    with suppress(OSError):  # another job may be using it
        Path(out, PARTIAL).rmdir()


def write_table(path: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A CSV file, written atomically; InputError if another file is in its place."""
    check_own_table(path, header)
    with atomic_file(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = TableWriter(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def names_by(template: str) -> "re.Pattern[str]":
    """A pattern for the names that an `ops.data.frames.FrameTemplate` gives, with any extension."""
    literal = re.split(r"\{\w+[^}]*\}", os.path.splitext(template)[0])
    fields = [r"[xy]" if field == "axis" else r"\d+" for field in re.findall(r"\{(\w+)", template)]
    pattern = "".join(re.escape(text) + field for text, field in zip(literal, [*fields, ""], strict=True))
    return re.compile(pattern + r"\.\w+")


@contextmanager
def _partial(out: str, name: str) -> Iterator[str]:
    """The path of an unfinished result; leftovers of killed processes are removed first, and itself after an error."""
    _discard(out, name)
    temporary = _temporary(out, name)
    try:
        yield temporary
    finally:
        _remove(temporary)


def _temporary(out: str, name: str) -> str:
    """A unique path for each attempt, so that two runs never write to the same folder."""
    return str(Path(out, PARTIAL, f"{hash_of(name):016x}-{secrets.token_hex(4)}").absolute())


def _discard(out: str, name: str) -> None:
    folder = os.path.join(out, PARTIAL)
    with suppress(FileNotFoundError, NotADirectoryError):
        for entry in os.listdir(folder):
            if entry.startswith(f"{hash_of(name):016x}-"):
                _remove(os.path.join(folder, entry))


def _remove(path: str) -> None:
    """Remove an unfinished result; if this fails, it is kept, because the underlying error is reported elsewhere."""
    if Path(path).is_file():
        with suppress(OSError):
            Path(path).unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _written(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # this concerns only this item
            raise MediaError(path, f"cannot be written ({error.strerror})") from None
        raise write_error(path, error) from None


def _check_replaceable(folder: str, ours: "re.Pattern[str]", out: str) -> None:
    if os.path.lexists(folder) and not is_own_folder(folder, ours, out):
        raise MediaError(folder, NOT_OURS)
