"""Annotations in any format: the classes, and for each split the names and labels of its videos."""

import csv
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ops.common.errors import InputError
from ops.common.string_array import StringArray

SPLITS = {"train": ("train",), "val": ("val", "validate", "validation"), "test": ("test",)}
"""The splits, and their names in files and folders."""

NAME_IT = "Give the right files: --annotations FILE…"

_PACKED = {".gz", ".zip", ".bz2", ".xz", ".zst", ".tar", ".tgz", ".7z", ".rar"}


@dataclass(frozen=True)
class Split:
    """The videos of a split in the order of its annotations: `names [N]` and `labels [N]`, int32, -1 if unknown.

    `source` is the file that they come from, if it is a single one.
    """

    name: str
    names: StringArray
    labels: NDArray[np.int32]
    source: str = ""


@dataclass(frozen=True)
class Annotations:
    """The class names, in order of the labels, and the splits."""

    classes: list[str]
    splits: list[Split]


def annotation_files(paths: Sequence[str]) -> list[Path]:
    """The files among `paths` and in the folders among them, sorted by name; InputError if there are none."""
    files: list[Path] = []
    for path in map(Path, paths):
        try:
            files += path.iterdir() if path.is_dir() else [path] if path.stat() else []
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    return sorted(file for file in files if not file.name.startswith(".") and not file.is_dir())


def pick(paths: Iterable[Path], words: Sequence[str], what: str, advice: str = NAME_IT) -> Path | None:
    """The one of `paths` whose name is one of `words`, else the only one with such a word in its name.

    `train` matches train.csv, kinetics-400_train.csv and train_256. InputError if several match; it names `what` is
    looked for and ends with `advice`.
    """
    by_name = {path.stem.lower(): path for path in paths}
    for word in words:
        if word in by_name:
            return by_name[word]
    found = [path for name, path in by_name.items() if set(words) & words_of(name)]
    if len(found) > 1:
        names = " or ".join(path.name for path in found)
        raise InputError(f"{found[0].parent}: {what} could be {names}. {advice}")
    return found[0] if found else None


def words_of(name: str) -> set[str]:
    """The words in a file's name, in lower case."""
    return set(re.split("[^a-z]+", name.lower()))


def needed(path: Path | None, what: str, files: Iterable[Path] = ()) -> Path:
    """`path`; if it is None, InputError that `what` is missing and, if any, which of `files` must be unpacked."""
    if path is None:
        packed = packed_files(files)
        there = f", but there is {packed[0].name}: unpack it" if packed else ""
        raise InputError(f"--annotations: {what} is missing{there}")
    return path


def packed_files(files: Iterable[Path]) -> list[Path]:
    """Those of `files` that are compressed or archives; these are not searched."""
    return [file for file in files if file.suffix.lower() in _PACKED]


def check_unpacked(files: Iterable[Path], words: Sequence[str], ending: str) -> None:
    """InputError if a file with this `ending` and one of `words` in its name is compressed (`train.csv.gz`)."""
    for file in packed_files(files):
        inner = Path(file.stem)
        if inner.suffix.lower() == ending and set(words) & words_of(inner.stem):
            raise InputError(f"{file}: is compressed, and there is no {inner.name}: unpack it")


def with_suffix(paths: Iterable[Path], suffix: str) -> list[Path]:
    """Those of `paths` that end in `suffix`, ignoring case."""
    return [path for path in paths if path.suffix.lower() == suffix]


def table_rows(path: str | os.PathLike[str]) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV file with their line numbers, without empty rows; rows may be longer than the header.

    InputError if the file cannot be read, or if a row has fewer columns than the header.
    """
    try:
        with Path(path).open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            rows, columns = csv.reader(file), 0
            for row in rows:
                if any(row):
                    if len(row) < columns:
                        raise InputError(f"{path}:{rows.line_num}: {len(row)} columns, but the header has {columns}")
                    columns = columns or len(row)
                    yield rows.line_num, row
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    except csv.Error as error:
        raise InputError(f"{path}: not a CSV file ({error})") from None


def read_text(path: str | os.PathLike[str]) -> str:
    """The text of an annotation file; InputError if it cannot be read."""
    try:
        return Path(path).read_text("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
