"""The training and validation data, opened and checked."""

import argparse
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ops.common import distributed
from ops.common.errors import InputError
from ops.common.text import counted
from ops.data.dataset_configs import DatasetConfig
from ops.data.datasets import ClipDataset
from ops.data.file_sizes import changed_files, sampled_sizes
from ops.data.lists import Records
from ops.data.mirror import mirror_partners
from ops.data.open_lists import MakeReader, classes_of, open_list
from ops.data.pipelines import ClipShape, training_pipeline, validation_pipeline
from ops.data.sampling import DENSE_WINDOW
from ops.models.temporal_options import temporal_options

log = logging.getLogger(__name__)

SMALLEST_INPUT = 32
"""The stride of a ResNet: side of the input per side of the last feature map."""


@dataclass(frozen=True)
class Data:
    """Training and validation data, and what they have in common."""

    train: ClipDataset
    val: ClipDataset
    num_classes: int
    class_names: list[str] | None
    decoder: str
    file_sizes: dict[str, list[int]]
    """For "train" and "val", see `ops.data.file_sizes`; empty in all processes but the first."""

    def list_hashes(self) -> dict[str, str]:
        """The hash of each list, by its path."""
        return {side.records.source: side.records.sha256 for side in (self.train, self.val)}

    def changed_files(self, before: Any) -> list[str]:
        """Descriptions of files whose sizes differ from the `file_sizes` recorded `before`."""
        if not isinstance(before, Mapping):
            return []
        sides = {"train": self.train, "val": self.val}
        words = (changed_files(before.get(side), sizes, sides[side].records) for side, sizes in self.file_sizes.items())
        return list(filter(None, words))


def smallest_part(args: argparse.Namespace, length: int, processes: int) -> int:
    """The smallest number of clips that go through the model at once when training on `length` clips."""
    size: int = args.batch_size
    last = length % size if args.keep_last_batch else 0
    shares = [max(batch // processes, 1) for batch in (size if length >= size else 0, last) if batch]
    return min(max(share // int(args.accumulate), 1) for share in shares)


def check_positives(records: Records, num_classes: int) -> None:
    """Log how many classes occur in no video of a list with several labels; InputError if it has no labels at all."""
    if records.label_sets is None:
        return
    there = len(np.unique(records.label_sets.values))
    if not there:
        raise InputError(f"{records.source}: no video has any of the classes, so that there is no mAP to validate with")
    if there < num_classes:
        log.warning(
            "%s: no video has %d of the %s, which mAP leaves out", records.source, num_classes - there,
            counted(num_classes, "class"),
        )  # fmt: skip


def open_data(
    args: argparse.Namespace, config: DatasetConfig, make_reader: MakeReader, passed_over: Collection[str]
) -> Data:
    """Read and check the lists, and check that their videos exist."""
    names, num_classes = classes_of(config, args.num_class, args.class_names)
    if num_classes is None:
        raise InputError(f"dataset {config.name} needs --class_names or --num_class")
    shape = ClipShape(args.num_segments, args.modality, args.input_size)
    partners = mirror_partners(config, num_classes, names)
    if config.mirror and (partners < 0).all():
        log.info("clips are not mirrored: without --class_names it is unknown which classes mirroring would change")
    config.check_template([args.modality])
    datasets, sizes, reader = [], {}, make_reader(config, args.modality)
    for split, file in (("train", args.train_list), ("val", args.val_list)):
        records, root, reader = open_list(
            config, reader, split, file, args.root_path, args.modality, num_classes, names, args.multi_label
        )
        if split == "val":
            check_positives(records, num_classes)
        training = split == "train"
        if training:
            pipeline = training_pipeline(shape, args.dense_sample, config.mirror, partners, config.scales, args.augment)
        else:
            pipeline = validation_pipeline(shape, args.dense_sample, num_classes)
        if distributed.is_main():
            sizes[split] = sampled_sizes(records, root, reader)
        datasets.append(ClipDataset(records, root, reader, pipeline, args.seed, training, passed_over))
        short = int(((records.num_frames >= 0) & (records.num_frames < DENSE_WINDOW)).sum())
        if args.dense_sample and short:
            log.warning(
                "%s: %d of %s have fewer than %d frames; --dense_sample wraps around in these, so their "
                "frames can be out of order", records.source, short, counted(len(records), "video"), DENSE_WINDOW,
            )  # fmt: skip
    if len(datasets[0]) < args.batch_size and not args.keep_last_batch:
        raise InputError(
            f"{datasets[0].records.source}: {counted(len(datasets[0]), 'video')} cannot fill one batch of "
            f"--batch-size {args.batch_size}; use a smaller one, or --keep_last_batch"
        )
    fewest = smallest_part(args, len(datasets[0]), distributed.world_size()) * args.num_segments
    if fewest == 1 and (temporal_options(args).module == "tam" or args.input_size <= SMALLEST_INPUT):
        raise InputError(
            "with one clip of one frame at a time (--batch-size, --accumulate, --num_segments), batch norms get a "
            "single value, which has no variance: use two or more"
        )
    return Data(datasets[0], datasets[1], num_classes, names, reader.decoder, sizes)
