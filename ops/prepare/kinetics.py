"""The csv files of Kinetics-400, -600 and -700: their clips and classes, and how the files of clips are named."""

import csv
import logging
import os
import re
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ops.dataset_configs import DATASETS, read_class_names
from ops.errors import InputError
from ops.prepare.annotations import SPLITS, Annotations, Split, annotation_files, pick, with_suffix
from ops.prepare.jobs import JobOptions
from ops.prepare.listing import Plan, Source, check_places, locate, make_lists, write_class_names
from ops.prepare.matching import Rules, last, whole
from ops.texts import Texts
from ops.tree import relative

log = logging.getLogger(__name__)

KINETICS = {"k400": "kinetics", "k600": "kinetics600", "k700": "kinetics700"}
"""What lists are called by, and the entry of `ops.dataset_configs`."""

_WORD = re.compile(r"[\w-]+_\d{6}_\d{6}", re.ASCII)
_CLIP = re.compile(r"[\w-]{11}_\d{6}_\d{6}", re.ASCII)
_TIMES = re.compile(r"_\d{6,}_\d{6,}$", re.ASCII)


@dataclass(frozen=True)
class Clips:
    """The clips of a csv file in its order.

    names: `{youtube_id}_{start:06d}_{end:06d}` `[N]`, the id alone where the file gives no times.
    labels: for each clip a place in `classes` `[N]`; -1 where the file has no labels.
    classes: the labels in order of appearance, with the line of the first.
    """

    path: Path
    names: Texts
    labels: NDArray[np.int32]
    classes: dict[str, int]


def make_kinetics_lists(
    video_path: str,
    label_path: str,
    splits: Sequence[str] | None,
    dataset: str | None,
    class_names: str | None,
    verify: str,
    options: JobOptions,
) -> int:
    """Make the lists of the videos under `video_path` by the csv files in `label_path`, in which they go too.

    `splits` None stands for all that are there; `dataset` and `class_names` as in `read_kinetics`. Returns the exit
    status.
    """
    dataset, annotations = read_kinetics(annotation_files([label_path]), dataset, class_names)
    out = Path(label_path)
    plans = kinetics_plans(annotations, video_path, "", splits, lambda split: out / f"{dataset}_{split}_list.txt")
    source = Source(video_path, "videos", DATASETS[KINETICS[dataset]], verify)
    parts = locate(plans, source, RULES)
    check_places(parts, out)
    write_class_names(out / f"{dataset}_class_names.txt", annotations.classes, out)
    return make_lists(parts, source, out, options)


def kinetics_plans(
    annotations: Annotations, root: str, under: str, splits: Sequence[str] | None, list_path: Callable[[str], Path]
) -> list[Plan]:
    """The lists that can be made: for labelled splits whose folder is below `root/under`, or all where there is none.

    InputError where one of `splits` cannot, or, if that is None, none at all.
    """
    data = Path(root, under)
    try:
        inner = [path for path in data.iterdir() if path.is_dir() and not path.name.startswith(".")]
    except OSError as error:
        raise InputError(f"{data}: cannot be listed ({error.strerror or error})") from None
    folders = {split: pick(inner, words, f"the folder of {split}") for split, words in SPLITS.items()}
    if not any(folders.values()):
        folders = dict.fromkeys(SPLITS, data)
    known = {split.name: split for split in annotations.splits}
    plans = []
    for name in splits or known:
        if name not in known:
            raise InputError(f"--splits {name}: no csv file of it")
        folder = folders[name]
        if known[name].labels[0] < 0:
            log.info("%s: the csv file has no labels, so there is no list of it", name)
        elif folder:
            plans.append(Plan(known[name], relative(folder, root), list_path(name)))
        elif splits:
            raise InputError(f"--splits {name}: there is no folder {data / name}")
        else:
            log.warning("%s: left out, for there is no folder %s", name, data / name)
    if not plans:
        raise InputError(f"{data}: no split has both a csv file with labels and a folder of videos")
    return plans


def read_kinetics(files: Sequence[Path], dataset: str | None, class_names: str | None) -> tuple[str, Annotations]:
    """The annotations in those of `files` that are csv files of a split; the clips of unlabelled splits have label -1.

    `dataset` is k400, k600, k700 or None: to be found out; `class_names` a file that overrides the classes. Returns
    which dataset it is, too.
    """
    tables = with_suffix(files, ".csv")
    found = {split: pick(tables, words, f"the csv file of {split}") for split, words in SPLITS.items()}
    clips = {split: read_clips(path) for split, path in found.items() if path}
    if not clips:
        raise InputError("there is no train.csv, val.csv (or validate.csv) or test.csv")
    labels = sorted({label for part in clips.values() for label in part.classes})
    given = read_class_names(class_names) if class_names else None
    dataset = dataset or _which(given or labels)
    names = given or (_kinetics400() if dataset == "k400" else labels)
    usual = DATASETS[KINETICS[dataset]].num_classes
    if len(names) != usual:
        log.warning("%d classes, where %s has %d: are all csv files there?", len(names), dataset, usual)
    splits = [Split(split, part.names, _class_ids(part, names)) for split, part in clips.items()]
    return dataset, Annotations(names, splits)


def read_clips(path: Path) -> Clips:
    """Read one csv file by its header: columns in any order, further ones, quotes, with times as 0 or as 0.0.

    InputError, with `file:line`, on what cannot be one.
    """
    classes: dict[str, int] = {}
    places: dict[str, int] = {}
    labels = array("i")

    def names() -> Iterator[str]:
        for line, row in _rows(path):
            label = (row.get("label") or "").strip()
            if label:
                classes.setdefault(label, line)
            elif classes:
                raise InputError(f"{path}:{line}: no label")
            labels.append(places.setdefault(label, len(places)) if label else -1)
            if label and labels[0] < 0:
                raise InputError(f"{path}:{line}: a label, where lines before it have none")
            yield _clip_name(row, f"{path}:{line}")

    clips = Clips(path, Texts(names()), np.frombuffer(labels or array("i"), np.int32), classes)
    if not len(clips.names):
        raise InputError(f"{path}: no clips in it")
    return clips


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str | None]]]:
    """Line numbers and rows by column, empty lines left out."""
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            lines = csv.reader(file)
            header = [name.strip().lower() for name in next(lines, [])]
            if "youtube_id" not in header:
                raise InputError(f"{path}:1: the header has no column youtube_id but {', '.join(header)[:80]!r}")
            for row in lines:
                if len(row) < len(header) and any(row):
                    raise InputError(f"{path}:{lines.line_num}: {len(row)} columns, the header has {len(header)}")
                if any(row):
                    yield lines.line_num, dict(zip(header, row, strict=False))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    except csv.Error as error:
        raise InputError(f"{path}: not a csv file ({error})") from None


def _clip_name(row: dict[str, str | None], where: str) -> str:
    name = (row["youtube_id"] or "").strip()
    if not name:
        raise InputError(f"{where}: no youtube_id")
    times = [text for column in ("time_start", "time_end") if (text := (row.get(column) or "").strip())]
    try:
        return name + "".join(f"_{int(float(text)):06d}" for text in times)
    except (ValueError, OverflowError):
        raise InputError(f"{where}: time_start and time_end ({', '.join(times)}) must be seconds") from None


def _which(labels: Sequence[str]) -> str:
    """The dataset that `labels` are all of, or all from."""
    if {_plain(label) for label in labels} <= {_plain(name) for name in _kinetics400()}:
        return "k400"
    for dataset, name in KINETICS.items():
        if len(labels) == DATASETS[name].num_classes:
            return dataset
    raise InputError(f"{len(labels)} classes, not all of Kinetics-400: say which it is, --dataset k400, k600 or k700")


def _kinetics400() -> list[str]:
    names = DATASETS["kinetics"].class_names
    assert names
    return names()


def _class_ids(clips: Clips, names: Sequence[str]) -> NDArray[np.int32]:
    """The places in `names` of the clips' labels `[N]`; letters and digits alone are compared."""
    place = {_plain(name): index for index, name in enumerate(names)}
    for label, line in clips.classes.items():
        if _plain(label) not in place:
            raise InputError(f"{clips.path}:{line}: the label {label!r} is none of the {len(names)} classes")
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
"""How the file of a clip is named: as the clip; with its name as a word in it, as in `k400 NAME (1)`; with a name of
the usual 11 + 14 letters in it, as in `abseiling_NAME`; or by a youtube_id that only one clip has."""
