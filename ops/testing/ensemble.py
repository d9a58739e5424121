"""The models of a test and their input: one model, or several whose scores are fused."""

import argparse
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ops.common import distributed
from ops.common.device import Compute
from ops.common.errors import InputError
from ops.common.text import counted
from ops.data.class_order import differing_order
from ops.data.dataset_configs import DatasetConfig
from ops.data.datasets import Stream, VideoItem
from ops.data.mirror import mirror_partners
from ops.data.open_lists import MakeReader, count_classes, find_class_names, open_list
from ops.data.pipelines import ClipShape, choose_views, test_plan_for, view_pixels
from ops.data.sampling import DENSE_WINDOW, Sample, parse_sample
from ops.models.checkpoint import Checkpoint, model_of, read_checkpoint
from ops.models.flops import multiply_adds
from ops.models.recognizer import Recognizer
from ops.models.runtimes import choose_runtime, opened_network, with_fallback
from ops.testing.top_k_accuracy import TOP_K
from ops.training.engine import score_views

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class Member:
    """One of the models that are fused, its input, and the weight of its scores.

    `stream` is the index of the stream that it reads, `place` the index of its clips in that stream.
    """

    checkpoint: Checkpoint
    model: Recognizer
    shape: ClipShape
    coeff: float
    stream: int
    place: int


@dataclass(frozen=True)
class Ensemble:
    """The models of a test, the streams that they read, and what is known about the classes.

    `partners [K]` is the class of each class's mirror image (-1: none).
    """

    members: list[Member]
    streams: list[Stream]
    sample: Sample
    class_names: list[str] | None
    partners: NDArray[np.int64]

    @property
    def multi_label(self) -> bool:
        """Whether videos may have several labels; scores are then probabilities from a sigmoid."""
        return self.members[0].checkpoint.multi_label

    def scores(
        self, item: VideoItem, models: Sequence[nn.Module], softmax: bool, views_per_forward: int, compute: Compute
    ) -> Tensor:
        """The weighted sum `[K]` of the models' mean logits or, with `softmax`, of their softmax.

        With several labels per video, the weighted mean of their mean probabilities. `models` are the members' models,
        which may be compiled.
        """
        total = torch.zeros(len(self.partners))
        for member, model in zip(self.members, models, strict=True):
            views = item.streams[member.stream]
            clips = views.clips[member.place]
            scores = score_views(model, views, clips, self.partners, views_per_forward, compute, self.multi_label)
            total += member.coeff * (scores.softmax(0) if softmax else scores)
        return total / sum(member.coeff for member in self.members) if self.multi_label else total


def default_sample(config: DatasetConfig, checkpoint: Checkpoint) -> str:
    """Ten dense clips for a model trained with dense clips, and for a TANet on a dataset that TAM's authors test so.

    Otherwise one clip over the whole video, as in TSM's published commands without `--dense_sample`.
    """
    dense = checkpoint.meta.get("sampling") == "dense" or (config.dense and checkpoint.spec.tam)
    return "dense-10" if dense else "uniform-1"


def open_ensemble(args: argparse.Namespace, config: DatasetConfig, make_reader: MakeReader) -> Ensemble:
    """Read the checkpoints and lists; InputError if they do not match.

    Models with the same list, modality and input size share a stream, so that each video is decoded once for all.
    """
    count = len(args.weights)
    checkpoints = [read_checkpoint(path, hashed=True) for path in args.weights]
    segments = _per_model(args.test_segments, count, "--test_segments")
    coeffs = _per_model(args.coeff, count, "--coeff")
    lists = _per_model(args.test_list, count, "--test_list")
    roots = _per_model(args.root_path, count, "--root_path")
    names, num_classes = _agree_on_classes(args, config, checkpoints)
    multi_label = _agree_on_labels(args, checkpoints)
    sample = parse_sample(args.sample or default_sample(config, checkpoints[0]))
    readings: dict[tuple[str, int, str | None, str | None], list[int]] = {}  # input → segments of its models
    members: list[Member] = []
    for checkpoint, t, coeff, file, root in zip(checkpoints, segments, coeffs, lists, roots, strict=True):
        model = model_of(checkpoint, t)
        if sample.kind == "dense" and model.num_segments > DENSE_WINDOW:
            raise InputError(f"--test_segments ({model.num_segments}) must be at most {DENSE_WINDOW} with {sample}")
        size = args.input_size or int(checkpoint.meta.get("input_size") or 224)
        shape = ClipShape(model.num_segments, model.modality, size)
        alike = readings.setdefault((model.modality, size, file, root), [])
        stream = list(readings).index((model.modality, size, file, root))
        members.append(Member(checkpoint, model, shape, 1.0 if coeff is None else coeff, stream, len(alike)))
        alike.append(model.num_segments)
    config.check_template({modality for modality, *_ in readings})
    streams = []
    for (modality, size, file, root), alike in readings.items():
        shape = ClipShape(alike[0], modality, size)
        choose = partial(choose_views, segments=alike, sample=sample, new_length=shape.new_length)
        streams.append(
            _open_stream(args, config, make_reader, shape, file, root, choose, num_classes, names, multi_label)
        )
    _check_same_videos(streams)
    return Ensemble(members, streams, sample, names, mirror_partners(config, num_classes, names))


def open_networks(
    ensemble: Ensemble, compute: Compute, runtime: str, crops: int, full_res: bool
) -> tuple[list[nn.Module], Compute]:
    """The networks of the models, ready to compute, and `compute` with the runtime that computes them.

    `runtime` may be "auto", which depends on the number of videos and views, and is the same in all processes.
    RunStoppedError if the runtime that the user asked for cannot compute a model.
    """
    inputs = [(member.model, view_pixels(member.shape, crops, full_res)) for member in ensemble.members]
    for model, _ in inputs:
        compute.prepare(model)
    views = len(ensemble.streams[0].records) * ensemble.sample.clips * crops
    work = views * sum(multiply_adds(model, pixels) for model, pixels in inputs)

    def attempt(compute: Compute) -> list[nn.Module]:
        return [opened_network(model, compute, model.clip_shape(pixels)) for model, pixels in inputs]

    compute = choose_runtime(compute, runtime, work)
    return (
        with_fallback(compute, attempt, distributed.gather_objects)
        if runtime == "auto"
        else (attempt(compute), compute)
    )


def _per_model(values: list[T] | None, count: int, flag: str) -> list[T] | list[None]:
    """One value per model; a single value is used for all. InputError if there is another number of values."""
    if values is None:
        return [None] * count
    if len(values) not in (1, count):
        raise InputError(f"{flag} has {len(values)} values for {counted(count, 'model')}: give one, or one for each")
    return values * count if len(values) == 1 else values


def _agree_on_classes(
    args: argparse.Namespace, config: DatasetConfig, checkpoints: Sequence[Checkpoint]
) -> tuple[list[str] | None, int]:
    """The class names, if known, and the number of classes; InputError if a checkpoint has another number."""
    first = checkpoints[0]
    stored = None if args.class_names else first.class_names
    beside = find_class_names(config, args.class_names, first.spec.num_classes)
    names = stored or beside
    asked = count_classes(config, args.num_class, names) or first.spec.num_classes
    for checkpoint in checkpoints:
        source = args.class_names or f"dataset {config.name}"
        problem = differing_order(checkpoint.path, checkpoint.class_names, source, beside)
        if problem and args.class_names:
            raise InputError(problem)
        if problem:
            log.warning("%s (--class_names says what the list has)", problem)
        if checkpoint.spec.num_classes != asked:
            raise InputError(
                f"{checkpoint.path}: has {counted(checkpoint.spec.num_classes, 'class')}, but {asked} are asked for by "
                "the dataset, --num_class, --class_names or another checkpoint"
            )
    return names, asked


def _agree_on_labels(args: argparse.Namespace, checkpoints: Sequence[Checkpoint]) -> bool:
    """Whether the models are for several labels per video; InputError if they disagree, or flags do not fit."""
    several = [checkpoint.multi_label for checkpoint in checkpoints]
    if len(set(several)) > 1:
        one, other = checkpoints[several.index(True)].path, checkpoints[several.index(False)].path
        raise InputError(f"{one} has several labels per video, but {other} has one: they cannot be fused")
    if several[0] and args.softmax:
        raise InputError(f"--softmax: {checkpoints[0].path} has several labels per video: its scores are a sigmoid")
    if several[0] and args.csv_file:
        raise InputError(
            f"--csv_file has one class per video, but {checkpoints[0].path} has several: see predictions.csv"
        )
    if several[0] and tuple(args.topk) != TOP_K:
        raise InputError(f"--topk: {checkpoints[0].path} has several labels per video: its accuracy is given as mAP")
    if several[0] and min(args.coeff or [1]) <= 0:
        raise InputError("--coeff must be above 0 for models with several labels per video, whose scores are averaged")
    return several[0]


def _open_stream(
    args: argparse.Namespace,
    config: DatasetConfig,
    make_reader: MakeReader,
    shape: ClipShape,
    file: str | None,
    root: str | None,
    choose: partial[list[NDArray[np.int64]]],
    num_classes: int,
    names: Sequence[str] | None,
    multi_label: bool,
) -> Stream:
    """A list of videos, opened and checked, with how frames are chosen and cropped."""
    reader = make_reader(config, shape.modality)
    records, folder, reader = open_list(
        config, reader, "test", file, root, shape.modality, num_classes, names, multi_label
    )
    if args.max_num > 0:
        records = records.head(args.max_num)
    plan = test_plan_for(shape, args.test_crops, args.full_res)
    return Stream(records, folder, reader, choose, plan, shape.new_length)


def _check_same_videos(streams: Sequence[Stream]) -> None:
    """InputError if the lists differ in length or labels, because then their videos or the order differ."""
    first = streams[0].records
    for stream in streams[1:]:
        if not stream.records.has_labels_of(first):
            raise InputError(
                f"{stream.records.source} and {first.source} differ in length or labels; "
                "models are fused over the same videos in the same order"
            )
