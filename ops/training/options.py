"""The flags of main.py and online_main.py: nothing heavy is imported here."""

import argparse
import os
from collections.abc import Sequence
from typing import Any

from ops.common.arguments import (
    Parser,
    above_zero,
    add_compute_options,
    class_count,
    count,
    fraction,
    not_negative,
    positive,
    seed,
)
from ops.common.errors import InputError
from ops.data.dataset_configs import DATASETS
from ops.data.options import add_template_option
from ops.models.architectures import ARCHITECTURES, CONSENSUS_TYPES
from ops.training.save_interval import interval

DEFAULT_WORKERS = min(8, os.cpu_count() or 1)

NO_EFFECT = (
    "--k",
    "--img_feature_dim",
    "--snapshot_pref",
    "--flow_prefix",
    "--crop_fusion_type",
    "--num_set_segments",
)
"""Flags of the published code that did nothing there that is done here: accepted, and said."""


class _NoEffect(argparse.Action):
    """A flag that is taken, with its value if one follows, and only reported."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        namespace.no_effect = [*getattr(namespace, "no_effect", []), option_string]


class _Refused(argparse.Action):
    """A flag of the published code that this project does not follow."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        raise InputError(f"{option_string}: non-local blocks are not part of this project; leave it out")


def train_parser(description: str | None, decoders: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The parser of `main.py` and `online_main.py`, which has `decoders`; its defaults are the Kinetics recipe."""
    parser = Parser(description=description)
    parser.add_argument("dataset", metavar="dataset", help=f"one of {', '.join(DATASETS)}")
    parser.add_argument("modality", choices=("RGB", "Flow"), help="what the network sees")
    _add_data(parser, ("train", "val"), frames=not decoders)
    _add_model(parser)
    _add_schedule(parser)
    _add_run(parser)
    _add_faults(parser)
    add_machine_options(parser, decoders)
    add_compute_options(parser.add_argument_group("speed"))
    add_no_effect_options(parser)
    return parser


def _add_data(parser: argparse.ArgumentParser, lists: Sequence[str], frames: bool) -> None:
    group = parser.add_argument_group("data")
    for split in lists:
        group.add_argument(f"--{split}_list", metavar="FILE", help="default: under $TAM_DATASETS (see README)")
    group.add_argument("--root_path", metavar="DIR", help="what paths in the lists are relative to")
    group.add_argument("--num_class", type=class_count, metavar="K", help="default: the dataset's")
    group.add_argument("--class_names", metavar="FILE", help="class names in order of the labels, or numbered")
    group.add_argument("--input_size", type=positive, default=224, metavar="PIXELS", help="default: 224")
    if frames:
        add_template_option(group)


def _add_model(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("model")
    group.add_argument("--arch", default="resnet50", help=f"default: resnet50; {', '.join(ARCHITECTURES)}")
    group.add_argument("--tam", "--self_conv", action="store_true", help="TANet: a TAM in every block (else TSN)")
    group.add_argument("--num_segments", type=positive, default=8, metavar="T", help="frames per clip (default: 8)")
    group.add_argument("--consensus_type", default="avg", choices=CONSENSUS_TYPES, help="default: avg")
    group.add_argument("--dropout", "--do", type=fraction, default=0.5, metavar="P", help="default: 0.5")
    group.add_argument("--no_partialbn", "--npb", action="store_true", help="let all batch norms learn")
    group.add_argument("--syncbn", action="store_true", help="batch norms over the batches of all GPUs")
    group.add_argument("--pretrain", default="imagenet", metavar="WEIGHTS",
                       help="imagenet (default, downloaded), none, or a file of backbone weights")  # fmt: skip
    group.add_argument("--tune_from", metavar="CKPT", help="start from a checkpoint of this model")


def _add_schedule(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("training")
    group.add_argument("--dense_sample", action="store_true", help="train on windows of 64 frames (Kinetics)")
    group.add_argument("--epochs", type=positive, default=100, metavar="N", help="default: 100")
    group.add_argument("--warmup_epochs", type=not_negative, default=0.0, metavar="N", help="default: 0")
    group.add_argument("-b", "--batch-size", "--batch_size", type=positive, default=64, metavar="N",
                       help="clips per step over all processes (default: 64)")  # fmt: skip
    group.add_argument("--lr", "--learning-rate", type=above_zero, default=0.01, metavar="RATE", help="default: 0.01")
    group.add_argument("--scale_lr", type=positive, metavar="B", help="multiply the rate by batch size / B")
    group.add_argument("--lr_type", default="step", choices=("step", "cos"), help="default: step")
    group.add_argument("--lr_steps", type=not_negative, nargs="+", default=[50, 75, 90], metavar="EPOCH",
                       help="a tenth of the rate from each of these on (default: 50 75 90)")  # fmt: skip
    group.add_argument("--no_fc_lr5", action="store_true", help="one rate for all (default: 5 times for linear)")
    group.add_argument("--momentum", type=fraction, default=0.9, help="default: 0.9")
    group.add_argument("--weight-decay", "--wd", type=not_negative, default=1e-4, help="default: 1e-4")
    group.add_argument("--clip-gradient", "--gd", type=above_zero, metavar="NORM", help="default: no bound")
    group.add_argument("--loss_type", default="nll", choices=("nll",), help="default: nll (cross-entropy)")
    group.add_argument("--accumulate", type=positive, default=1, metavar="N",
                       help="compute a step's batch in N parts, for less memory (default: 1)")  # fmt: skip
    group.add_argument("--max_steps", type=positive, metavar="N", help="stop after N steps of this run")
    group.add_argument("--seed", type=seed, default=0, help="of everything random (default: 0)")


def _add_run(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("run")
    group.add_argument("--root_log", default="checkpoints", metavar="DIR", help="for logs (default: checkpoints)")
    group.add_argument("--root_model", default="checkpoints", metavar="DIR", help="likewise, for checkpoints")
    group.add_argument("--store_name", metavar="NAME", help="folder in both (default: made of the settings)")
    group.add_argument("--suffix", metavar="TEXT", help="appended to that name")
    group.add_argument("--resume", metavar="CKPT", help="go on from a checkpoint of this run; auto: from its last one")
    group.add_argument("--start-epoch", type=count, metavar="N", help="instead of where --resume left off")
    group.add_argument("-e", "--evaluate", action="store_true", help="only validate, with the weights of --resume")
    group.add_argument("--eval-freq", "-ef", type=positive, default=5, metavar="N",
                       help="validate every N epochs and after the last (default: 5)")  # fmt: skip
    group.add_argument("--print-freq", "-p", type=positive, default=20, metavar="N",
                       help="renew the averages in the bar every N steps (default: 20)")  # fmt: skip


def _add_faults(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("faults")
    group.add_argument("--ckpt_interval", type=interval, default="never", metavar="N|Nm",
                       help="save within epochs too, every N steps or N minutes")  # fmt: skip
    group.add_argument("--keep", type=count, default=0, metavar="N", help="keep N checkpoints before the last one")
    group.add_argument("--max_bad_fraction", type=fraction, default=0.01, metavar="P",
                       help="stop where more of an epoch's videos are broken (default: 0.01)")  # fmt: skip
    group.add_argument("--skip_nonfinite", type=count, default=0, metavar="N",
                       help="pass over N batches whose loss or gradient is not finite (default: 0)")  # fmt: skip


def add_machine_options(parser: argparse.ArgumentParser, decoders: Sequence[str]) -> None:
    """The flags about the machine; with `decoders`, which of them decodes."""
    group = parser.add_argument_group("machine")
    group.add_argument("-j", "--workers", type=count, default=DEFAULT_WORKERS, metavar="N",
                       help=f"loaders per process (default: 8, at most one per core: {DEFAULT_WORKERS})")  # fmt: skip
    group.add_argument("--decode_timeout", type=not_negative, default=300.0, metavar="S",
                       help="name a video that takes longer to read, and stop (default: 300)")  # fmt: skip
    group.add_argument("--gpus", "--gpu", type=count, nargs="+", metavar="ID", help="several: one process for each")
    group.add_argument("--device", metavar="NAME", help="cpu, cuda or cuda:N (default: a GPU if there is one)")
    if decoders:
        group.add_argument("--decoder", choices=decoders, default=decoders[0],
                           help=f"default: {decoders[0]}, the fastest")  # fmt: skip


def add_no_effect_options(parser: argparse.ArgumentParser) -> None:
    """The flags of the published code that are only reported, or refused."""
    for flag in NO_EFFECT:
        parser.add_argument(flag, action=_NoEffect, nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("--non_local", action=_Refused, nargs=0, help=argparse.SUPPRESS)
    parser.set_defaults(no_effect=[])
