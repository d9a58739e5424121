"""Checks of the training arguments that concern more than one flag."""

import argparse

import torch

from ops.common import distributed
from ops.common.errors import InputError
from ops.data.sampling import DENSE_WINDOW
from ops.models.architectures import check_architecture
from ops.models.checkpoint import Checkpoint
from ops.training.resume import MATTERS
from ops.training.tracking import check_tracking
from ops.training.train_val_data import Data


def check_arguments(args: argparse.Namespace, device: torch.device) -> None:
    """InputError for values that contradict each other."""
    check_architecture(args.arch)
    check_tracking(args)
    if args.dense_sample and args.num_segments > DENSE_WINDOW:
        raise InputError(f"--num_segments ({args.num_segments}) must be at most {DENSE_WINDOW} with --dense_sample")
    if args.batch_size % distributed.world_size():
        raise InputError(
            f"--batch-size ({args.batch_size}) is the total over all processes; "
            f"{distributed.world_size()} must divide it"
        )
    per_rank = args.batch_size // distributed.world_size()
    if args.accumulate > per_rank:
        raise InputError(f"--accumulate ({args.accumulate}) must be at most {per_rank}, the clips per process")
    if args.augment != "published" and args.modality != "RGB":
        raise InputError(f"--augment {args.augment} changes colours, which optical flow does not have: RGB only")
    for flag in ("mixup", "cutmix"):
        if vars(args)[flag] is not None and per_rank < 2:
            raise InputError(f"--{flag} needs at least two clips per process (--batch-size)")
    if args.multi_label and args.balance:
        raise InputError(
            "--balance draws clips by their one class, but with --multi_label each may have several: "
            "use --class_weights balanced"
        )
    if args.syncbn and device.type == "cpu":
        raise InputError("--syncbn needs GPUs, because PyTorch's SyncBatchNorm does not run on a CPU; leave it out")
    if args.freeze != "none" and args.pretrain == "none" and not (args.tune_from or args.resume):
        raise InputError(f"--freeze {args.freeze} would keep random weights: give --tune_from or --pretrain")
    if args.evaluate and not args.resume:
        raise InputError("--evaluate needs --resume CKPT: the weights to validate")
    if args.evaluate and args.dry_run:
        raise InputError("--evaluate writes nothing anyway: leave out --dry_run, which is for trainings")
    if args.resume not in (None, "auto") and args.tune_from:
        raise InputError("--resume continues a run, --tune_from starts a new one: give only one of them")


def check_same_everywhere(args: argparse.Namespace, data: Data, origin: Checkpoint | None) -> None:
    """InputError, in all processes, if one of them was given different files or settings from the first one."""
    settings = {f"--{name}": vars(args)[name] for name in MATTERS if name in args}
    lists = [data.train.records.sha256, data.val.records.sha256]
    files = {"the lists": lists, "the class names": data.class_names, "the checkpoint": origin and origin.sha256}
    distributed.check_same({**files, **settings})
