"""One csv file of Kinetics-400, -600 or -700: its clips, their labels and its splits."""

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
    """The clips of a csv file in its order.

    names: `{youtube_id}_{start:06d}_{end:06d}` `[N]`, the id alone where the file gives no times.
    labels: for each clip a place in `classes` `[N]`; -1 where the file has no labels.
    classes: the labels in order of appearance, with the line of the first.
    """

    path: Path
    names: StringArray
    labels: NDArray[np.int32]
    classes: dict[str, int]


def read_clips(path: Path, split: str | None = None, shared: bool = False) -> Clips:
    """Read one csv file by its header: columns in any order, further ones, quotes, with times as 0 or as 0.0.

    Where it has a column `split`, that of its rows must be `split`; of a file that is `shared` by several splits, the
    other rows are left out. InputError, with `file:line`, on what cannot be one.
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
                raise InputError(f"{path}:{line}: a label, where lines before it have none")
            yield _clip_name(row, f"{path}:{line}")

    clips = Clips(path, StringArray(names()), np.frombuffer(labels or array("i"), np.int32), classes)
    if not len(clips.names) and not shared:
        raise InputError(f"{path}: no clips in it")
    return clips


def has_splits(path: Path) -> bool:
    """Whether a csv file is one of clips and has a column `split`, by which it can hold several."""
    try:
        return "split" in next(_rows(path), (0, {}))[1]
    except InputError:
        return False


def _is_of(row: dict[str, str | None], split: str, shared: bool, where: str) -> bool:
    """Whether a row belongs to `split`; InputError where that cannot be, or be told."""
    text = (row.get("split") or "").strip()
    own = next((name for name, words in SPLITS.items() if text.lower() in words), None)
    if shared and own is None:
        raise InputError(f"{where}: of several splits, and the column split does not say which this is: {text[:80]!r}")
    if own not in (None, split) and not shared:
        raise InputError(f"{where}: its split is {text!r}, in the csv file of {split}: move it, or correct the column")
    return own in (None, split)


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str | None]]]:
    """Line numbers and rows by column, empty lines left out."""
    rows = table_rows(path)
    header = [name.strip().lower() for name in next(rows, (0, []))[1]]
    if "youtube_id" not in header:
        raise InputError(f"{path}:1: the header has no column youtube_id but {', '.join(header)[:80]!r}")
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
        raise InputError(f"{where}: time_start and time_end ({', '.join(times)}) must be seconds") from None
