"""Making the lists of a dataset from its annotations and its frames or videos, where training looks for them."""

import logging
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ops.common.errors import InputError
from ops.data.class_names import check_class_count, read_class_names
from ops.data.dataset_configs import DatasetConfig, dataset_config
from ops.data.file_search import VIDEO_EXTENSIONS, relative
from ops.data.frames import common_template
from ops.prepare.annotation_formats import FORMATS, reordered
from ops.prepare.annotations import annotation_files
from ops.prepare.kinetics_lists import RULES, kinetics_plans, read_kinetics
from ops.prepare.options import KINETICS, JobOptions
from ops.prepare.source_files import Located, Plan, Source, locate
from ops.prepare.write_lists import check_places, make_lists, write_class_names

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Data:
    """Where a dataset is: its frame folders or videos are below `data`, its lists go to `out`.

    `verify` is how frames of videos are counted (see `ops.prepare.count_frames`), `endings` the extensions of videos,
    and `template` the names of frames, if they are not the dataset's own (see `ops.data.frames.FrameTemplate`). Paths
    in lists are relative to `out` if `data` is inside it, as in the published layout, else to `data`.
    """

    data: str
    out: Path
    kind: str
    flow: bool = False
    verify: str = "packets"
    endings: Sequence[str] = VIDEO_EXTENSIONS
    template: str | None = None

    def source(self, config: DatasetConfig, root: str | None = None) -> Source:
        """Its files, with paths relative to `root` (default: the property `root`)."""
        config = config.with_template(self.template) if self.template else config
        config.check_template([] if self.kind == "videos" else ["Flow" if self.flow else "RGB"])
        return Source(self.root if root is None else root, self.kind, config, self.verify, self.flow, self.endings)

    @property
    def root(self) -> str:
        """The folder that paths in lists are relative to."""
        return str(self.out) if self._inside else self.data

    @property
    def under(self) -> str:
        """`data` relative to `root`."""
        return relative(self.data, self.out) if self._inside else ""

    @property
    def _inside(self) -> bool:
        return Path(relative(self.data, self.out)).parts[:1] != (os.pardir,)

    def list_path(self, config: DatasetConfig, split: str) -> Path:
        """The path of the list of a split: the same below `out` as below the dataset's default folder."""
        if config.folder is None:
            return self.out / f"{split}.txt"
        path = self.out / config.list_path(split, self.kind).relative_to(config.root())
        return path.with_name(f"flow_{path.name}") if self.flow else path


def make_dataset_lists(
    name: str,
    place: Data,
    annotations: Sequence[str],
    class_names: str | None,
    num_class: int | None,
    number: int,
    options: JobOptions,
) -> int:
    """Make the lists and the class-name file of the dataset `name` (one of `DATASETS` but "folder").

    `annotations` are its files or their folders, `number` selects one of its published splits. A file of `class_names`
    sets another order of the classes. InputError if the number of classes is not that of the dataset, or `num_class`.
    Returns the exit status.
    """
    config = dataset_config(name)
    files = annotation_files(annotations)
    source = place.source(config)
    check_folder(place.data)
    if name in KINETICS.values():
        dataset = next(short for short, known in KINETICS.items() if known == name)
        known = read_kinetics(files, dataset, class_names, num_class)[1]
        rules = RULES
        plans = kinetics_plans(known, place.root, place.under, None, lambda split: place.list_path(config, split))
    else:
        known = FORMATS[name].read(files, number)
        rules = FORMATS[name].rules
        if class_names:
            known = reordered(known, read_class_names(class_names), class_names)
        advice = "is a file missing, or from another dataset?"
        named = class_names or "--annotations"
        check_class_count(named, known.classes, name, config.num_classes, num_class, advice)
        plans = [Plan(split, place.under, place.list_path(config, split.name)) for split in known.splits]
    parts = locate(plans, source, rules)
    check_template(source, parts)
    class_file = place.out / "annotations" / "class_names.txt"
    check_places(parts, place.out)
    write_class_names(class_file, known.classes, place.out)
    status = make_lists(parts, source, place.out, options)
    if place.root != str(config.root()):  # where training looks by default
        say_how_to_train(name, place, plans, class_file)
    return status


def check_folder(path: str) -> None:
    """InputError unless `path`, the value of `--data`, is a folder."""
    if not os.path.isdir(path):
        raise InputError(f"--data {path}: no such folder")


def check_template(source: Source, parts: Sequence[Located]) -> None:
    """InputError if `--frame_template` fits none of the first frame folders, because then the template is wrong."""
    if source.named and source.kind == "frames":
        folders = (os.path.join(source.root, item) for part in parts for item in part)
        common_template(folders, source.pattern, source.flow, named=True)


def say_how_to_train(name: str, place: Data, plans: Sequence[Plan], class_file: Path) -> None:
    """Log the command that trains on lists that were just made."""
    if not all(plan.path.exists() for plan in plans):
        return  # other shards have not finished
    command = ["python", "online_main.py" if place.kind == "videos" else "main.py", name]
    command += ["Flow" if place.flow else "RGB", "--tam", "--root_path", place.root, "--class_names", str(class_file)]
    for plan in plans:
        if plan.split.name != "test":
            command += [f"--{plan.split.name}_list", str(plan.path)]
    command += ["--npb", "--gd", "20", "-b", "8", "--scale_lr", "64"]  # 64: the batch size of the default rate
    log.info("train with: %s", shlex.join(command))
