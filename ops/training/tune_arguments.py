"""The arguments of a training that starts from a checkpoint (`--tune_from`) and takes over its settings."""

import argparse
import logging
import os
from collections.abc import Mapping
from typing import Any

from ops.common import distributed
from ops.common.errors import InputError
from ops.models.checkpoint import Checkpoint, read_checkpoint
from ops.models.temporal_options import temporal_arguments, temporal_options, used_options
from ops.training.checkpoint_saver import read_first, run_checkpoints
from ops.training.resume import run_folder

log = logging.getLogger(__name__)

SEGMENTS, DROPOUT, INPUT_SIZE = 8, 0.5, 224
"""The values for checkpoints that do not contain their own."""


def settings_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """The arguments, by name, of the training that wrote `checkpoint`, as far as they describe the model.

    Architecture, temporal module and a TANet's segments come from its tensors; input size, dropout, the segments of
    other networks and whether videos have several labels from its metadata or name, by default 224 pixels, 0.5, 8
    and one label.
    """
    spec, meta = checkpoint.spec, checkpoint.meta
    stored = meta.get("dropout")
    dropout = 0.0 if spec.own_head else float(stored) if isinstance(stored, float) and stored > 0 else DROPOUT
    return {
        "arch": spec.arch,
        "num_segments": checkpoint.num_segments or SEGMENTS,
        "dropout": dropout,
        "input_size": int(meta.get("input_size") or INPUT_SIZE),
        **temporal_arguments(spec.temporal),
        **({"multi_label": True} if checkpoint.multi_label else {}),
    }


def open_start(args: argparse.Namespace) -> Checkpoint | None:
    """The checkpoint of `--tune_from`, whose settings are added to `args`; None without the flag.

    A named run that is resumed no longer needs the file, because its own checkpoint has the same settings.
    """
    if not args.tune_from or args.resume not in (None, "auto"):  # `check_arguments` refuses the combination
        return None
    try:
        checkpoint = read_checkpoint(args.tune_from, hashed=distributed.world_size() > 1)
    except InputError:
        own = run_checkpoints(run_folder(args)) if args.resume == "auto" and args.store_name else []
        if os.path.exists(args.tune_from) or not own:
            raise
        checkpoint = read_first(own)
    use_settings(args, checkpoint)
    return checkpoint


def use_settings(args: argparse.Namespace, checkpoint: Checkpoint) -> None:
    """Give the arguments that are not on the command line the values with which `checkpoint` was trained.

    InputError, with the flag and both values, for a given argument that does not fit the weights. Other given
    arguments that differ, such as dropout and input size, are kept.
    """
    spec = checkpoint.spec
    if spec.modality != args.modality:
        raise InputError(f"{checkpoint.path}: is a model for {spec.modality}, but this run trains on {args.modality}")
    theirs = settings_of(checkpoint)
    asked = temporal_options(args)
    by_module = [flag for flag in ("tam", "shift", "temporal") if flag in args.given]
    values = {**vars(args), **temporal_arguments(asked)}
    ours = {name: values[name] for name in theirs if name in args.given or (by_module and name == "temporal")}
    _check(ours, checkpoint, theirs, by_module[0] if by_module else "temporal")
    taken = {name: value for name, value in theirs.items() if name not in args.given and getattr(args, name) != value}
    if by_module or theirs["temporal"] == "none":
        taken.pop("temporal", None)  # --tam already says so, and without any flag there is no module
    for name, value in taken.items():
        setattr(args, name, value)
    if taken:
        log.info(
            "as in %s: %s",
            checkpoint.path,
            ", ".join(f"--{name} {_shown(value)}".rstrip() for name, value in taken.items()),
        )


def _check(ours: Mapping[str, Any], checkpoint: Checkpoint, theirs: Mapping[str, Any], module_flag: str) -> None:
    """InputError for the first of `ours` that does not fit the weights; `module_flag` is what named the module."""
    fixed = ["arch", *temporal_arguments(checkpoint.spec.temporal)]
    used = {flag.removeprefix("--") for flag in used_options(checkpoint.spec.temporal)}
    if checkpoint.spec.num_segments:
        fixed.append("num_segments")  # TAM's global branch has layers of this size
    for name in fixed:
        if name not in ours or ours[name] == theirs[name] or name not in {"arch", "num_segments", *used}:
            continue
        flag = f"--{name} {_shown(ours[name])}" if name != "temporal" or module_flag == name else f"--{module_flag}"
        raise InputError(
            f"{flag} contradicts {checkpoint.path}, which has --{name} {_shown(theirs[name])}: its weights do not "
            "fit such a model; leave the flag out"
        )


def _shown(value: Any) -> str:
    return (
        " ".join(map(str, value))
        if isinstance(value, list)
        else f"{value:g}"
        if isinstance(value, float)
        else ""
        if value is True
        else str(value)
    )
