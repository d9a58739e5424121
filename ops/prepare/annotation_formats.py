"""Readers of the annotations of datasets other than Kinetics, in the formats in which they are published."""

import json
import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ops.common.errors import InputError
from ops.common.string_array import StringArray
from ops.common.text import counted
from ops.data.class_names import read_class_names
from ops.prepare.annotations import (
    SPLITS,
    Annotations,
    Split,
    check_unpacked,
    needed,
    pick,
    read_text,
    table_rows,
    with_suffix,
    words_of,
)
from ops.prepare.match_names import Rules, last, last_two, whole

Pair = tuple[str, int]
"""The name of a video and its label, -1 if unknown."""

Place = dict[str, int]
"""Class names and their labels."""

BY_NAME: Rules = ((whole, last),)
BY_CLASS_AND_NAME: Rules = ((last_two, last_two), (last, last))
"""Names are `class/video`; the file is in a folder of the class, or anywhere if the video's name is unique."""


@dataclass(frozen=True)
class Format:
    """An annotation format: `read(files, number)` with the number of the split, and the rules for names of files."""

    read: Callable[[Sequence[Path], int], Annotations]
    rules: Rules


def read_ucf101(files: Sequence[Path], number: int) -> Annotations:
    """classInd.txt (`1 ApplyEyeMakeup`), trainlist01.txt (`ApplyEyeMakeup/v_….avi 1`), and testlist01.txt as val."""
    named = {file.name.lower(): file for file in files}
    wanted = {"train": f"trainlist{number:02d}.txt", "val": f"testlist{number:02d}.txt"}
    index, *lists = (needed(named.get(name.lower()), name, files) for name in ("classInd.txt", *wanted.values()))
    classes = read_class_names(index)
    place = places_of(classes)

    def pairs(path: Path) -> Iterator[Pair]:
        for where, text in _lines(path):
            video, *number = text.split()
            folder = PurePosixPath(video).parent.name
            label = _label(folder, place, where)
            if number and number != [str(label + 1)]:
                raise InputError(f"{where}: {folder} has number {label + 1} in {index.name}, got {text[:80]!r}")
            yield f"{folder}/{PurePosixPath(video).stem}", label

    return Annotations(classes, [split_of(name, pairs(path)) for name, path in zip(wanted, lists, strict=True)])


def read_hmdb51(files: Sequence[Path], number: int) -> Annotations:
    """A file `CLASS_test_split1.txt` for each class, with lines `….avi 1` (train), `2` (test: val) or `0` (neither)."""
    ending = f"_test_split{number}.txt"
    tables = {file.name.removesuffix(ending): file for file in files if file.name.endswith(ending)}
    if not tables:
        needed(None, f"a file CLASS{ending}", files)
    classes = sorted(tables)
    for name in {found[1] for file in files if (found := re.fullmatch(r"(.+)_test_split\d\.txt", file.name))}:
        needed(tables.get(name), f"{name}{ending}")  # the file belongs to another split

    def pairs(mark: str) -> Iterator[Pair]:
        for label, name in enumerate(classes):
            for where, text in _lines(tables[name]):
                video, _, use = text.rpartition(" ")
                if use not in ("0", "1", "2"):
                    raise InputError(f"{where}: expected 'video 0', 'video 1' or 'video 2', got {text[:80]!r}")
                if use == mark:
                    yield f"{name}/{PurePosixPath(video.strip()).stem}", label

    return Annotations(classes, [split_of("train", pairs("1")), split_of("val", pairs("2"))])


def read_labels_csv(files: Sequence[Path], number: int) -> Annotations:
    """Jester and Something-Something v1: …-labels.csv with a class per line, …-train.csv and …-validation.csv with
    lines `id;label`, …-test.csv with lines `id`, whose labels are in test-answers.csv (`id;label`) if it exists.
    Files with a header, as on Kaggle, are read by its columns `video_id` (or `id`) and `label`; then …-labels.csv may
    be missing, and the classes are the labels that occur. Classes are in alphabetical order, whatever their order in
    the file.
    """
    tables = with_suffix(files, ".csv")
    index = pick(tables, ("labels",), "the CSV file of labels")
    if index is None and not any(map(_columns, tables)):
        needed(index, "…-labels.csv", files)
    found = _tables(files, tables)
    if index:
        classes = sorted(text for _, text in _lines(index))
    else:
        classes = sorted({label for _, path in found if _columns(path) for _, _, label in _rows(path) if label})
    place = places_of(classes)
    answers = _answers(files)

    def pairs(path: Path, split: str) -> Iterator[Pair]:
        for where, name, label in _rows(path):
            if not label and split != "test":
                raise InputError(f"{where}: no label, which {split} needs; expected 'id;label', got {name[:80]!r}")
            where, label = (where, label) if label else answers.get(name, (where, ""))
            yield name, _label(label, place, where) if label else -1

    return Annotations(classes, [split_of(name, pairs(path, name)) for name, path in found])


def read_somethingv2(files: Sequence[Path], number: int) -> Annotations:
    """…-labels.json (`{"Holding something": "0"}`), …-train.json, …-validation.json and …-test.json with `id` and
    `template`, in which `[something]` is in brackets; test-answers.csv (`id;label`) if it exists.
    """
    tables = with_suffix(files, ".json")
    index = needed(pick(tables, ("labels",), "the JSON file of labels"), "…-labels.json", files)
    numbers = {str(name): int(label) for name, label in _read_json(index, dict).items()}
    classes = sorted(numbers, key=numbers.__getitem__)
    if sorted(numbers.values()) != list(range(len(classes))):
        raise InputError(f"{index}: the labels must be 0 to {len(classes) - 1}, each once")
    answers = _answers(files)

    def pairs(path: Path, split: str) -> Iterator[Pair]:
        for entry in _read_json(path, list):
            name = str(entry["id"])
            where, answer = answers.get(name, ("", "")) if split == "test" else ("", "")
            template = re.sub(r"[\[\]]", "", entry.get("template") or answer)
            if not template and split != "test":
                raise InputError(f"{path}: video {name}: no template, which gives the label in {split}")
            yield name, _label(template, numbers, where or f"{path}: video {name}") if template else -1

    found = _tables(files, tables)
    return Annotations(classes, [split_of(name, _checked(path, pairs(path, name))) for name, path in found])


def read_diving48(files: Sequence[Path], number: int) -> Annotations:
    """Diving48_V2_train.json and Diving48_V2_test.json (as val) with `vid_name` and `label`, Diving48_vocab.json."""
    tables = with_suffix(files, ".json")
    index = needed(pick(tables, ("vocab",), "the JSON file of the vocabulary"), "Diving48_vocab.json", files)
    classes = [" ".join(map(str, words)) for words in _read_json(index, list)]

    def pairs(path: Path) -> Iterator[Pair]:
        for entry in _read_json(path, list):
            if entry["label"] not in range(len(classes)):
                raise InputError(f"{path}: {entry['vid_name']} has label {entry['label']}, not 0 to {len(classes) - 1}")
            yield str(entry["vid_name"]), entry["label"]

    found = {"train": pick(tables, ("train",), "the training set"), "val": pick(tables, ("test",), "the test set")}
    paths = {name: needed(path, f"the JSON file of {name}", files) for name, path in found.items()}
    return Annotations(classes, [split_of(name, _checked(path, pairs(path))) for name, path in paths.items()])


FORMATS = {
    "something": Format(read_labels_csv, BY_NAME),
    "somethingv2": Format(read_somethingv2, BY_NAME),
    "ucf101": Format(read_ucf101, BY_CLASS_AND_NAME),
    "hmdb51": Format(read_hmdb51, BY_CLASS_AND_NAME),
    "jester": Format(read_labels_csv, BY_NAME),
    "diving48": Format(read_diving48, BY_NAME),
}


def reordered(annotations: Annotations, names: Sequence[str], source: str) -> Annotations:
    """The annotations with classes in the order of `names`, from the file `source`; InputError if one is missing."""
    place = places_of(names)
    order = np.array([*(_label(name, place, source) for name in annotations.classes), -1], np.int32)
    return Annotations(
        list(names), [Split(split.name, split.names, order[split.labels], split.source) for split in annotations.splits]
    )


def _tables(files: Sequence[Path], tables: Sequence[Path]) -> list[tuple[str, Path]]:
    """The splits that have a file among `tables`, each with its file."""
    splits = [path for path in tables if "answers" not in words_of(path.stem)]
    found = [(name, path) for name, words in SPLITS.items() if (path := pick(splits, words, f"the file of {name}"))]
    for name in {"train", "val"} - {name for name, _ in found}:
        check_unpacked(files, SPLITS[name], tables[0].suffix.lower())
    if not found:
        raise InputError("--annotations: no file of train, validation or test found")
    return found


def _answers(files: Sequence[Path]) -> dict[str, tuple[str, str]]:
    """The content of test-answers.csv (`id;label`), if it exists: id → `file:line` and label."""
    path = pick(with_suffix(files, ".csv"), ("answers",), "the CSV file of answers")
    lines = ((where, *text.partition(";")) for where, text in _lines(path)) if path else ()
    return {name.strip(): (where, label.strip()) for where, name, _, label in lines}


def _columns(path: Path) -> tuple[int, int] | None:
    """The columns of id and label according to the header of a CSV file; None if it has no header."""
    names = [name.strip().lower() for name in next(table_rows(path), (0, [""]))[1]]
    ids = [names.index(name) for name in ("video_id", "id") if names.count(name) == 1]
    return (ids[0], names.index("label")) if ids and names.count("label") == 1 else None


def _rows(path: Path) -> Iterator[tuple[str, str, str]]:
    """`file:line`, id and label ("": none) of each row, by its header, or from lines `id;label` or `id`."""
    if columns := _columns(path):
        rows = table_rows(path)
        next(rows)
        for line, row in rows:
            yield f"{path}:{line}", row[columns[0]].strip(), row[columns[1]].strip()
        return
    for where, text in _lines(path):
        name, _, label = text.partition(";")
        yield where, name.strip(), label.strip()


def split_of(name: str, pairs: Iterable[Pair]) -> Split:
    """The split `name` with the videos and labels of `pairs`."""
    labels = array("i")

    def names() -> Iterator[str]:
        for video, label in pairs:
            labels.append(label)
            yield video

    return Split(name, StringArray(names()), np.array(labels, np.int32))


def places_of(classes: Sequence[str]) -> Place:
    """The label of each class name."""
    return {name: label for label, name in enumerate(classes)}


def _label(name: str, place: Place, where: str) -> int:
    if name not in place:
        raise InputError(f"{where}: {name!r} is not in the list of {counted(len(place), 'class')}")
    return place[name]


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """The lines that are not empty, each with `file:line`."""
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if line.strip():
            yield f"{path}:{number}", line.strip()


def _read_json(path: Path, kind: type) -> Any:
    try:
        value = json.loads(read_text(path))
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error})") from None
    if not isinstance(value, kind):
        raise InputError(f"{path}: expected a JSON {'object' if kind is dict else 'array'}")
    return value


def _checked(path: Path, pairs: Iterator[Pair]) -> Iterator[Pair]:
    """Yield from `pairs`, turning errors about malformed entries into InputError."""
    try:
        yield from pairs
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: malformed entry ({type(error).__name__} {error})") from None
