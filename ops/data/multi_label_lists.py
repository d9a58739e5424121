"""Lists of videos with several labels each, and the labels of all their videos.

path num_frames 3,17,42      frames or videos
path 3,17,42                 videos
path num_frames 3 17 42      frames, as in MMAction2
path num_frames -            a video with none of the classes
path                         unknown labels, as in other lists
"""

import re
from array import array
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ops.data.list_lines import UNKNOWN, Form, check_label, is_video, parse_line

NONE = "-"
"""Stands for the labels of a video that has none of the classes."""

_OTHER_SEPARATOR = re.compile(r"(.+),\s*(\d+(?:;\d+)+)|(.+);\s*(\d+(?:,\d+)+)")
"""A line in which one of the two signs separates columns and the other one labels."""

_QUOTED = re.compile(r'(.+?)[\s,;]+"\s*(\d+(?:[\s,;]+\d+)*|-)\s*"')
"""A line whose labels are in quotation marks, as in CSV files."""

_NUMBERS = re.compile(r"(.+?)[\s,;]+(\d+)((?:[\s,;]+\d+){2,})")
"""A path and three or more numbers, all with the same separator."""


@dataclass(frozen=True)
class LabelSets:
    """The labels of N videos: those of video i are `values[bounds[i] : bounds[i + 1]]`, ascending, each once.

    `known [N]`: whether the list has the labels of a video; videos with unknown labels have none here.
    """

    values: NDArray[np.int32]
    bounds: NDArray[np.int64]
    known: NDArray[np.bool_]

    def of(self, index: int) -> NDArray[np.int64]:
        """The labels of a video, `[n]`."""
        return self.values[self.bounds[index] : self.bounds[index + 1]].astype(np.int64)

    def head(self, count: int) -> "LabelSets":
        """The label sets of the first `count` videos."""
        bounds = self.bounds[: count + 1]
        return LabelSets(self.values[: bounds[-1]], bounds, self.known[:count])

    def owners(self) -> NDArray[np.int64]:
        """The index of the video of each value."""
        return np.repeat(np.arange(len(self.known)), np.diff(self.bounds))

    def targets(self, num_classes: int) -> NDArray[np.bool_]:
        """Whether each video has each class, `[N, K]`."""
        targets = np.zeros((len(self.known), num_classes), dtype=bool)
        targets[self.owners(), self.values] = True
        return targets


def multi_hot(labels: NDArray[np.int64] | int, num_classes: int) -> NDArray[np.float32]:
    """`[K]`: 1 for each of the `labels`, else 0."""
    target = np.zeros(num_classes, dtype=np.float32)
    target[labels] = 1
    return target


class LabelColumn:
    """Collects the labels of a list while it is read."""

    def __init__(self) -> None:
        self._values, self._bounds, self._known = array("i"), array("q", [0]), array("b")

    def parse(self, line: str, form: Form) -> tuple[str, int, int, int]:
        """Like `parse_line`, for a line with any number of labels; the result has the first of them (-1: none)."""
        name, num_frames, labels, numbers = parse_multi_label_line(line, form)
        self._values.extend(labels or ())
        self._bounds.append(len(self._values))
        self._known.append(labels is not None)
        return name, num_frames, labels[0] if labels else UNKNOWN, numbers

    def sets(self) -> LabelSets:
        """The collected labels."""
        values, bounds = np.array(self._values, np.int32), np.array(self._bounds, np.int64)
        return LabelSets(values, bounds, np.array(self._known, bool))


def parse_multi_label_line(line: str, form: Form) -> tuple[str, int, tuple[int, ...] | None, int]:
    """One stripped line → (path, num_frames, labels, number of columns after the path).

    `num_frames` is -1 and `labels` None where they are missing. ValueError, with the reason, if it cannot be read.
    """
    found = _split(line, form)
    if not found:  # at most one label
        name, num_frames, label, numbers = parse_line(line, form)
        return name, num_frames, (label,) if label != UNKNOWN else None, numbers
    head, text = found
    labels = tuple(sorted({check_label(number) for number in re.findall(r"\d+", text)}))
    name, count, numbers = _path_and_count(head, form)
    if form.columns is not None and numbers + 1 != form.columns:
        raise ValueError(f"{numbers + 2} columns, but the header has {form.columns + 1}")
    return name, count, labels, numbers + 1


def _path_and_count(head: str, form: Form) -> tuple[str, int, int]:
    """A line without its labels → (path, num_frames or -1, whether there is a frame count)."""
    if is_video(head) and not form.counts_in_pairs:
        return parse_line(head, Form(False))[0], UNKNOWN, 0
    name, count, label, numbers = parse_line(head, Form(form.counts_in_pairs))
    if numbers > 1:
        raise ValueError("labels with different separators, or unknown columns")
    count = count if form.counts_in_pairs else label
    if count == 0:
        raise ValueError("0 frames, or is this a label? Separate all labels of a video by commas")
    return name, count, numbers


def _split(line: str, form: Form) -> tuple[str, str] | None:
    """A line as path with frame count, and labels; None if it has at most one label, in an identifiable column."""
    quoted = _QUOTED.fullmatch(line)
    joined = None if quoted else _joined(line)
    if quoted or joined:
        return (quoted[1], quoted[2]) if quoted else joined
    other = _OTHER_SEPARATOR.fullmatch(line)
    if other:
        return (other[1], other[2]) if other[1] else (other[3], other[4])
    many = _NUMBERS.fullmatch(line)
    if many and form.counts_in_pairs:
        return f"{many[1]} {many[2]}", many[3]
    if many:
        raise ValueError("several numbers, of which the first may be a frame count: write labels as '3,17,42'")
    return None


def _joined(line: str) -> tuple[str, str] | None:
    """The same for labels joined by commas or semicolons, after a space, or for `NONE` after any separator."""
    fields = line.rsplit(None, 1)
    if len(fields) == 2 and (fields[1] == NONE or re.fullmatch(r"\d+(?:[,;]\d+)+", fields[1])):
        return fields[0].rstrip(" \t,;"), fields[1]
    alone = re.fullmatch(r"(.+?)\s*[,;]\s*-", line)
    return (alone[1], NONE) if alone else None
