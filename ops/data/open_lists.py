"""The first steps of training and testing: finding classes and lists, and reporting all that is wrong with them."""

import argparse
import errno
import itertools
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ops.common.errors import InputError
from ops.common.ranks import is_main
from ops.common.text import counted
from ops.data.class_names import check_class_count, read_class_names
from ops.data.dataset_configs import DatasetConfig, dataset_config
from ops.data.lists import PROBES, Records, read_records

if TYPE_CHECKING:
    from ops.data.frame_source import Reader

log = logging.getLogger(__name__)

NEARLY = 1
"""How much the number of files in a folder may differ from the number of its frames."""

MakeReader = Callable[[DatasetConfig, str], "Reader"]
"""Dataset and modality → its reader, the only difference between frames and videos."""


def say_what_has_no_effect(args: argparse.Namespace) -> None:
    """Log one line about flags of the published code that have no effect."""
    if args.no_effect:
        log.info("%s: accepted for compatibility, but without effect", ", ".join(args.no_effect))


def dataset_of(args: argparse.Namespace) -> DatasetConfig:
    """The dataset that the arguments name, with `--frame_template` if given."""
    config = dataset_config(args.dataset)
    template = args.frame_template if "frame_template" in args else None  # scripts that read videos do not have it
    return config.with_template(template) if template else config


def find_class_names(config: DatasetConfig, file: str | None, num_classes: int | None) -> list[str] | None:
    """Class names in order of the labels: from `file`, else from the file beside the dataset's lists, else built in.

    Without `file`, names are only used if their number is `num_classes` (or that is None). InputError if `num_classes`
    is the dataset's own number and the file beside its lists has another: the labels in the lists are then not its own.
    """
    if file:
        return read_class_names(file)
    names: list[str] | None = None
    if config.folder:
        for beside in ("annotations/class_names.txt", f"{config.videos or config.name}_class_names.txt"):
            if names is None and (config.root() / beside).is_file():
                names = read_class_names(config.root() / beside)
                if num_classes == config.num_classes:
                    check_class_count(config.root() / beside, names, config.name, num_classes, None)
    if names is None and config.class_names:
        names = config.class_names()
    return names if names and num_classes in (None, len(names)) else None


def count_classes(config: DatasetConfig, num_class: int | None, class_names: Sequence[str] | None) -> int | None:
    """The number of classes according to flags and dataset, None if unknown; InputError if they disagree."""
    if num_class and class_names and len(class_names) != num_class:
        raise InputError(f"--num_class ({num_class}) and the {len(class_names)} class names contradict each other")
    return num_class or (len(class_names) if class_names else config.num_classes)


def classes_of(config: DatasetConfig, num_class: int | None, file: str | None) -> tuple[list[str] | None, int | None]:
    """Names and number of the classes from `--class_names` and `--num_class`, else from the dataset; None if unknown.

    InputError if they disagree with each other or with the dataset.
    """
    names = find_class_names(config, file, num_class or config.num_classes)
    num_classes = count_classes(config, num_class, names)
    if file and names:
        check_class_count(file, names, config.name, config.num_classes, num_class)
    return names, num_classes


def given_list(file: str) -> Path:
    """The list that a flag names; InputError if it does not exist."""
    if not os.path.exists(file):
        raise InputError(f"{file}: cannot read the list ({os.strerror(errno.ENOENT)})")
    return Path(file)


def find_list(config: DatasetConfig, kind: str, split: str, file: str | None) -> Path:
    """The list of `split` ("train", "val" or "test"): `file`, else the dataset's; InputError if it does not exist."""
    if file:
        return given_list(file)
    path = config.list_path("val" if split == "test" else split, kind)
    if not path.exists():
        raise InputError(f"{path}: no such list; give --{split}_list, or set TAM_DATASETS to where {config.folder} is")
    return path


def check_lists_exist(args: argparse.Namespace, *splits: str) -> None:
    """InputError for an unknown dataset or a missing list: what can be checked before PyTorch is imported."""
    config = dataset_of(args)
    kind = "videos" if "decoder" in args else "frames"
    for split in splits:
        given = getattr(args, f"{split}_list")
        for file in given if isinstance(given, list) else [given]:
            if file or not config.make:  # a generated dataset gets its lists later
                find_list(config, kind, split, file)


def open_list(
    config: DatasetConfig,
    reader: "Reader",
    split: str,
    file: str | None,
    root: str | None,
    modality: str,
    num_classes: int,
    class_names: Sequence[str] | None,
    multi_label: bool = False,
) -> tuple[Records, str, "Reader"]:
    """Read a list and check that its paths exist: returns records, the root of relative paths and the prepared reader.

    `split` is "train", "val" or "test"; only a test list may lack labels, and its default is the list of "val", as
    published. `file` and `root` default to those of the dataset. Labels may be `class_names`, and several for a video
    if `multi_label`. InputError, in one line, for anything that is wrong.
    """
    if config.make and not file:
        config.make(config.root(), reader.kind, is_main())
    path = find_list(config, reader.kind, split, file)
    folder = root if root is not None else str(config.root()) if config.folder else ""
    if root and not os.path.isdir(root):
        raise InputError(f"--root_path {root}: no such folder")
    records = read_records(path, reader.counts_in_pairs, class_names, multi_label)
    if modality == "Flow" and config.flow_counts > 1:
        records.num_frames //= config.flow_counts
    records.check_labels(num_classes, required=split != "test")
    records.check_some_exist(folder, reader.kind)
    if reader.kind == "frames":
        _check_frame_counts(records, folder)
    return records, folder, reader.prepare(records, folder)


def _check_frame_counts(records: Records, folder: str) -> None:
    """InputError if the frame counts of a list are something else: labels, in lists of two columns, or start frames.

    A folder may contain two or three files per frame: the flow images of x and y, and RGB frames beside them.
    """
    if not records.in_pairs and (records.num_frames > 1).any():
        return
    folders = ((os.path.join(folder, record.path), record.num_frames) for record in records)
    there = itertools.islice(((path, count) for path, count in folders if os.path.isdir(path)), PROBES)
    looked_at = [(len(os.listdir(path)), count) for path, count in there]
    wrong = sum(all(abs(files - share * count) > NEARLY for share in (1, 2, 3)) for files, count in looked_at)
    if wrong > len(looked_at) / 2:
        what = "labels (write 'path num_frames -1' if not)" if records.in_pairs else "start frames"
        raise InputError(
            f"{records.where(0)}: the number after the path is not the number of frames in {wrong} of "
            f"{counted(len(looked_at), 'folder')}; expected 'path num_frames label', but these seem to be {what}"
        )
