"""List files and the records in them, held in columns.

A list has one line per video, parsed from the right so that paths may hold spaces:

    path num_frames label      frames or videos
    path label                 videos (frame lists: `path num_frames`, an unlabelled test list)
    path                       videos, an unlabelled test list

Kinetics-700 has 650,000 lines, and every worker of a loader holds the list: three NumPy columns and one blob of
text cost it next to nothing, where a list of objects would be copied page by page through reference counts.
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

from ops.errors import InputError
from ops.texts import Texts

UNKNOWN = -1
_LARGEST = 2**31 - 1

# `http://…`, and FFmpeg's protocols, which name no file: `concat:a|b`, `subfile,,start,0,end,0,,:x`, `pipe:0`.
_PROTOCOL = re.compile(r"([a-zA-Z][\w+.-]*://|(async|bluray|cache|concat|concatf|crypto|data|fd|file|hls|pipe)[:,]|"
                       r"(subfile|tee|tcp|udp|unix|rtp)[:,])")  # fmt: skip


@dataclass(frozen=True)
class Record:
    """One video: its `path` as the list gives it, frame count and label (-1 where the list has none)."""

    path: str
    num_frames: int
    label: int


class Records(Sequence[Record]):
    """The records of one list file, in its order.

    `num_frames [N]`, `labels [N]` and `lines [N]` (1-based line numbers) are int32 columns; `source` is the
    file's name and `sha256` the hash of its bytes.
    """

    def __init__(self, source: str, paths: Texts, columns: NDArray[np.int32], sha256: str) -> None:
        self.source, self.sha256, self._paths = source, sha256, paths
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

    def head(self, count: int) -> "Records":
        """The first `count` records."""
        columns = np.stack([self.num_frames, self.labels, self.lines], axis=1)[:count]
        return Records(self.source, Texts(itertools.islice(self._paths, count)), columns, self.sha256)

    def check_labels(self, num_classes: int, required: bool) -> None:
        """InputError naming the line of the first label that is not in [0, num_classes).

        A missing label (-1) is an error where `required`, as in training.
        """
        lowest = 0 if required else UNKNOWN
        bad = np.flatnonzero((self.labels < lowest) | (self.labels >= num_classes))
        if bad.size:
            index = int(bad[0])
            if self.labels[index] == UNKNOWN:
                raise InputError(f"{self.where(index)}: no label, but training and validation need one")
            raise InputError(
                f"{self.where(index)}: label {self.labels[index]} is outside 0…{num_classes - 1} "
                f"({bad.size} such lines); check --num_class and the list"
            )

    def check_some_exist(self, root: str | os.PathLike[str]) -> None:
        """InputError if not one of the files or folders exists under `root` (a wrong --root_path, mostly)."""
        if not any(os.path.exists(os.path.join(root, record.path)) for record in self):
            first = os.path.join(root, self.path(0))
            raise InputError(
                f"{self.source}: none of its {len(self)} paths exists; the first is looked for as {first}; "
                f"check --root_path"
            )


def read_records(path: str | os.PathLike[str], counts_in_pairs: bool) -> Records:
    """Read a list file.

    `counts_in_pairs` says what the number of a two-column line is: the frame count (lists of frame folders) or
    the label (lists of videos). InputError, with `file:line`, on a missing, empty or malformed list.
    """
    data = _read_bytes(Path(path))
    columns = array("i")  # num_frames, label, line number of each record

    def paths() -> Iterator[str]:
        for number, line in enumerate(io.BytesIO(data.removeprefix(codecs.BOM_UTF8)), 1):
            text = line.decode("utf-8", "surrogateescape").strip()
            if not text:
                continue
            try:
                name, num_frames, label = _parse_line(text, counts_in_pairs)
            except ValueError as error:
                raise InputError(f"{path}:{number}: {error}") from None
            columns.extend((num_frames, label, number))
            yield name

    texts = Texts(paths())
    if not len(texts):
        raise InputError(f"{path}: the list is empty")
    return Records(
        str(path),
        texts,
        np.frombuffer(columns, dtype=np.int32).reshape(-1, 3),
        hashlib.sha256(data).hexdigest(),
    )


def format_line(record: Record) -> str:
    """The line of a list for `record`, without its end; ValueError where it would not be read back as what it is."""
    fields = record.path, record.num_frames, record.label
    line = " ".join(map(str, fields))
    if "\n" in line or "\0" in line or _parse_line(line.strip(), False) != fields:
        raise ValueError(f"{record.path!r} cannot stand in a list")
    return line


def names_protocol(path: str) -> bool:
    """Whether `path` is a URL, or one of FFmpeg's protocols, and no file's."""
    return (":" in path or "," in path) and bool(_PROTOCOL.match(path))


def _read_bytes(path: Path) -> bytes:
    if path.is_dir():
        raise InputError(f"{path}: is a directory, a list file is needed")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot read the list ({error.strerror})") from None
    nul = data.find(b"\0")
    if nul >= 0:
        raise InputError(f"{path}:{data.count(10, 0, nul) + 1}: a NUL byte; lists are plain UTF-8 text")
    return data


def _parse_line(line: str, counts_in_pairs: bool) -> tuple[str, int, int]:
    """One stripped line → (path, num_frames, label); ValueError says what is wrong with it."""
    fields = line.rsplit(None, 2)
    numbers = 0
    while numbers < min(2, len(fields) - 1) and _is_integer(fields[-1 - numbers]):
        numbers += 1
    name = fields[0] if numbers == 2 else line if numbers == 0 else line.rsplit(None, 1)[0]
    num_frames = label = UNKNOWN
    if numbers == 2:
        num_frames, label = int(fields[1]), int(fields[2])
    elif numbers == 1 and counts_in_pairs:
        num_frames = int(fields[-1])
    elif numbers == 1:
        label = int(fields[-1])
    elif counts_in_pairs:
        raise ValueError(f"expected 'path num_frames label', got '{line[:80]}'")
    if num_frames > _LARGEST or label > _LARGEST:
        raise ValueError(f"num_frames ({num_frames}) or label ({label}) is too large")
    if ((numbers == 2 or counts_in_pairs) and num_frames < 0) or label < UNKNOWN:
        raise ValueError(f"num_frames ({num_frames}) and label ({label}) must not be negative")
    if "\r" in name or names_protocol(name):
        raise ValueError(f"'{name[:80]}' is not a plain file path (URLs and protocols are not followed)")
    return name, num_frames, label


def _is_integer(text: str) -> bool:
    return text.isdecimal() or (text[0] in "+-" and text[1:].isdecimal())
