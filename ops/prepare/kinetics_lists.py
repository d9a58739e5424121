"""Lists of Kinetics-400, -600 and -700 from their CSV files: clips, classes, and the names of the clips' files."""

import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ops.common.errors import InputError
from ops.common.text import counted
from ops.data.class_names import check_class_count, read_class_names
from ops.data.dataset_configs import DATASETS
from ops.data.file_search import relative
from ops.prepare.annotations import (
    NAME_IT,
    SPLITS,
    Annotations,
    Split,
    annotation_files,
    check_unpacked,
    pick,
    with_suffix,
)
from ops.prepare.kinetics_csv import Clips, has_splits, read_clips
from ops.prepare.match_names import Rules, last, whole
from ops.prepare.options import KINETICS, JobOptions
from ops.prepare.source_files import Plan, Source, locate
from ops.prepare.write_lists import check_places, make_lists, write_class_names

log = logging.getLogger(__name__)


FEW = 0.1
"""Largest fraction of labels that may be mistakes: in Kinetics-600 and -700, far more are not in Kinetics-400."""

REPLACEMENT = ("replacement", "replacements")
"""Words in the name of the folder whose videos replace broken ones."""

_WORD = re.compile(r"[\w-]+_\d{6}_\d{6}", re.ASCII)
_CLIP = re.compile(r"[\w-]{11}_\d{6}_\d{6}", re.ASCII)
_TIMES = re.compile(r"_\d{6,}_\d{6,}$", re.ASCII)


def make_kinetics_lists(
    place: Source,
    out: Path,
    annotations: Sequence[str],
    splits: Sequence[str] | None,
    dataset: str | None,
    class_names: str | None,
    num_class: int | None,
    options: JobOptions,
) -> int:
    """Make the lists of the videos in `place` from `annotations`, CSV files or their folders; lists go to `out`.

    `splits` None means all available ones; `dataset`, `class_names` and `num_class` are as in `read_kinetics`. Returns
    the exit status.
    """
    dataset, known = read_kinetics(annotation_files(annotations), dataset, class_names, num_class)
    plans = kinetics_plans(known, place.root, "", splits, lambda split: out / f"{dataset}_{split}_list.txt")
    parts = locate(plans, place, RULES)
    check_places(parts, out)
    write_class_names(out / f"{dataset}_class_names.txt", known.classes, out)
    return make_lists(parts, place, out, options)


def kinetics_plans(
    annotations: Annotations, root: str, under: str, splits: Sequence[str] | None, list_path: Callable[[str], Path]
) -> list[Plan]:
    """The lists that can be made: labelled splits with a folder below `root/under`, or all if there are no folders.

    A folder `replacement…` beside these is searched first: CVDF publishes replacements there for videos of Kinetics-400
    that are broken in its archives.

    InputError if the list of one of `splits` cannot be made or, if that is None, no list at all.
    """
    data = Path(root, under)
    try:
        inner = [path for path in data.iterdir() if path.is_dir() and not path.name.startswith(".")]
    except OSError as error:
        raise InputError(f"{data}: cannot be listed ({error.strerror or error})") from None
    folders = {
        split: pick(inner, words, f"the folder of {split}", f"Link the right one as {data / words[0]}")
        for split, words in SPLITS.items()
    }
    better = pick(inner, REPLACEMENT, "the folder of replacements", f"Link the right one as {data / REPLACEMENT[0]}")
    if not any(folders.values()):
        folders, better = dict.fromkeys(SPLITS, data), None  # the folder is inside it
    known = {split.name: split for split in annotations.splits}
    plans = []
    for name in splits or known:
        if name not in known:
            raise InputError(f"--splits {name}: there is no CSV file of this split")
        folder = folders[name]
        if known[name].labels[0] < 0 and name != "test":
            raise InputError(f"{known[name].source}: its clips have no labels, but {name} needs them")
        if known[name].labels[0] < 0:
            log.info("%s: the CSV file has no labels, so no list is made", name)
        elif folder:
            also = relative(better, root) if better else None
            plans.append(Plan(known[name], relative(folder, root), list_path(name), also))
        elif splits:
            raise InputError(f"--splits {name}: there is no folder {data / name}")
        else:
            log.warning("%s: left out, because there is no folder %s", name, data / name)
    if not plans:
        raise InputError(f"{data}: no split has both a CSV file with labels and a folder of videos")
    return plans


def read_kinetics(
    files: Sequence[Path], dataset: str | None, class_names: str | None, num_class: int | None = None
) -> tuple[str, Annotations]:
    """The annotations in the CSV files of splits among `files`; clips of unlabelled splits have label -1.

    A file without a split in its name contains all splits in its column `split`. `dataset` is k400, k600, k700 or None
    (to be detected); `class_names` is a file that overrides the classes. InputError if their number is not that of the
    dataset, or `num_class`. Also returns the dataset.
    """
    clips = _read_splits(files)
    where = {label: f"{part.path}:{line}" for part in clips.values() for label, line in part.classes.items()}
    labels = sorted(where)
    given = read_class_names(class_names) if class_names else None
    dataset = dataset or _which(dict.fromkeys(given, class_names or "") if given else where)
    names = given or (_kinetics400() if dataset == "k400" else labels)
    usual = DATASETS[KINETICS[dataset]].num_classes
    source = class_names or ", ".join(str(part.path) for part in clips.values())
    advice = "are CSV files missing?" if len(names) < (usual or 0) else _rarest(clips, where)
    check_class_count(source, names, dataset, usual, num_class, advice)
    splits = [Split(split, part.names, _class_ids(part, names), str(part.path)) for split, part in clips.items()]
    return dataset, Annotations(names, splits)


def _read_splits(files: Sequence[Path]) -> dict[str, Clips]:
    """The clips of every split that has a CSV file among `files`; InputError if none has."""
    tables = with_suffix(files, ".csv")
    found = {split: pick(tables, words, f"the CSV file of {split}") for split, words in SPLITS.items()}
    for split in ("train", "val"):
        if not found[split]:
            check_unpacked(files, SPLITS[split], ".csv")
    if not any(found.values()):
        whole_sets = list(filter(has_splits, tables))
        if len(whole_sets) > 1:
            names = " or ".join(path.name for path in whole_sets)
            raise InputError(f"{whole_sets[0].parent}: the CSV file of all splits could be {names}. {NAME_IT}")
        found = dict.fromkeys(SPLITS, whole_sets[0]) if whole_sets else found
    paths = [path for path in found.values() if path]
    if not paths and tables:
        read_clips(tables[0])  # this may raise a more precise error
    clips = {split: read_clips(path, split, paths.count(path) > 1) for split, path in found.items() if path}
    clips = {split: part for split, part in clips.items() if len(part.names)}
    if not clips:
        raise InputError("there is no train.csv, val.csv (or validate.csv) or test.csv")
    return clips


def _rarest(clips: Mapping[str, Clips], where: Mapping[str, str]) -> str:
    """The label with the fewest clips: if there are too many labels, most likely the wrong one."""
    counts = dict.fromkeys(where, 0)
    for part in clips.values():
        for label, count in zip(part.classes, np.bincount(part.labels[part.labels >= 0]).tolist(), strict=False):
            counts[label] += count
    label = min(counts, key=lambda label: counts[label], default="")
    return f"the one with the fewest clips is {label!r}, {where[label]}" if label else ""


def _which(where: Mapping[str, str]) -> str:
    """The dataset whose classes are exactly these labels, or include them; `where` gives file and line of each."""
    known = {_plain(name) for name in _kinetics400()}
    others = [label for label in where if _plain(label) not in known]
    if not others:
        return "k400"
    for dataset, name in KINETICS.items():
        if len(where) == DATASETS[name].num_classes:
            return dataset
    if len(others) <= FEW * len(where):
        raise InputError(
            f"{where[others[0]]}: the label {others[0]!r} is not a class of Kinetics-400, but "
            f"{len(where) - len(others)} others are: correct it, or give another dataset, --dataset k600 or k700"
        )
    raise InputError(
        f"{counted(len(where), 'class')}, not all of Kinetics-400: give the dataset, --dataset k400, k600 or k700"
    )


def _kinetics400() -> list[str]:
    names = DATASETS["kinetics"].class_names
    assert names
    return names()


def _class_ids(clips: Clips, names: Sequence[str]) -> NDArray[np.int32]:
    """The indices in `names` of the clips' labels `[N]`; only letters and digits are compared."""
    place = {_plain(name): index for index, name in enumerate(names)}
    for label, line in clips.classes.items():
        if _plain(label) not in place:
            known = counted(len(names), "class")
            raise InputError(f"{clips.path}:{line}: the label {label!r} is not in the list of {known}")
    ids = [place[_plain(label)] for label in clips.classes]
    return np.array([*ids, -1], np.int32)[clips.labels]


def _plain(label: str) -> str:
    return "".join(re.findall(r"[^\W_]+", label.lower()))


def _without_times(name: str) -> str:
    return _TIMES.sub("", name)


def _found(pattern: "re.Pattern[str]", path: str) -> str:
    found = pattern.search(os.path.basename(path))
    return found[0] if found else ""


RULES: Rules = (
    (whole, last),
    (whole, partial(_found, _WORD)),
    (whole, partial(_found, _CLIP)),
    (_without_times, last),
)
"""The names that the file of a clip can have: the clip's name; a name that contains it as a word, as in
`k400 NAME (1)`; one that contains a name of the usual 11 + 14 characters, as in `abseiling_NAME`; or a youtube_id that
belongs to a single clip."""
