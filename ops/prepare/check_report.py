"""The results of a check of lists: as a table, as files, and as lists without the bad lines."""

import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ops.common.csv_tables import TableWriter
from ops.common.errors import InputError
from ops.common.text import counted, one_line
from ops.data.lists import Records
from ops.prepare.check_rules import ERROR, KINDS, WARNING, Problem
from ops.prepare.ownership import WrittenFiles

EXAMPLES = 3
"""How many problems of each kind the summary shows; the CSV file has all."""

CLASSES_NAMED = 20


@dataclass(frozen=True)
class CheckedList:
    """A checked list: its split ("train", "val", "test"), its records, and which lines are good."""

    split: str
    records: Records
    good: NDArray[np.bool_]


class Findings:
    """Collects problems: counts them, keeps the first ones as examples, and writes all to `writer`."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer
        self.counts: Counter[tuple[str, str]] = Counter()
        self.examples: dict[str, list[str]] = {}

    def add(self, checked: CheckedList, index: int, problem: Problem) -> None:
        """Add a problem of entry `index` of a list."""
        kind, detail = problem
        records = checked.records
        self._note(checked, kind, one_line(f"{records.where(index)}: {records.path(index)}: {detail}"))
        self._writer.writerow((records.source, records.lines[index], records.path(index), kind, detail))
        checked.good[index] &= KINDS[kind].severity != ERROR

    def add_class(self, checked: CheckedList, name: str) -> None:
        """Add a class that has no video in a list."""
        self._note(checked, "empty_class", f"{checked.records.source}: {name}")
        self._writer.writerow((checked.records.source, "", "", "empty_class", name))

    def total(self, severity: str) -> int:
        """The number of problems of that severity."""
        return sum(count for (kind, _), count in self.counts.items() if KINDS[kind].severity == severity)

    def _note(self, checked: CheckedList, kind: str, example: str) -> None:
        self.counts[kind, checked.split] += 1
        examples = self.examples.setdefault(kind, [])
        if len(examples) < EXAMPLES:
            examples.append(example)


@contextmanager
def open_findings(path: Path, written: WrittenFiles) -> Iterator[Findings]:
    """Findings whose rows `list, line, path, problem, detail` are written to the CSV file `path`, atomically."""
    with written.file(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = TableWriter(file)
        writer.writerow(("list", "line", "path", "problem", "detail"))
        yield Findings(writer)


def class_balance(labels: NDArray[np.int32], num_classes: int) -> dict[str, Any]:
    """Over all classes: the smallest, median and largest number of videos, and the classes without any."""
    known = labels[(labels >= 0) & (labels < num_classes)]
    counts = np.bincount(known, minlength=num_classes)
    return {
        "min": int(counts.min()),
        "median": float(np.median(counts)),
        "max": int(counts.max()),
        "empty": np.flatnonzero(counts == 0).tolist(),
    }


def summary(lists: Sequence[CheckedList], num_classes: int, findings: Findings, folder: Path) -> str:
    """The report as text: the lists, the number of problems of each kind, and the first of each."""
    text = ""
    for checked in lists:
        balance = class_balance(checked.records.all_labels, num_classes)
        text += f"{checked.split}: {checked.records.source}, {counted(len(checked.good), 'entry', 'entries')}, "
        text += f"{checked.good.sum()} good; "
        text += f"{num_classes - len(balance['empty'])} of {counted(num_classes, 'class')}, "
        text += f"{balance['min']} / {balance['median']:g} / {balance['max']} videos per class (min / median / max)"
        text += f"{_labels_in_words(checked.records)}\n"
    rows = [("", "problem", *(checked.split for checked in lists), "")]
    for kind in KINDS:
        counts = [findings.counts[kind, checked.split] for checked in lists]
        if any(counts):
            rows.append((KINDS[kind].severity, kind, *map(str, counts), KINDS[kind].meaning))
    if len(rows) > 1:
        text += "\n" + _table(rows) + "\nThe first of each:\n"
        text += "".join(f"  {kind}  {example}\n" for kind in KINDS for example in findings.examples.get(kind, ()))
    text += f"\n{findings.total(ERROR)} errors, {findings.total(WARNING)} warnings; all listed in {folder}\n"
    return text


def _label_counts(records: Records) -> dict[str, Any]:
    """How many labels a list has in total, and how many videos have 0, 1, … of them; {} for other lists."""
    sets = records.label_sets
    if sets is None:
        return {}
    each = np.diff(sets.bounds)[sets.known]
    return {"labels": len(sets.values), "videos_per_number_of_labels": np.bincount(each).tolist()}


def _labels_in_words(records: Records) -> str:
    found = _label_counts(records)
    if not found:
        return ""
    videos, none = sum(found["videos_per_number_of_labels"]), sum(found["videos_per_number_of_labels"][:1])
    return (
        f"; {found['labels'] / max(videos, 1):.2f} labels per video, {counted(none, 'video')} with none of the classes"
    )


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Align columns: words to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [cell.rjust(width) if 1 < place < len(row) - 1 else cell.ljust(width)
                 for place, (cell, width) in enumerate(zip(row, widths, strict=True))]  # fmt: skip
        lines.append("  ".join(cells).rstrip() + "\n")
    return "".join(lines)


def write_report(
    path: Path,
    lists: Sequence[CheckedList],
    num_classes: int,
    findings: Findings,
    settings: Mapping[str, Any],
    written: WrittenFiles,
) -> None:
    """The report as JSON."""
    content = {
        "settings": dict(settings),
        "num_classes": num_classes,
        "errors": findings.total(ERROR),
        "warnings": findings.total(WARNING),
        "lists": {
            checked.split: {
                "path": checked.records.source,
                "sha256": checked.records.sha256,
                "entries": len(checked.good),
                "good": int(checked.good.sum()),
                "videos_per_class": class_balance(checked.records.all_labels, num_classes),
                **_label_counts(checked.records),
            }
            for checked in lists
        },
        "problems": {
            kind: {
                "severity": KINDS[kind].severity,
                "meaning": KINDS[kind].meaning,
                "counts": {checked.split: findings.counts[kind, checked.split] for checked in lists},
                "examples": findings.examples[kind],
            }
            for kind in KINDS
            if kind in findings.examples
        },
    }
    with written.file(path, encoding="utf-8", errors="surrogateescape") as file:
        json.dump(content, file, indent=2, ensure_ascii=False)
        file.write("\n")


def clean_lists(folder: Path, lists: Mapping[str, Records]) -> list[Path]:
    """The files to which `write_clean_lists` writes the good lines of `lists`, by split."""
    stems = {split: Path(records.source).stem for split, records in lists.items()}
    alone = [list(stems.values()).count(stem) == 1 for stem in stems.values()]
    return [
        folder / f"{stem if only else f'{split}_{stem}'}.clean.txt"
        for (split, stem), only in zip(stems.items(), alone, strict=True)
    ]


def write_clean_lists(folder: Path, lists: Sequence[CheckedList], written: WrittenFiles) -> list[Path]:
    """Write the good lines of each list, unchanged, to `<name>.clean.txt` beside the report."""
    paths = clean_lists(folder, {checked.split: checked.records for checked in lists})
    for checked, path in zip(lists, paths, strict=True):
        data = Path(checked.records.source).read_bytes()
        if hashlib.sha256(data).hexdigest() != checked.records.sha256:
            raise InputError(f"{checked.records.source}: was changed during the check; check again")
        lines = io.BytesIO(data).readlines()
        with written.file(path, "wb") as file:
            file.writelines(lines[number - 1] for number in checked.records.lines[checked.good])
    return paths
