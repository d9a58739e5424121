"""The folder of a run, and resuming it from a checkpoint."""

import argparse
import difflib
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.optim import Optimizer

from ops.common import distributed
from ops.common.errors import InputError
from ops.common.folder_lock import locked_folder
from ops.common.text import counted
from ops.common.threads import usable_cores
from ops.models.checkpoint import Checkpoint, read_checkpoint
from ops.models.temporal_options import differing_option, name_parts, temporal_options
from ops.training.checkpoint_saver import LAST, is_replaced, read_first, run_checkpoints
from ops.training.optimizer import complete_state, optimizer_of
from ops.training.run_metadata import arithmetic, software

log = logging.getLogger(__name__)


@dataclass
class Progress:
    """The progress of a run: completed epochs, steps of the current epoch, best main metric of validation in percent.

    `totals` are the sums of the meter over these steps, `bad` the number of broken videos in them. Over the
    whole run, `failed` of the `tried` videos could not be read in this process, and `skipped` batches were skipped. An
    epoch is only complete when it has been validated and logged.
    """

    epoch: int = 0
    step: int = 0
    best: float = 0.0
    totals: Sequence[float] = ()
    bad: int = 0
    tried: int = 0
    failed: int = 0
    skipped: int = 0


def default_store_name(args: argparse.Namespace) -> str:
    """The published folder name, such as `kinetics_RGB_resnet50_tam_avg_segment8_e100_dense`."""
    arch = "_".join([args.arch, *name_parts(temporal_options(args))])
    parts = [args.dataset, args.modality, arch, args.consensus_type, f"segment{args.num_segments}", f"e{args.epochs}"]
    if args.pretrain == "none":
        parts.append("none")
    if args.lr_type != "step":
        parts.append(args.lr_type)
    if args.dense_sample:
        parts.append("dense")
    if args.suffix:
        parts.append(args.suffix)
    return "_".join(parts)


def run_folder(args: argparse.Namespace) -> Path:
    """The folder for the checkpoints of a run."""
    return Path(args.root_model) / (args.store_name or default_store_name(args))


def lock_folders(folders: Iterable[Path], locks: ExitStack) -> None:
    """Lock `folders`, which may be equal, in the first process until `locks` is closed."""
    for path in dict.fromkeys(path.resolve() for path in folders if distributed.is_main()):
        locks.enter_context(locked_folder(path, "use another --store_name or --suffix"))


def find_resume(resume: str | None, folder: Path, evaluate: bool) -> Checkpoint | None:
    """The checkpoint to resume from; None for a new run.

    `resume` is the user's choice: a file, "auto" for the last checkpoint in the run's `folder`, or None. If a run's
    checkpoint cannot be read, this is logged and the one before it is used. InputError if a new run would overwrite an
    older one, if there is nothing to `evaluate`, or if no checkpoint can be read.
    """
    there = run_checkpoints(folder)
    if resume == "auto":
        if there:
            return read_first(there)
        if evaluate:
            raise InputError(f"{folder / LAST}: there is no checkpoint to evaluate")
        _report_new_run(folder)
        return None
    if not resume and there:
        raise InputError(
            f"{there[0]}: belongs to an earlier run; continue it with --resume auto, or use another --suffix"
        )
    if not resume:
        return None
    path = Path(resume)
    of_a_run = run_checkpoints(path.parent)
    before = of_a_run[of_a_run.index(path) + 1 :] if path in of_a_run else []
    if before and not evaluate:
        return read_first([path, *before])
    return read_checkpoint(path, hashed=distributed.world_size() > 1)


def _report_new_run(folder: Path) -> None:
    """Log that there is nothing to resume in `folder`, and which neighbouring runs have similar names."""
    others = [path.name for path in folder.parent.glob("*/") if path != folder]
    similar = difflib.get_close_matches(folder.name, others, n=len(others) or 1)  # only these folders are looked into
    similar = [name for name in similar if run_checkpoints(folder.parent / name)][:3]
    hint = f"; runs with similar names: {', '.join(similar)} (see --store_name and --suffix)" if similar else ""
    log.info("%s: no checkpoint to resume, starting a new run%s", folder, hint)


def check_resumable(
    args: argparse.Namespace, origin: Checkpoint, num_classes: int, class_names: Sequence[str] | None
) -> None:
    """InputError, with both values, if a checkpoint belongs to a different model from what the arguments ask for."""
    spec = origin.spec
    pairs = {
        "--arch": (spec.arch, args.arch),
        "the modality": (spec.modality, args.modality),
        "--num_segments": (origin.num_segments or args.num_segments, args.num_segments),
        "the number of classes": (spec.num_classes, num_classes),
        "'--dropout 0'": (spec.own_head, args.dropout == 0),
        "--multi_label": tuple("set" if one else "not set" for one in (origin.multi_label, args.multi_label)),
    }
    for what, (theirs, ours) in pairs.items():
        if theirs != ours:
            raise InputError(f"{origin.path}: cannot be resumed: {what} is {theirs} in the checkpoint, but {ours} here")
    difference = differing_recipe(args, origin) or differing_option(spec.temporal, temporal_options(args))
    if difference:
        raise InputError(f"{origin.path}: cannot be resumed: {difference}")
    if origin.class_names and class_names and origin.class_names != list(class_names):
        raise InputError(f"{origin.path}: its class names, or their order, differ from those given here")


DECIDES = {"ema": None, "freeze": "none"}
"""Arguments on which the contents of a checkpoint depend, with the value for checkpoints of versions without them."""


def differing_recipe(args: argparse.Namespace, origin: Checkpoint) -> str:
    """The first setting of `DECIDES` that differs from the run of `origin`, in words; "" if there is none."""
    before = origin.meta.get("recipe")
    recipe = before if isinstance(before, Mapping) else {}
    for name, default in DECIDES.items() if not args.evaluate else ():
        theirs, ours = recipe.get(name, default), vars(args)[name]
        if theirs != ours:
            return f"--{name} is {theirs or 'not set'} in the checkpoint, but {ours or 'not set'} here"
    return ""


MATTERS = (
    "dataset", "consensus_type", "dropout", "no_partialbn", "syncbn", "dense_sample", "input_size", "epochs",
    "warmup_epochs", "batch_size", "lr", "scale_lr", "lr_type", "lr_steps", "no_fc_lr5", "momentum", "weight_decay",
    "clip_gradient", "accumulate", "seed", "skip_nonfinite", "amp", "channels_last", "tf32", "compile", "decoder",
    "deterministic", "start_epoch", "keep_last_batch", "patience", "optimizer", "label_smoothing", "class_weights",
    "balance", "mixup", "cutmix", "augment", "multi_label",
)  # fmt: skip
"""Arguments on which the weights of a run depend."""


def changed_settings(args: argparse.Namespace, origin: Checkpoint, list_hashes: Mapping[str, str]) -> list[str]:
    """Differences between this command and that of the checkpoint's run that affect the weights, in words."""
    before = origin.meta.get("recipe")
    if not isinstance(before, Mapping):
        return []
    now = vars(args)
    changed = [
        f"{name} {now[name]}, before {before[name]}"
        for name in MATTERS
        if name in now and name in before and now[name] != before[name]
    ]
    processes = origin.meta.get("processes")
    if processes not in (None, distributed.world_size()):
        changed.append(f"{counted(distributed.world_size(), 'process')}, before {processes}")
    versions, here = origin.meta.get("versions"), software()["versions"]
    if isinstance(versions, Mapping):
        changed += [
            f"{name} {here[name]}, before {versions[name]}"
            for name in here
            if versions.get(name, here[name]) != here[name]
        ]
    hashes = origin.meta.get("lists_sha256")
    if isinstance(hashes, Mapping) and list(map(str, hashes.values())) != list(list_hashes.values()):
        changed.append(f"the content of the lists {', '.join(list_hashes)}")
    return changed


def changed_arithmetic(origin: Checkpoint, here: Mapping[str, Any]) -> list[str]:
    """Likewise for whatever affects the last bits: see `ops.training.run_metadata.arithmetic`."""
    before = origin.meta.get("arithmetic")
    if not isinstance(before, Mapping):
        return []
    return [
        f"{name} {here.get(name, 'not set')}, before {before.get(name, 'not set')}"
        for name in sorted({*here, *before})
        if here.get(name) != before.get(name)
    ]


def warn_of_changes(
    args: argparse.Namespace,
    origin: Checkpoint,
    list_hashes: Mapping[str, str],
    device: torch.device,
    changed_files: Sequence[str] = (),
) -> None:
    """Warn about everything that has changed and affects the weights; `changed_files` are descriptions."""
    settings, here = changed_settings(args, origin, list_hashes), changed_arithmetic(origin, arithmetic(device))
    replaced = []
    if is_replaced(Path(origin.path)):
        replaced = [f"the checkpoint {origin.path}, which was replaced or changed since the run saved it"]
    for change in (*settings, *here, *changed_files, *replaced):
        log.warning("not as in the run so far, so it will differ from one that goes through: %s", change)


def keep_threads(origin: Checkpoint, device: torch.device) -> None:
    """Use as many threads as the run so far, because the order of summation depends on them.

    This does not apply on a GPU, and never uses more threads than the cores that this process may use.
    """
    before = origin.meta.get("arithmetic")
    threads = before.get("threads") if isinstance(before, Mapping) else None
    here = torch.get_num_threads()
    if device.type == "cpu" and isinstance(threads, int) and threads != here and 1 <= threads <= usable_cores():
        torch.set_num_threads(threads)
        log.info(
            "using %s as in the run so far, not %d, so that results stay the same", counted(threads, "thread"), here
        )


def check_epoch_goes_on(
    args: argparse.Namespace, origin: Checkpoint, progress: Progress, steps: int, list_hashes: Mapping[str, str]
) -> None:
    """InputError, naming the change, if the remaining clips of an epoch have changed since `origin` was saved.

    The current epoch now has `steps` steps. Which videos remain depends on the list, the batch size and the seed.
    """
    if not progress.step:
        return
    recipe, hashes = origin.meta.get("recipe"), origin.meta.get("lists_sha256")
    changed = []
    if isinstance(hashes, Mapping) and hashes and str(next(iter(hashes.values()))) != next(iter(list_hashes.values())):
        changed.append(f"the list {next(iter(list_hashes))}")
    for name in ("batch_size", "seed", "keep_last_batch", "balance"):
        if isinstance(recipe, Mapping) and name in recipe and recipe[name] != vars(args)[name]:
            changed.append(f"--{name} (was {recipe[name]}, now {vars(args)[name]})")
    if progress.step > steps and not changed:
        changed.append("the list or the batch size")
    if changed:
        done = f"{progress.step} of {origin.rest.get('epoch_steps', '?')} steps of epoch {progress.epoch + 1}"
        raise InputError(
            f"{origin.path}: saved after {done}; since then {' and '.join(changed)} changed, so that epoch (now "
            f"{counted(steps, 'step')}) cannot be continued; undo the change, or give --start-epoch "
            f"{progress.epoch + 1} to continue with the next epoch or --start-epoch {progress.epoch} to repeat this one"
        )


def restore(origin: Checkpoint, optimizer: Optimizer) -> Progress:
    """Restore the optimizer from `origin`, with this run's learning rates; returns the progress of that run."""
    groups = [dict(group, params=None) for group in optimizer.param_groups]
    ours = type(optimizer).__name__.lower()
    try:
        theirs = optimizer_of(origin.rest["optimizer"])
        if theirs not in (None, ours):
            raise InputError(
                f"{origin.path}: cannot be resumed: --optimizer is {theirs} in the checkpoint, {ours} here"
            )
        optimizer.load_state_dict(origin.rest["optimizer"])
        best = float(origin.rest.get("best_prec1", 0.0))
        best = best if math.isfinite(best) else 0.0  # older versions counted a validation without any video as the best
        totals = [float(value) for value in origin.rest.get("totals", ())]
        counts = {name: int(origin.rest.get(name, 0)) for name in ("step", "bad", "tried", "failed", "skipped")}
        progress = Progress(int(origin.rest["epoch"]), best=best, totals=totals, **counts)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"{origin.path}: cannot be resumed, it has no optimizer state that fits "
            f"({type(error).__name__}: {error}); --tune_from starts a new run from its weights"
        ) from None
    for group, kept in zip(optimizer.param_groups, groups, strict=True):
        group.update({key: value for key, value in kept.items() if key != "params"})
    complete_state(optimizer)
    epochs, steps = counted(progress.epoch, "epoch"), counted(progress.step, "step")
    log.info("resumed %s: %s and %s are done", origin.path, epochs, steps)
    return progress
