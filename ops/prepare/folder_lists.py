"""Making the lists of one's own videos or frame folders, in folders of classes or splits, or in a labelled list."""

import dataclasses
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from ops.common.errors import EXIT_DONE, InputError
from ops.common.string_array import StringArray
from ops.common.text import counted
from ops.data.class_names import read_class_names
from ops.data.dataset_configs import dataset_config
from ops.data.file_search import endings_there
from ops.prepare.annotation_formats import Pair, places_of, reordered, split_of
from ops.prepare.annotations import Annotations
from ops.prepare.dataset_lists import Data, check_folder, check_template, say_how_to_train
from ops.prepare.labelled_list import SPLIT_NAMES, Entry, class_order, read_labelled
from ops.prepare.options import JobOptions
from ops.prepare.ownership import WrittenFiles
from ops.prepare.source_files import Plan, Source, locate
from ops.prepare.validation_split import draw_validation, report_changes, sides_of
from ops.prepare.write_lists import check_places, make_lists, write_class_names

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Division:
    """How files are divided into classes and splits.

    Attributes:
        val_fraction: the share of each class that is drawn for validation, if the splits are not given.
        seed: of the draw.
        keep_split: keep videos that are already in the lists in their split, and divide only the new ones.
        labels: a list of paths and labels, instead of folders of classes.
        class_names: a file that sets another order of the classes, or names them if labels are numbers.
    """

    val_fraction: float = 0.2
    seed: int = 0
    keep_split: bool = False
    labels: str | None = None
    class_names: str | None = None


def make_folder_lists(place: Data, division: Division, options: JobOptions) -> int:
    """Make lists of the videos or frame folders in `data/class/…`, `data/split/class/…`, or of a list of them.

    With `keep_split`, lists that were edited by hand are not changed. Returns the exit status.
    """
    config = dataset_config("custom")
    lists = place.list_path(config, "train"), place.list_path(config, "val")
    check_folder(place.data)
    sides = sides_of(*lists, place.kind == "frames") if division.keep_split else {}
    if sides and _edited(lists, place.out):
        return EXIT_DONE
    source, known = classes_and_splits(place, division, sides)
    plans = [Plan(split, "", place.list_path(config, split.name)) for split in known.splits]
    class_file = place.out / "class_names.txt"
    parts = locate(plans, source, ())
    check_template(source, parts)
    check_places(parts, place.out)
    write_class_names(class_file, known.classes, place.out)
    status = make_lists(parts, source, place.out, options)
    if sides:
        report_changes(sides, sides_of(*lists, place.kind == "frames"))
    say_how_to_train("custom", place, plans, class_file)
    return status


def classes_and_splits(place: Data, division: Division, sides: Mapping[str, bool]) -> tuple[Source, Annotations]:
    """The files below `data`, and their classes and splits; videos in `sides` keep their split (True: validation)."""
    source = place.source(dataset_config("custom"), place.data)
    if division.labels:
        entries = read_labelled(division.labels)
        there = (entry.path for entry in entries if os.path.exists(os.path.join(place.data, entry.path)))
        source = dataclasses.replace(source, listed=StringArray(dict.fromkeys(there)))
        if not len(source.listed or ()):
            expected = os.path.join(place.data, entries[0].path)
            raise InputError(
                f"{division.labels}: none of its {counted(len(entries), 'path')} exists; the first should be {expected}"
            )
    else:
        paths = source.find("")
        entries = list(split_entries(paths) if _has_splits(place.data, paths) else class_entries(paths))
        if not entries:
            there_are = endings_there(place.data) if place.kind == "videos" else ""
            raise InputError(
                f"{place.data}: none of its folders contains {source.unit}s{there_are}; they must be in CLASS/…"
            )
        if len(entries) < len(paths):
            log.warning("%ss outside class folders, left out: %d", source.unit, len(paths) - len(entries))
    entries = _named(entries, division.class_names)
    names = {entry.label for entry in entries}
    classes = class_order(names) if division.labels else sorted(names)
    known = annotations_of(entries, classes, division.val_fraction, division.seed, sides)
    if division.class_names:
        known = reordered(known, read_class_names(division.class_names), division.class_names)
    return source, known


def class_entries(paths: Iterable[str]) -> Iterator[Entry]:
    """Entries with the class from the first folder of each of `paths`, `class/…`; others are left out."""
    return (Entry(path, path.split("/", 1)[0]) for path in paths if "/" in path)


def split_entries(paths: Iterable[str]) -> Iterator[Entry]:
    """Entries with split and class from the first two folders, `split/class/…`; "test" replaces a missing "val"."""
    found = [
        Entry(path, parts[1], SPLIT_NAMES[parts[0].lower()]) for path in paths if len(parts := path.split("/", 2)) > 2
    ]
    has_val = any(entry.split == "val" for entry in found)
    return (entry if has_val or entry.split != "test" else dataclasses.replace(entry, split="val") for entry in found)


def annotations_of(
    entries: Sequence[Entry],
    classes: Sequence[str],
    val_fraction: float,
    seed: int,
    sides: Mapping[str, bool] | None = None,
) -> Annotations:
    """The `classes` in order, and the splits: those in `entries`, else those drawn by `draw_validation`."""
    place = places_of(classes)
    if any(entry.split for entry in entries):
        chosen = {name: [e for e in entries if e.split == name] for name in ("train", "val", "test")}
        _check_split_classes(classes, chosen)
    else:
        marks = draw_validation(((entry.path, entry.label) for entry in entries), val_fraction, seed, sides)
        left = {name: iter(drawn) for name, drawn in marks.items()}
        is_val = [next(left[entry.label]) for entry in entries]
        both = list(zip(entries, is_val, strict=True))
        chosen = {"train": [e for e, val in both if not val], "val": [e for e, val in both if val]}

    def pairs(name: str) -> Iterator[Pair]:
        return ((entry.path, place[entry.label]) for entry in chosen[name])

    return Annotations(list(classes), [split_of(name, pairs(name)) for name in chosen if chosen[name]])


def _check_split_classes(classes: Sequence[str], chosen: Mapping[str, Sequence[Entry]]) -> None:
    """InputError if there is no training split; a warning for classes that it lacks."""
    trained = {entry.label for entry in chosen["train"]}
    if not trained:
        raise InputError("there are no videos for training: none is in the split train")
    lacking = [name for name in classes if name not in trained]
    if lacking:
        log.warning("no videos for training in %s, such as %s", counted(len(lacking), "class"), lacking[0])


def _has_splits(data: str, paths: Iterable[str]) -> bool:
    """Whether the folders in `data` are at least two splits, and nothing else, with folders of classes in them.

    InputError for two folders of one split, and for splits without folders of classes.
    """
    folders = {path.split("/", 1)[0]: path.count("/") > 1 for path in paths if "/" in path}
    splits = [SPLIT_NAMES.get(name.lower()) for name in folders]
    if len(folders) < 2 or None in splits:
        return False
    names = ", ".join(folders)
    if len(set(splits)) < len(splits):
        raise InputError(f"{data}: contains two folders of one split ({names}); keep one of them")
    if not any(folders.values()):
        raise InputError(f"{data}: contains splits ({names}) without a folder for each class in them")
    return True


def _named(entries: list[Entry], file: str | None) -> list[Entry]:
    """The entries with class names instead of numbers, if `file` has the names."""
    if not file or not all(entry.label.isdecimal() for entry in entries):
        return entries
    names = read_class_names(file)
    largest = max(entries, key=lambda entry: int(entry.label))
    if int(largest.label) >= len(names):
        raise InputError(f"{largest.path}: its label is {largest.label}, but {file} has {counted(len(names), 'class')}")
    return [dataclasses.replace(entry, label=names[int(entry.label)]) for entry in entries]


def _edited(lists: Sequence[Path], out: Path) -> bool:
    """Whether lists were changed since they were made; logs it."""
    try:
        WrittenFiles(out).check(lists)
    except InputError:
        log.warning("%s: was edited by hand, so the lists stay as they are, without any new files", lists[0].parent)
        return True
    return False
