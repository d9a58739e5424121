"""The datasets: classes, places on disk, frame names, mirror rule, recipe and published results.

To add one, add an entry to `DATASETS`; nothing else needs to know its name. The fields:

    name          name on the command line
    num_classes   None if only --num_class or the file of class names can tell
    folder        its folder under $TAM_DATASETS (default `datasets/`):
                      folder/annotations/{train,val,test}.txt and the frame folders in these lists, and
                      folder/{videos}_{train,val,test}_list.txt and the videos in these lists
    rgb, flow     names of frames on disk (see `ops.data.frames.FrameTemplate`); other usual names are detected
    named         modalities whose names `--frame_template` gave: for these no other names are accepted
    mirror        whether training mirrors clips left to right
    swap          whether mirroring changes the class: "… to the left" becomes "… to the right"
    swap_pairs    those classes by number, if class names are not known
    recipe        learning rate, and the batch size that it fits
    published     results of the published checkpoints, and how they were tested
    scales        sides of training crops, as fractions of the short side (default: the published ones)
    dense         the default of --sample: a window of 64 frames (else frames spread over the video)
    make          function that creates the dataset if it is missing (root, "frames" or "videos", whether to show
                      progress)
    flow_counts   2 if published flow lists count the images of x and y separately
    seconds       a typical length of its videos, for windows of a live stream that are sampled like them: of UCF101
                      27 hours in 13,320 videos (Soomro et al., 2012), of Jester 5,331,312 frames in 148,092 videos at
                      12 per second (Materzynska et al., 2019), of Something-Something about 4 s; built-in: exact

A dataset without an entry is `custom`, with --train_list, --val_list, --root_path and --class_names.
"""

import importlib
import os
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from ops.common.errors import InputError


@dataclass(frozen=True)
class Recipe:
    """The published learning rate: `lr` fits a total batch size of `batch_size`."""

    lr: float
    batch_size: int
    epochs: int
    lr_steps: tuple[int, ...]
    dropout: float
    weight_decay: float


@dataclass(frozen=True)
class Published:
    """A published result: `segments` × `crops` × `sample` at `size` pixels, top-1 and top-5 in percent."""

    segments: int
    crops: int
    sample: str
    size: int
    top1: float
    top5: float


@dataclass(frozen=True)
class DatasetConfig:
    """One dataset; the module's docstring explains the fields."""

    name: str
    num_classes: int | None
    folder: str | None = None
    videos: str | None = None
    rgb: str = "img_{index:05d}.jpg"
    flow: str = "flow_{axis}_{index:05d}.jpg"
    named: tuple[str, ...] = ()
    mirror: bool = True
    swap: bool = False
    swap_pairs: tuple[tuple[int, int], ...] = ()
    recipe: Recipe | None = None
    published: tuple[Published, ...] = ()
    scales: tuple[float, ...] | None = None
    dense: bool = False
    flow_counts: int = 1
    make: Callable[[Path, str, bool], None] | None = None
    class_names: Callable[[], list[str]] | None = None
    seconds: float | None = None

    def list_path(self, split: str, kind: str) -> Path:
        """The default path of the list of `split`; `kind` is "frames" or "videos". InputError if it has none."""
        if kind == "frames":
            return self.root() / "annotations" / f"{split}.txt"
        return self.root() / f"{self.videos or self.name}_{split}_list.txt"

    def with_template(self, pattern: str) -> "DatasetConfig":
        """The same with other names of frames (`--frame_template`); only those of flow if x and y have a file each."""
        if "{axis" in pattern:
            return replace(self, flow=pattern, named=("Flow",))
        return replace(self, rgb=pattern, flow=pattern, named=("RGB", "Flow"))

    def check_template(self, modalities: Collection[str]) -> None:
        """InputError if `--frame_template` fits none of the `modalities` that are read (empty for videos)."""
        if self.named and set(self.named).isdisjoint(modalities):
            read = " and ".join(modalities) or "videos"
            raise InputError(f"--frame_template {self.flow}: is for frames of {' and '.join(self.named)}, not {read}")

    def root(self) -> Path:
        """The default of the folder that paths in lists are relative to."""
        if self.folder is None:
            raise InputError(f"dataset {self.name} has no default folder: give the lists and --root_path")
        return Path(os.environ.get("TAM_DATASETS", "datasets")) / self.folder


def _kinetics400_names() -> list[str]:
    """In the published order, which is alphabetical."""
    return Path(__file__).with_name("kinetics400_classes.txt").read_text("utf-8").splitlines()


def _make_generated(module: str, root: Path, kind: str, shown: bool) -> None:
    """Make the built-in dataset that `ops.data.<module>` generates; it imports what draws."""
    importlib.import_module(f"ops.data.{module}").make(root, kind, shown)


def _generated_names(module: str) -> list[str]:
    return list(importlib.import_module(f"ops.data.{module}").CLASSES)


_KINETICS = Recipe(0.01, 64, 100, (50, 75, 90), dropout=0.5, weight_decay=1e-4)

_ALL = (
    DatasetConfig(
        "kinetics",
        num_classes=400,
        folder="Kinetics400",
        videos="k400",
        recipe=_KINETICS,
        published=(
            Published(8, 3, "dense-10", 256, 76.1, 92.3),
            Published(16, 3, "dense-10", 256, 76.9, 92.9),
        ),
        dense=True,
        class_names=_kinetics400_names,
    ),
    DatasetConfig("kinetics600", 600, "Kinetics600", "k600", recipe=_KINETICS, dense=True),
    DatasetConfig("kinetics700", 700, "Kinetics700", "k700", recipe=_KINETICS, dense=True),
    DatasetConfig(
        "something",
        num_classes=174,
        folder="SomethingV1",
        rgb="{index:05d}.jpg",
        flow="{video:06d}-{axis}_{index:05d}.jpg",
        mirror=False,
        swap=True,
        recipe=Recipe(0.01, 64, 50, (30, 40, 45), dropout=0.6, weight_decay=1e-3),
        published=(
            Published(8, 1, "uniform-1", 224, 46.5, 75.8),
            Published(16, 1, "uniform-1", 224, 47.6, 77.7),
        ),
        flow_counts=2,
        seconds=4.0,
    ),
    DatasetConfig(
        "somethingv2",
        num_classes=174,
        folder="SomethingV2",
        rgb="{index:06d}.jpg",
        flow="{index:06d}.jpg",
        swap=True,
        swap_pairs=((86, 87), (93, 94), (166, 167)),
        recipe=Recipe(0.02, 128, 50, (30, 40, 45), dropout=0.5, weight_decay=5e-4),
        published=(
            Published(8, 3, "uniform-2", 256, 62.7, 88.0),
            Published(16, 3, "uniform-2", 256, 64.6, 89.5),
        ),
        seconds=4.0,
    ),
    DatasetConfig("ucf101", 101, "UCF101", seconds=7.3),
    DatasetConfig("hmdb51", 51, "HMDB51"),
    DatasetConfig(
        "jester", 27, "Jester", rgb="{index:05d}.jpg", flow="{index:06d}.jpg", mirror=False, swap=True, seconds=3.0
    ),
    DatasetConfig("diving48", 48, "Diving48"),
    DatasetConfig(
        "motion",
        num_classes=8,
        folder="Motion",
        swap=True,
        scales=(1.0, 0.875),  # smaller crops would often miss the only moving object
        make=partial(_make_generated, "motion"),
        class_names=partial(_generated_names, "motion"),
        seconds=2.0,
    ),
    DatasetConfig(
        "motion_order",
        num_classes=12,
        folder="MotionOrder",
        scales=(1.0, 0.875),
        make=partial(_make_generated, "motion_order"),
        class_names=partial(_generated_names, "motion_order"),
        seconds=2.4,
    ),
    DatasetConfig("custom", None, swap=True),
)

DATASETS = {config.name: config for config in _ALL}


def dataset_config(name: str) -> DatasetConfig:
    """The entry called `name`; InputError with the known names otherwise."""
    if name not in DATASETS:
        raise InputError(f"unknown dataset {name}; use one of {', '.join(DATASETS)}")
    return DATASETS[name]
