"""The command lines of a fine-tuning: lists, training, test and report, for videos or for frame folders."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ops.common.errors import InputError
from ops.common.text import counted
from ops.data.decoders import DECODERS
from ops.data.file_search import IMAGE_EXTENSIONS, find_videos
from ops.prepare.labelled_list import read_labelled
from ops.training.options import train_parser

OWN = (
    "train_list", "val_list", "root_path", "class_names", "num_class", "store_name", "root_log", "root_model", "suffix",
    "tune_from", "resume", "evaluate", "start_epoch", "batch_size", "epochs", "multi_label",
)  # fmt: skip
"""Arguments of the training that this tool sets itself."""

PASSED_TO_TEST = ("device", "gpus", "workers", "decoder", "decode_timeout", "frame_template")
"""Flags of the training that also apply to the test, if given."""


@dataclass(frozen=True)
class FineTuning:
    """One fine-tuning.

    Attributes:
        root: the folder that paths in lists are relative to.
        kind: "videos" or "frames".
        labels: the list of paths and labels, if the classes are not folders.
        weights: the checkpoint to start from.
        out: the folder for all results.
        val_fraction: the share of each class for validation, if the splits are not given.
        batch, epochs: as given; None for what fits the number of clips.
        flags: further flags of the training.
    """

    root: str
    kind: str
    labels: str | None
    weights: str
    out: Path
    val_fraction: float = 0.2
    batch: int | None = None
    epochs: int | None = None
    flags: Sequence[str] = ()

    @property
    def lists(self) -> Path:
        """The folder of its lists."""
        return self.out / "lists"

    @property
    def origin(self) -> str:
        """The videos and the checkpoint in words; a folder of results belongs to one pair of them."""
        weights = os.path.realpath(self.weights) if os.path.exists(self.weights) else self.weights
        return f"{os.path.realpath(self.labels or self.root)} from {weights}"

    def make_lists(self) -> list[str]:
        """The command that makes or updates the lists."""
        command = ["tools/gen_labels.py", "folder", "--data", self.root, "--out", str(self.lists), "--kind", self.kind]
        command += ["--val_fraction", f"{self.val_fraction:g}", "--keep_split"]
        template = self._training().frame_template if self.kind == "frames" else None
        return [*command, *_flag("annotations", self.labels), *_flag("frame_template", template)]

    def train(self, schedule: Sequence[str]) -> list[str]:
        """The command that trains with the flags of `schedule`, or continues this training."""
        out = self.out.absolute()
        return [
            "online_main.py" if self.kind == "videos" else "main.py", "custom", "RGB",
            *("--train_list", str(self.lists / "train.txt"), "--val_list", str(self.lists / "val.txt")),
            *("--root_path", self.root, "--class_names", str(self.lists / "class_names.txt")),
            *("--tune_from", self.weights, "--no-multi_label", "--resume", "auto", "--npb", "--gd", "20", *schedule),
            *("--lr", "0.001", "--scale_lr", "8", "--lr_type", "cos", "--warmup_epochs", "1"),
            *("--max_bad_fraction", "0.1", "-j", "2", "--ckpt_interval", "5m"),
            *("--root_log", str(out.parent), "--root_model", str(out.parent), "--store_name", out.name, *self.flags),
        ]  # fmt: skip

    def test(self, split: str) -> list[str]:
        """The command that tests the last epoch, because the best one was chosen with the videos of validation."""
        args = self._training()
        given = {name: getattr(args, name) for name in PASSED_TO_TEST if name in args.given}
        return [
            "online_test_models.py" if self.kind == "videos" else "test_models.py", "custom",
            *("--weights", str(self.out / "ckpt.pth.tar"), "--test_list", str(self.lists / f"{split}.txt")),
            *("--root_path", self.root, "--sample", "uniform-1", "-j", "2", "--output", str(self.out / "test")),
            *(word for name, value in given.items() for word in _flag(name, value)),
        ]  # fmt: skip

    def report(self) -> list[str]:
        """The command that writes the page about training and test."""
        return ["tools/report.py", str(self.out), "--output", str(self.out / "report.html")]

    def _training(self) -> argparse.Namespace:
        args: argparse.Namespace = _train_parser(self.kind).parse_args(["custom", "RGB", *self.flags])
        return args


def fine_tuning_of(args: argparse.Namespace, flags: Sequence[str]) -> FineTuning:
    """The fine-tuning that the arguments of tools/finetune.py ask for, with further `flags` for the training.

    InputError for every mistake that can be found before PyTorch is imported.
    """
    labels = None if os.path.isdir(args.data) else args.data
    if not os.path.exists(args.data):
        hint = "; give DATA before flags of the training" if flags else ""
        raise InputError(f"{args.data}: no such folder or list of videos{hint}")
    if args.root_path and not labels:
        raise InputError("--root_path is for lists of paths and labels; DATA is a folder")
    root = _root_of(labels, args.root_path) if labels else args.data
    kind = args.kind or _kind_of(root, labels)
    own = _train_parser(kind).parse_args(["custom", "RGB", *flags]).given & set(OWN)
    if own:
        raise InputError(f"--{min(own)} cannot be passed on, because tools/finetune.py sets it (see --help)")
    name = Path(labels).stem if labels else Path(args.data).resolve().name
    out = Path(args.out or Path("checkpoints") / f"finetune_{name}")
    return FineTuning(
        os.path.abspath(root), kind, labels, args.weights, out, args.val_fraction, args.batch_size, args.epochs, flags
    )


def _train_parser(kind: str) -> argparse.ArgumentParser:
    return train_parser(None, tuple(DECODERS) if kind == "videos" else ())


def _flag(name: str, value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [] if value is None else [f"--{name}", *map(str, values)]


def _root_of(labels: str, root: str | None) -> str:
    """The folder that the paths in a list are relative to: the given one, else that of the list or the current one."""
    if root:
        if not os.path.isdir(root):
            raise InputError(f"--root_path {root}: no such folder")
        return root
    beside = str(Path(labels).absolute().parent)
    paths = [entry.path for entry in read_labelled(labels)]
    for folder in (beside, os.curdir):
        if any(os.path.exists(os.path.join(folder, path)) for path in paths):
            return folder
    raise InputError(
        f"{labels}: none of its {counted(len(paths), 'path')} exists below {beside}, such as {paths[0]}; "
        "give --root_path"
    )


def _kind_of(root: str, labels: str | None) -> str:
    """Whether there are videos, or folders of frames."""
    if labels:
        paths = (os.path.join(root, entry.path) for entry in read_labelled(labels))
        return "frames" if os.path.isdir(next(filter(os.path.exists, paths), "")) else "videos"
    if len(find_videos(root)):
        return "videos"
    return "frames" if len(find_videos(root, IMAGE_EXTENSIONS)) else "videos"
