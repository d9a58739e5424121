"""Reading one CSV file of Kinetics-400, -600 or -700: its clips, their labels and their split."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ops.common.errors import InputError
from ops.common.string_array import StringArray
from ops.prepare.annotations import SPLITS, table_rows


@dataclass(frozen=True)
class Clips:
    """The clips of a CSV file, in its order.

    names: `{youtube_id}_{start:06d}_{end:06d}` `[N]`, or only the id if the file has no times.
    labels: for each clip an index into `classes` `[N]`; -1 if the file has no labels.
    classes: the labels in order of first appearance, with the line of each.
    """

    path: Path
    names: StringArray
    labels: NDArray[np.int32]
    classes: dict[str, int]


def read_clips(path: Path, split: str | None = None, shared: bool = False) -> Clips:
    """Read one CSV file by its header: columns in any order, additional columns, quotes, and times as 0 or 0.0.

    If it has a column `split`, all rows must have the value `split`; in a file `shared` by several splits, other rows
    are left out. InputError, with `file:line`, if it is malformed.
    """
    classes: dict[str, int] = {}
    places: dict[str, int] = {}
    labels = array("i")

    def names() -> Iterator[str]:
        for line, row in _rows(path):
            if split and not _is_of(row, split, shared, f"{path}:{line}"):
                continue
            label = (row.get("label") or "").strip()
            if label:
                classes.setdefault(label, line)
            elif classes:
                raise InputError(f"{path}:{line}: no label")
            labels.append(places.setdefault(label, len(places)) if label else -1)
            if label and labels[0] < 0:
                raise InputError(f"{path}:{line}: a label, but earlier lines have none")
            yield _clip_name(row, f"{path}:{line}")

    clips = Clips(path, StringArray(names()), np.frombuffer(labels or array("i"), np.int32), classes)
    if not len(clips.names) and not shared:
        raise InputError(f"{path}: contains no clips")
    return clips


def has_splits(path: Path) -> bool:
    """Whether a CSV file of clips has a column `split`, and so can contain several splits."""
    try:
        return "split" in next(_rows(path), (0, {}))[1]
    except InputError:
        return False


def _is_of(row: dict[str, str | None], split: str, shared: bool, where: str) -> bool:
    """Whether a row belongs to `split`; InputError if this is unclear or wrong."""
    text = (row.get("split") or "").strip()
    own = next((name for name, words in SPLITS.items() if text.lower() in words), None)
    if shared and own is None:
        raise InputError(f"{where}: the column split does not name one of the splits: {text[:80]!r}")
    if own not in (None, split) and not shared:
        raise InputError(f"{where}: its split is {text!r} in the CSV file of {split}: move it, or correct the column")
    return own in (None, split)


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str | None]]]:
    """Line numbers and rows as dictionaries, without empty lines."""
    rows = table_rows(path)
    header = [name.strip().lower() for name in next(rows, (0, []))[1]]
    if "youtube_id" not in header:
        raise InputError(f"{path}:1: the header has no column youtube_id: {', '.join(header)[:80]!r}")
    for line, row in rows:
        yield line, dict(zip(header, row, strict=False))


def _clip_name(row: dict[str, str | None], where: str) -> str:
    name = (row["youtube_id"] or "").strip()
    if not name:
        raise InputError(f"{where}: no youtube_id")
    times = [text for column in ("time_start", "time_end") if (text := (row.get(column) or "").strip())]
    try:
        return name + "".join(f"_{int(float(text)):06d}" for text in times)
    except (ValueError, OverflowError):
        raise InputError(f"{where}: time_start and time_end ({', '.join(times)}) must be numbers of seconds") from None
