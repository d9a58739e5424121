"""The flags of main.py and online_main.py. Imports nothing heavy."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ops.common.arguments import (
    above_zero,
    add_compute_options,
    add_segments_option,
    class_count,
    count,
    fraction,
    not_negative,
    number,
    positive,
    seed,
)
from ops.data.dataset_configs import DATASETS
from ops.data.options import add_template_option
from ops.models.architectures import ARCHITECTURES, CONSENSUS_TYPES
from ops.models.temporal_options import STAGES, add_temporal_options
from ops.models.weights import check_weights
from ops.training.config_file import ConfigParser
from ops.training.save_interval import interval

DEFAULT_WORKERS = min(8, os.cpu_count() or 1)

_rate = number(float, lambda value: 0 < value <= 1e30, "a number above 0, at most 1e30")  # float32 ends at 3.4e38

NO_EFFECT = (
    "--k",
    "--img_feature_dim",
    "--snapshot_pref",
    "--flow_prefix",
    "--crop_fusion_type",
    "--num_set_segments",
)
"""Flags of the published code that have no effect here: accepted, and reported."""

FREEZABLE = ("none", "backbone", *(f"stages {number}" for number in STAGES))


class _NoEffect(argparse.Action):
    """A flag that is accepted, with a value if one follows, and only reported."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        namespace.no_effect = [*getattr(namespace, "no_effect", []), option_string]


class _Freeze(argparse.Action):
    """The part to freeze, as one text: "none", "backbone" or "stages N"."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        part = " ".join(values)
        if part not in FREEZABLE:
            parser.error(f"argument --freeze: {part!r} must be none, backbone or stages N, with N from 1 to 4")
        namespace.freeze = part


def train_parser(description: str | None, decoders: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The parser of `main.py` and `online_main.py`, which has `decoders`; its defaults are the Kinetics recipe."""
    parser = ConfigParser(description=description)
    parser.add_argument("dataset", metavar="dataset", help=f"one of {', '.join(DATASETS)}")
    parser.add_argument("modality", choices=("RGB", "Flow"), help="input of the network")
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
    names = {"train": "training", "val": "validation"}
    for split in lists:
        group.add_argument(f"--{split}_list", metavar="FILE",
                           help=f"list of {names[split]} videos (default: under $TAM_DATASETS)")  # fmt: skip
    group.add_argument("--root_path", metavar="DIR", help="folder that paths in the lists are relative to")
    group.add_argument("--num_class", type=class_count, metavar="K", help="number of classes (default: the dataset's)")
    group.add_argument("--class_names", metavar="FILE", help="file of class names, in label order or numbered")
    group.add_argument("--input_size", type=positive, default=224, metavar="PIXELS", help="input size (default: 224)")
    if frames:
        add_template_option(group)


def _add_model(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("model")
    group.add_argument("--arch", default="resnet50", help=f"{', '.join(ARCHITECTURES)} (default: resnet50)")
    add_segments_option(group, "--num_segments", type=positive, default=8, metavar="T",
                        help="frames per clip (default: 8)")  # fmt: skip
    group.add_argument("--consensus_type", default="avg", choices=CONSENSUS_TYPES,
                       help="how segments are combined (default: avg)")  # fmt: skip
    group.add_argument("--dropout", "--do", type=fraction, default=0.5, metavar="P",
                       help="dropout before the classifier (default: 0.5)")  # fmt: skip
    group.add_argument("--no_partialbn", "--npb", action="store_true", help="train all batch norms, not only the first")
    group.add_argument("--syncbn", action="store_true", help="synchronise batch norms over all GPUs")
    group.add_argument("--pretrain", default="imagenet", metavar="WEIGHTS",
                       help="imagenet (default; downloaded), none, or a file of backbone weights")  # fmt: skip
    group.add_argument("--tune_from", metavar="CKPT",
                       help="start from the weights and settings of this file, published name or address")  # fmt: skip
    group.add_argument("--freeze", nargs="+", action=_Freeze, default="none", metavar="PART",
                       help="keep as it is: backbone (all but the classifier) or stages N (default: none)")  # fmt: skip
    add_temporal_options(parser.add_argument_group("temporal module"))


def _add_schedule(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("training")
    group.add_argument("--dense_sample", action="store_true",
                       help="sample from a window of 64 frames (as for Kinetics)")  # fmt: skip
    group.add_argument("--epochs", type=positive, default=100, metavar="N", help="number of epochs (default: 100)")
    group.add_argument("--warmup_epochs", type=not_negative, default=0.0, metavar="N",
                       help="raise the learning rate linearly over N epochs (default: 0)")  # fmt: skip
    group.add_argument("-b", "--batch-size", "--batch_size", type=positive, default=64, metavar="N",
                       help="clips per step, in total over all processes (default: 64)")  # fmt: skip
    group.add_argument("--lr", "--learning-rate", type=_rate, default=0.01, metavar="RATE",
                       help="learning rate (default: 0.01)")  # fmt: skip
    group.add_argument("--scale_lr", type=positive, metavar="B", help="multiply the learning rate by batch size / B")
    group.add_argument("--lr_type", default="step", choices=("step", "cos"),
                       help="schedule of the rate: steps or a cosine (default: step)")  # fmt: skip
    group.add_argument("--lr_steps", type=not_negative, nargs="+", default=[50, 75, 90], metavar="EPOCH",
                       help="divide the rate by 10 after each of these epochs (default: 50 75 90)")  # fmt: skip
    group.add_argument("--no_fc_lr5", action="store_true",
                       help="train linear layers at the base rate, not at 5 times it")  # fmt: skip
    group.add_argument("--optimizer", default="sgd", choices=("sgd", "adamw"),
                       help="sgd (default) or adamw, which needs a much lower --lr")  # fmt: skip
    group.add_argument("--momentum", type=fraction, default=0.9, help="momentum of SGD (default: 0.9)")
    group.add_argument("--weight-decay", "--wd", type=not_negative, default=1e-4, help="default: 1e-4")
    group.add_argument("--clip-gradient", "--gd", type=above_zero, metavar="NORM",
                       help="largest norm of the gradients (default: no limit)")  # fmt: skip
    group.add_argument("--multi_label", action=argparse.BooleanOptionalAction, default=False,
                       help="several labels per video: sigmoid, binary cross-entropy, mAP")  # fmt: skip
    group.add_argument("--loss_type", default="nll", choices=("nll",), help="loss function: nll (cross-entropy)")
    group.add_argument("--label_smoothing", type=fraction, default=0.0, metavar="P",
                       help="share of the target that is spread over all classes (default: 0)")  # fmt: skip
    group.add_argument("--augment", default="published", choices=("published", "randaugment"),
                       help="published (default: crops and mirroring), or RandAugment after them")  # fmt: skip
    group.add_argument("--mixup", type=above_zero, metavar="ALPHA",
                       help="average pairs of clips and their labels by Beta(ALPHA, ALPHA)")  # fmt: skip
    group.add_argument("--cutmix", type=above_zero, metavar="ALPHA",
                       help="fill a box of each clip from another one (with --mixup: either per step)")  # fmt: skip
    group.add_argument("--class_weights", default="none", choices=("none", "balanced"),
                       help="weight classes in the loss inversely to their frequency (default: none)")  # fmt: skip
    group.add_argument("--balance", action="store_true", help="draw clips of all classes equally often")
    group.add_argument("--accumulate", type=positive, default=1, metavar="N",
                       help="compute each batch in N parts, to save memory (default: 1)")  # fmt: skip
    group.add_argument("--keep_last_batch", action="store_true", help="train on the incomplete last batch of an epoch")
    group.add_argument("--patience", type=positive, metavar="N",
                       help="stop after N validations without a better one (default: never)")  # fmt: skip
    group.add_argument("--ema", type=fraction, metavar="DECAY",
                       help="validate and save a moving average of the weights")  # fmt: skip
    group.add_argument("--max_steps", type=positive, metavar="N", help="stop after N steps from this start on")
    group.add_argument("--seed", type=seed, default=0, help="seed of all random numbers (default: 0)")


def _add_run(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("run")
    group.add_argument("--root_log", default="checkpoints", metavar="DIR",
                       help="parent folder of logs (default: checkpoints)")  # fmt: skip
    group.add_argument("--root_model", default="checkpoints", metavar="DIR",
                       help="parent folder of checkpoints (default: checkpoints)")  # fmt: skip
    group.add_argument("--store_name", metavar="NAME",
                       help="name of the run's folder (default: made from the settings)")  # fmt: skip
    group.add_argument("--suffix", metavar="TEXT", help="text to append to the default name")
    group.add_argument("--resume", metavar="CKPT",
                       help="continue from this checkpoint of the run; auto: from its last one")  # fmt: skip
    group.add_argument("--start-epoch", type=count, metavar="N",
                       help="continue with epoch N instead of where --resume left off")  # fmt: skip
    group.add_argument("-e", "--evaluate", action="store_true",
                       help="only validate, with the weights given by --resume")  # fmt: skip
    group.add_argument("--eval-freq", "-ef", type=positive, default=5, metavar="N",
                       help="validate every N epochs and after the last one (default: 5)")  # fmt: skip
    group.add_argument("--print-freq", "-p", type=positive, default=20, metavar="N",
                       help="update the averages in the progress bar every N steps (default: 20)")  # fmt: skip
    group.add_argument("--config", metavar="FILE",
                       help="take settings from this args.json of a run; flags given here win")  # fmt: skip
    group.add_argument("--track", choices=("wandb", "mlflow"),
                       help="also log to Weights & Biases or MLflow, if installed (default: neither)")  # fmt: skip
    group.add_argument("--dry_run", action="store_true",
                       help="only compute one batch; say its time and memory, write nothing")  # fmt: skip
    group.add_argument("--log_every", type=count, default=0, metavar="N",
                       help="log every N-th step in steps.csv and for TensorBoard (default: 0, none)")  # fmt: skip


def _add_faults(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("checkpoints and error handling")
    group.add_argument("--ckpt_interval", type=interval, default="never", metavar="N|Nm",
                       help="also save within epochs, every N steps or N minutes")  # fmt: skip
    group.add_argument("--keep", type=count, default=0, metavar="N",
                       help="also keep the N checkpoints before the last one")  # fmt: skip
    group.add_argument("--max_bad_fraction", type=fraction, default=0.01, metavar="P",
                       help="stop if a larger share of the videos cannot be read (default: 0.01)")  # fmt: skip
    group.add_argument("--skip_nonfinite", type=count, default=0, metavar="N",
                       help="skip up to N batches whose loss or gradient is not finite (default: 0)")  # fmt: skip


def add_machine_options(parser: argparse.ArgumentParser, decoders: Sequence[str]) -> None:
    """The flags about the machine; with `decoders`, also the choice of the decoder."""
    group = parser.add_argument_group("machine")
    group.add_argument("-j", "--workers", type=count, default=DEFAULT_WORKERS, metavar="N",
                       help=f"loaders per process (default: 8, at most one per core: {DEFAULT_WORKERS})")  # fmt: skip
    group.add_argument("--decode_timeout", type=not_negative, default=300.0, metavar="S",
                       help="stop if reading one video takes longer than S seconds (default: 300)")  # fmt: skip
    group.add_argument("--gpus", "--gpu", type=count, nargs="+", metavar="ID",
                       help="GPUs to use, with one process for each")  # fmt: skip
    group.add_argument("--device", metavar="NAME", help="cpu, cuda or cuda:N (default: a GPU if there is one)")
    if decoders:
        group.add_argument("--decoder", choices=decoders, default=decoders[0],
                           help=f"video decoder (default: {decoders[0]}, the fastest)")  # fmt: skip


def add_no_effect_options(parser: argparse.ArgumentParser, also: Sequence[str] = ()) -> None:
    """The flags of the published code that are only reported: `NO_EFFECT` and `also`."""
    for flag in (*NO_EFFECT, *also):
        parser.add_argument(flag, action=_NoEffect, nargs="?", help=argparse.SUPPRESS)
    parser.set_defaults(no_effect=[])


def check_tune_from(args: argparse.Namespace) -> None:
    """InputError for a `--tune_from` that names no weights, unless the run may continue without them."""
    # A named run that is resumed has the settings in its own checkpoint (see `open_start`), and `check_arguments`
    # refuses the flag together with a `--resume` other than auto.
    there = args.store_name and (Path(args.root_model) / args.store_name).is_dir()
    if args.resume is None or (args.resume == "auto" and not there):
        check_weights(args.tune_from)
