"""Checking the lists of a dataset, which are found with the same flags as in training."""

import functools
import itertools
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ops.common.errors import InputError
from ops.data.dataset_configs import DatasetConfig
from ops.data.decoders import video_reader
from ops.data.frames import FrameReader, frame_reader
from ops.data.list_lines import UNKNOWN
from ops.data.lists import Records, read_records
from ops.data.open_lists import classes_of
from ops.data.pipelines import ClipShape
from ops.prepare.check_report import CheckedList, Findings, class_balance
from ops.prepare.check_rules import Rules, label_problems, media_problems
from ops.prepare.check_video import check_folder, check_video
from ops.prepare.executors import Work
from ops.prepare.journal import Outcome
from ops.prepare.list_entries import Entries, relate
from ops.prepare.options import KINDS, SPLITS

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Dataset:
    """What is checked: lists by split, the folder of relative paths, their kind, classes and names of frames."""

    lists: dict[str, Records]
    root: str
    kind: str
    modality: str
    num_classes: int
    class_names: list[str] | None
    pattern: str
    named: bool = False

    def work(self, decode: str) -> tuple[Work, dict[str, Any]]:
        """The function that checks one entry, and the settings that its results depend on."""
        if self.kind == "videos":
            return functools.partial(check_video, decode=decode), {"check": "video", "decode": decode}
        work = functools.partial(check_folder, decode=decode, pattern=self.pattern, flow=self.modality == "Flow")
        if self.named:  # otherwise the same settings as in earlier versions
            work = functools.partial(work, named=True)
        return work, {"check": "folder", **work.keywords}


def open_dataset(
    config: DatasetConfig,
    modality: str,
    kind: str | None,
    files: Mapping[str, str | None],
    root: str | None,
    num_class: int | None,
    class_file: str | None,
    multi_label: bool = False,
) -> Dataset:
    """The lists in `files` (by split), else those of the dataset that exist; InputError, early, if anything is wrong.

    Without `kind`, it is that of the default lists, or that of the first existing path in a given list. `multi_label`:
    a video may have several labels.
    """
    folder = root if root is not None else str(config.root()) if config.folder else ""
    if root and not os.path.isdir(root):
        raise InputError(f"--root_path {root}: no such folder")
    given = {split: Path(file) for split, file in files.items() if file}
    kind = kind or ("frames" if modality == "Flow" else None) or _kind_of(config, given, folder, multi_label)
    if kind == "videos":
        video_reader(config, modality)  # refuses Flow for videos
    config.check_template([modality] if kind == "frames" else [])
    paths = {**_default_lists(config, kind), **given}
    if not paths:
        place = f"under {config.root()}" if config.folder else "by default"
        raise InputError(f"no list of {kind} {place}: give --train_list and --val_list, or set TAM_DATASETS")
    names, num_classes = classes_of(config, num_class, class_file)
    there = [split for split in SPLITS if split in paths]
    lists = {split: read_records(paths[split], kind == "frames", names, multi_label) for split in there}
    if "val" in lists and "test" in lists and lists["val"].sha256 == lists["test"].sha256:
        del lists["test"]  # as published, the validation list is also the test list
    for records in lists.values():
        records.check_some_exist(folder, kind)
        if modality == "Flow" and config.flow_counts > 1:
            records.num_frames //= config.flow_counts
    if num_classes is None:
        num_classes = 1 + max(int(records.all_labels.max(initial=UNKNOWN)) for records in lists.values())
        log.warning("assuming classes 0…%d, as in the lists; or give --class_names or --num_class", num_classes - 1)
    pattern = config.flow if modality == "Flow" else config.rgb
    return Dataset(lists, folder, kind, modality, max(num_classes, 1), names, pattern, modality in config.named)


def _default_lists(config: DatasetConfig, kind: str) -> dict[str, Path]:
    """The dataset's own lists of training and validation, if they exist."""
    if not config.folder:
        return {}
    paths = {split: config.list_path(split, kind) for split in ("train", "val")}
    return {split: path for split, path in paths.items() if path.exists()}


def _kind_of(config: DatasetConfig, given: Mapping[str, Path], folder: str, multi_label: bool) -> str:
    for path in given.values():
        try:
            records = read_records(path, counts_in_pairs=False, multi_label=multi_label)
        except InputError:  # Flow cannot be read from videos
            records = read_records(path, counts_in_pairs=True, multi_label=multi_label)
        records.check_some_exist(folder)
        places = (os.path.join(folder, records.path(index)) for index in range(len(records)))
        return "frames" if os.path.isdir(next(place for place in places if os.path.exists(place))) else "videos"
    there = [kind for kind in KINDS if _default_lists(config, kind)]
    if len(there) == 2:
        raise InputError(
            f"{config.root()}: contains lists of frames and of videos; choose with --kind frames or --kind videos"
        )
    return there[0] if there else "frames"


def rules_of(dataset: Dataset, config: DatasetConfig, split: str, decode: str, segments: int, dense: bool) -> Rules:
    """The rules for the entries of a list; InputError if none of its folders contains frames."""
    template = None
    if dataset.kind == "frames":
        reader: FrameReader = frame_reader(config, dataset.modality)
        template = reader.prepare(dataset.lists[split], dataset.root).template
    return Rules(
        num_classes=dataset.num_classes,
        labelled=split != "test",
        counted=dataset.kind == "frames" or decode != "none",
        template=template,
        num_segments=segments,
        dense=dense,
        new_length=ClipShape(segments, dataset.modality, 224).new_length,
    )


def find_problems(
    dataset: Dataset, entries: Entries, rules: Mapping[str, Rules], outcome_of: Callable[[str], Outcome], out: Findings
) -> list[CheckedList]:
    """Report the problems of every entry to `out`, in the order of the lists; returns the lists with good lines."""
    relations = relate(entries, outcome_of, dataset.kind == "videos", dataset.root)
    checked = [CheckedList(split, records, np.ones(len(records), bool)) for split, records in dataset.lists.items()]
    paths = entries.paths()
    for start, each in zip(entries.bounds, checked, strict=False):
        for index, record in enumerate(each.records):
            problems = itertools.chain(
                label_problems(each.records.labels_of(index), rules[each.split]),
                media_problems(record, outcome_of(next(paths)), rules[each.split]),
                relations.problems(start + index),
            )
            for problem in problems:
                out.add(each, index, problem)
        if (each.records.all_labels >= 0).any():
            for label in class_balance(each.records.all_labels, dataset.num_classes)["empty"]:
                out.add_class(each, _class_words(label, dataset.class_names))
    return checked


def _class_words(label: int, names: Sequence[str] | None) -> str:
    return f"class {label} ({names[label]})" if names else f"class {label}"
