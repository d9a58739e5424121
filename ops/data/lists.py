"""List files and their records, stored in columns.

A list has one line per video, parsed from the right so that paths may contain spaces (see `ops.data.list_lines`):

    path num_frames label      frames or videos
    path label                 videos (frame lists: `path num_frames`, an unlabelled test list)
    path                       videos, an unlabelled test list

`ops.data.multi_label_lists` has the lists with several labels per video.

Kinetics-700 has 650,000 lines, and every worker of a loader holds the list. Workers share the memory of three NumPy
columns and one block of text; with a list of objects, reference counting would copy it page by page.
"""

import codecs
import hashlib
import io
import itertools
import os
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ops.common.errors import InputError
from ops.common.string_array import StringArray
from ops.common.text import counted
from ops.data.list_lines import UNKNOWN, Form, header_form, is_comment, is_video, parse_line
from ops.data.multi_label_lists import LabelColumn, LabelSets

PROBES = 20
"""How many existing paths are checked for being files or folders."""


@dataclass(frozen=True)
class Record:
    """One video: its `path` as in the list, frame count and label (-1 if the list has none)."""

    path: str
    num_frames: int
    label: int


class Records(Sequence[Record]):
    """The records of one list file, in its order.

    `num_frames [N]`, `labels [N]` and `lines [N]` (1-based line numbers) are int32 columns; `source` is the
    file's name and `sha256` the hash of its bytes. `in_pairs`: every line has a path and one number. For a list with
    several labels per video, `label_sets` has all labels, and `labels` the first of each video.
    """

    def __init__(
        self,
        source: str,
        paths: StringArray,
        columns: NDArray[np.int32],
        sha256: str,
        in_pairs: bool = False,
        label_sets: LabelSets | None = None,
    ) -> None:
        self.label_sets = label_sets
        self.source, self.sha256, self.in_pairs, self._paths = source, sha256, in_pairs, paths
        self.num_frames, self.labels, self.lines = np.ascontiguousarray(columns.T)

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> Record:  # type: ignore[override]  # one record at a time, no slices
        return Record(self.path(index), int(self.num_frames[index]), int(self.labels[index]))

    def __iter__(self) -> Iterator[Record]:
        return (self[index] for index in range(len(self)))

    def path(self, index: int) -> str:
        """The path of record `index`, as written in the list."""
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return self._paths[index % len(self)]

    def where(self, index: int) -> str:
        """`file:line` of record `index`, for messages."""
        return f"{self.source}:{self.lines[index]}"

    @property
    def all_labels(self) -> NDArray[np.int32]:
        """The labels of all videos, one after another: `labels [N]`, or another number if videos may have several."""
        return self.labels if self.label_sets is None else self.label_sets.values

    def labels_of(self, index: int) -> tuple[int, ...] | None:
        """The labels of record `index`, None if the list does not have them."""
        if self.label_sets is not None:
            return tuple(self.label_sets.of(index).tolist()) if self.label_sets.known[index] else None
        return None if self.labels[index] == UNKNOWN else (int(self.labels[index]),)

    def has_labels_of(self, other: "Records") -> bool:
        """Whether this list has the same number of records as another one, with the same labels."""
        if not np.array_equal(self.labels, other.labels) or (self.label_sets is None) != (other.label_sets is None):
            return False
        sets = self.label_sets, other.label_sets
        pairs = (((one.bounds, two.bounds), (one.values, two.values)) for one, two in [sets] if one and two)
        return all(np.array_equal(*pair) for each in pairs for pair in each)

    def head(self, count: int) -> "Records":
        """The first `count` records."""
        columns = np.stack([self.num_frames, self.labels, self.lines], axis=1)[:count]
        paths = StringArray(itertools.islice(self._paths, count))
        sets = self.label_sets and self.label_sets.head(len(columns))
        return Records(self.source, paths, columns, self.sha256, self.in_pairs, sets)

    def check_labels(self, num_classes: int, required: bool) -> None:
        """InputError naming the line of the first label that is not in [0, num_classes).

        A missing label (-1) is an error where `required`, as in training.
        """
        values, sets = self.all_labels, self.label_sets
        missing = np.flatnonzero(~sets.known) if required and sets else np.empty(0, int)
        lowest = 0 if required else UNKNOWN
        bad = missing if missing.size else np.flatnonzero((values < lowest) | (values >= num_classes))
        if not bad.size:
            return
        label = UNKNOWN if missing.size else int(values[bad[0]])
        index = int(sets.owners()[bad[0]] if sets and not missing.size else bad[0])
        num_frames = int(self.num_frames[index])
        if label == UNKNOWN:
            form = Form(counts_in_pairs=num_frames != UNKNOWN, multi_label=sets is not None)
            line = self.path(index) + (f" {num_frames}" if num_frames != UNKNOWN else "")
            raise InputError(
                f"{self.where(index)}: {form.refusal('no label, but training and validation need one', line)}"
            )
        from_one = label == num_classes == values.max() and 0 not in values
        advice = "labels seem to count from 1 instead of 0" if from_one else "check --num_class and the list"
        raise InputError(
            f"{self.where(index)}: label {label} is outside 0…{num_classes - 1} ({bad.size} such lines); {advice}"
        )

    def check_some_exist(self, root: str | os.PathLike[str], kind: str | None = None) -> None:
        """InputError if none of the files or folders exists under `root` (usually a wrong --root_path).

        Also if those that exist are not of `kind`, "frames" or "videos" (None: either).
        """
        full = (os.path.join(root, record.path) for record in self)
        there = list(itertools.islice(filter(os.path.exists, full), PROBES))
        if not there:
            raise InputError(
                f"{self.source}: none of its {counted(len(self), 'path')} exists; {self._where_looked(root)}"
            )
        if kind == "videos" and all(map(os.path.isdir, there)):
            raise InputError(
                f"{self.source}: contains folders, such as {there[0]}, but videos are needed; for frame folders use "
                "main.py and test_models.py"
            )
        if kind == "frames" and all(is_video(path) and not os.path.isdir(path) for path in there):
            raise InputError(
                f"{self.source}: contains videos, such as {there[0]}, but frame folders are needed; for videos use "
                "online_main.py and online_test_models.py"
            )

    def _where_looked(self, root: str | os.PathLike[str]) -> str:
        """For a message: where the first path was expected, and what may be wrong."""
        path = self.path(0)
        shorter = re.sub(r"([\s,;]+[+-]?\d+)+$", "", path)
        if shorter != path and os.path.exists(os.path.join(root, shorter)):
            return f"but {shorter} does: {self.where(0)} has too many columns, expected 'path num_frames label'"
        if Path(path).is_absolute():
            return f"the first is {path}; --root_path does not apply to absolute paths: correct the list"
        return f"the first should be {os.path.join(root, path)}; check --root_path"


def read_records(
    path: str | os.PathLike[str],
    counts_in_pairs: bool,
    class_names: Sequence[str] | None = None,
    multi_label: bool = False,
) -> Records:
    """Read a list file.

    `counts_in_pairs` says whether the number in a two-column line is the frame count (lists of frame folders) or the
    label (lists of videos). Labels may be names if `class_names` are known, and several for a video if `multi_label`.
    InputError, with `file:line`, for a missing, empty or malformed list.
    """
    data = _read_bytes(Path(path))
    columns, counts = array("i"), set[int]()  # num_frames, label, line number of each record; numbers per line
    labels = {name: label for label, name in enumerate(class_names)} if class_names else None
    several = LabelColumn() if multi_label else None
    form = Form(counts_in_pairs, None, labels, multi_label)
    texts = StringArray(_read_lines(str(path), data, form, columns, counts, several))
    if not len(texts):
        raise InputError(f"{path}: the list is empty")
    return Records(
        str(path),
        texts,
        np.frombuffer(columns, dtype=np.int32).reshape(-1, 3),
        hashlib.sha256(data).hexdigest(),
        counts == {1},
        several.sets() if several else None,
    )


def _read_lines(
    path: str, data: bytes, form: Form, columns: "array[int]", counts: set[int], several: LabelColumn | None
) -> Iterator[str]:
    """Yield the path of each record; append its other values to `columns`, and add their number to `counts`.

    `several` collects all labels of lists with several per video.
    """
    parse = several.parse if several else parse_line
    before: int | None = None  # number of numeric columns in the lines so far; None at the first line
    for number, line in enumerate(io.BytesIO(data.removeprefix(codecs.BOM_UTF8)), 1):
        text = line.decode("utf-8", "surrogateescape").strip()
        if not text:
            continue
        try:
            if text[0] == "#" and is_comment(text):
                continue
            if before is None and (header := header_form(text, form)):
                form, before = header, header.columns
                continue
            name, num_frames, label, numbers = parse(text, form)
            if not form.counts_in_pairs and before and numbers and numbers != before:
                raise ValueError(f"{numbers + 1} columns, but earlier lines have {before + 1}: is one a second label?")
        except ValueError as error:
            raise InputError(f"{path}:{number}: {form.refusal(error, text)}") from None
        before = before or numbers
        counts.add(numbers)
        columns.extend((num_frames, label, number))
        yield name


def format_line(record: Record) -> str:
    """The line of a list for `record`, without line break; ValueError if it would not be read back unchanged."""
    fields = record.path, record.num_frames, record.label
    line = " ".join(map(str, fields))
    if "\n" in line or "\0" in line or is_comment(line) or parse_line(line.strip(), Form(False))[:3] != fields:
        raise ValueError(f"{record.path!r} cannot be written to a list")
    return line


def _read_bytes(path: Path) -> bytes:
    if path.is_dir():
        raise InputError(f"{path}: is a directory; give a list file")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot read the list ({error.strerror})") from None
    nul = data.find(b"\0")
    if nul >= 0:
        raise InputError(f"{path}:{data.count(10, 0, nul) + 1}: contains a NUL byte; lists are plain UTF-8 text")
    return data
