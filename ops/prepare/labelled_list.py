"""Reading a list or CSV file of paths and labels, which are class names or numbers, and perhaps of splits.

jump/a.mp4 jump              a video and its label
path,label,split             a header, with these columns in any order; `split` may be missing
clips/0001 120 arm_wrestling a frame folder, its number of frames, which is counted again, and its label
"""

import csv
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ops.common.errors import InputError
from ops.data.file_search import VIDEO_EXTENSIONS
from ops.data.list_lines import COLUMN_MEANINGS, is_comment, names_protocol, quote
from ops.prepare.annotations import read_text

SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""Names of splits in columns and of folders, in lower case."""

_SPLIT_COLUMNS = ("split", "subset", "set", "partition")
_DELIMITERS = ("\t", ",", ";")
_VIDEO = re.compile(rf"(.*?(?:{'|'.join(map(re.escape, VIDEO_EXTENSIONS))}))\s+(?:\d+\s+(?=\S+$))?(.+)", re.IGNORECASE)
"""A video, perhaps a number of frames, and a label, separated by spaces."""

_SEVERAL = re.compile(
    rf'.*(?:{"|".join(map(re.escape, VIDEO_EXTENSIONS))})(?:\s+\d+)?\s+\d+(?:[,;]\d+)+|.*"\d+(?:\s*[,;]\s*\d+)+"',
    re.IGNORECASE,
)
"""A line with several labels, joined by commas."""

_FRAMES = re.compile(r"(.+?)\s+(?:\d+\s+)?(\S+)")
"""The same for a frame folder, whose label has no spaces."""


@dataclass(frozen=True)
class Entry:
    """A video or frame folder with the name of its class, and its split: "train", "val", "test", or "" if not given."""

    path: str
    label: str
    split: str = ""


def read_labelled(file: str) -> list[Entry]:
    """The entries of a list; InputError, with `file:line`, for a line without path and label.

    Also if only some lines have a split.
    """
    entries: list[Entry] = []
    columns: tuple[str, ...] = ()
    delimiter, first = "", True
    for number, line in enumerate(read_text(file).split("\n"), 1):
        text = line.strip()
        try:
            if not text or is_comment(text):
                continue
            if first:
                first, delimiter = False, next((mark for mark in _DELIMITERS if mark in text), "")
                columns = _header(_fields(text, delimiter))
                if columns:
                    continue
            entries.append(_entry(text, delimiter, columns))
        except ValueError as error:
            raise InputError(
                f"{file}:{number}: {error}; expected 'path label' or CSV with path,label, got '{quote(text)}'"
            ) from None
    if not entries:
        raise InputError(f"{file}: the list is empty")
    if len({bool(entry.split) for entry in entries}) > 1:
        raise InputError(f"{file}: only some of its lines tell the split")
    return entries


def class_order(names: Collection[str]) -> list[str]:
    """The class names of a list in order: numbers by value, other names alphabetically."""
    return sorted(names, key=int) if all(name.isdecimal() for name in names) else sorted(names)


def _fields(text: str, delimiter: str) -> list[str]:
    if not delimiter:
        return text.split()
    return [field.strip() for field in next(csv.reader([text], delimiter=delimiter, skipinitialspace=True))]


def _header(fields: Sequence[str]) -> tuple[str, ...]:
    """The meaning of each column if `fields` are a header, else (). ValueError without a column of paths or labels."""
    words = [field.lower() for field in fields]
    columns = tuple("split" if word in _SPLIT_COLUMNS else COLUMN_MEANINGS.get(word, "") for word in words)
    if {"path", "label"} <= set(columns):
        return columns
    if sum(map(bool, columns)) > 1:
        raise ValueError("a header without columns named path and label")
    return ()


def _entry(text: str, delimiter: str, columns: Sequence[str]) -> Entry:
    if _SEVERAL.fullmatch(text):
        raise ValueError("several labels; lists with one label per video are made here, others are written by hand")
    fields = _fields(text, delimiter)
    split = ""
    if columns:
        if len(fields) < len(columns):
            raise ValueError(f"{len(fields)} columns, but the header has {len(columns)}")
        told = dict(zip(columns, fields, strict=False))
        path, label, split = told["path"], told["label"], told.get("split", "")
        if "split" in columns and split.lower() not in SPLIT_NAMES:
            raise ValueError(f"the split {split!r} must be train, val or test")
    elif delimiter and len(fields) > 1:
        if len(fields) > 2 and fields[-1].lower() in SPLIT_NAMES:
            split = fields.pop()
        if len(fields) > 2 and not (len(fields) == 3 and fields[1].isdecimal()):
            raise ValueError(f"{len(fields)} columns: name them in a header")
        path, label = fields[0], fields[-1]
    else:
        match = _VIDEO.fullmatch(text) or _FRAMES.fullmatch(text)
        if not match:
            raise ValueError("no label")
        path, label = match[1], match[2]
    if not path or not label:
        raise ValueError("no path" if not path else "no label")
    if names_protocol(path):
        raise ValueError("not a plain file path (URLs and protocols are not followed)")
    return Entry(path, label, SPLIT_NAMES.get(split.lower(), ""))
