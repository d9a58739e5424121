"""Where a run lives, and how it goes on from a checkpoint."""

import argparse
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
from ops.common.device import usable_cores
from ops.common.errors import InputError
from ops.common.folder_lock import locked_folder
from ops.models.checkpoint import Checkpoint, read_checkpoint
from ops.training.checkpoint_saver import LAST, is_replaced, read_first, run_checkpoints
from ops.training.run_metadata import arithmetic, software

log = logging.getLogger(__name__)


@dataclass
class Progress:
    """Where a run is: epochs completed, steps done of the one under way, best validation top-1 in percent.

    `totals` are the sums of the meter over those steps, `bad` how many of their videos were broken. Of the whole run
    `tried` videos `failed`, in this process, and `skipped` batches were passed over. An epoch whose steps are all done
    is complete only once it is validated and logged.
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
    arch = f"{args.arch}_tam" if args.tam else args.arch
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
    """Where the checkpoints of a training are."""
    return Path(args.root_model) / (args.store_name or default_store_name(args))


def lock_folders(folders: Iterable[Path], locks: ExitStack) -> None:
    """Lock each of `folders`, which can be one and the same, in the first process, until `locks` is closed."""
    for path in dict.fromkeys(path.resolve() for path in folders if distributed.is_main()):
        locks.enter_context(locked_folder(path, "give another --store_name or --suffix"))


def find_resume(resume: str | None, folder: Path, evaluate: bool) -> Checkpoint | None:
    """The checkpoint to go on from; None for a fresh start.

    `resume` is what the user gave: a file, "auto" for the last checkpoint in the run's `folder`, or None. Where a
    run's checkpoint cannot be read, that is said and the one before it in its folder is taken. InputError where a new
    run would overwrite an older one, where there is nothing to `evaluate`, and where none can be read.
    """
    there = run_checkpoints(folder)
    if resume == "auto":
        if there:
            return read_first(there)
        if evaluate:
            raise InputError(f"{folder / LAST}: no checkpoint there to evaluate")
        return None
    if not resume and there:
        raise InputError(
            f"{there[0]}: an earlier run is here; go on with it by --resume auto, or give another --suffix"
        )
    if not resume:
        return None
    path = Path(resume)
    of_a_run = run_checkpoints(path.parent)
    before = of_a_run[of_a_run.index(path) + 1 :] if path in of_a_run else []
    if before and not evaluate:
        return read_first([path, *before])
    return read_checkpoint(path, hashed=distributed.world_size() > 1)


def check_resumable(
    args: argparse.Namespace, origin: Checkpoint, num_classes: int, class_names: Sequence[str] | None
) -> None:
    """InputError, naming both sides, where a checkpoint is of another model than the arguments ask for."""
    spec = origin.spec
    pairs = {
        "--arch": (spec.arch, args.arch),
        "the modality": (spec.modality, args.modality),
        "--tam": (spec.tam, args.tam),
        "--num_segments": (origin.num_segments or args.num_segments, args.num_segments),
        "the number of classes": (spec.num_classes, num_classes),
        "'--dropout 0'": (spec.own_head, args.dropout == 0),
    }
    for what, (theirs, ours) in pairs.items():
        if theirs != ours:
            raise InputError(f"{origin.path}: {what} is {theirs} there and {ours} here; it cannot be resumed so")
    if origin.class_names and class_names and origin.class_names != list(class_names):
        raise InputError(f"{origin.path}: its class names differ from those given here, or their order does")


MATTERS = (
    "dataset", "consensus_type", "dropout", "no_partialbn", "syncbn", "dense_sample", "input_size", "epochs",
    "warmup_epochs", "batch_size", "lr", "scale_lr", "lr_type", "lr_steps", "no_fc_lr5", "momentum", "weight_decay",
    "clip_gradient", "accumulate", "seed", "skip_nonfinite", "amp", "channels_last", "compile", "decoder",
    "deterministic", "start_epoch",
)  # fmt: skip
"""Arguments on which the weights of a run depend."""


def changed_settings(args: argparse.Namespace, origin: Checkpoint, list_hashes: Mapping[str, str]) -> list[str]:
    """What differs between this command and that of the checkpoint's run and matters for the weights, in words."""
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
        changed.append(f"{distributed.world_size()} processes, before {processes}")
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
    """Likewise of what the last bits depend on: see `provenance.arithmetic`."""
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
    """Name what is not as it was and has a part in the weights; `changed_files` are in words."""
    settings, here = changed_settings(args, origin, list_hashes), changed_arithmetic(origin, arithmetic(device))
    replaced = []
    if is_replaced(Path(origin.path)):
        replaced = [f"the checkpoint {origin.path}, which was replaced or changed since the run saved it"]
    for change in (*settings, *here, *changed_files, *replaced):
        log.warning("not as in the run so far, so it will differ from one that goes through: %s", change)


def keep_threads(origin: Checkpoint, device: torch.device) -> None:
    """Compute with as many threads as the run so far: with another number sums are added up in another order.

    Not on a GPU, and not with more threads than this process has cores.
    """
    before = origin.meta.get("arithmetic")
    threads = before.get("threads") if isinstance(before, Mapping) else None
    here = torch.get_num_threads()
    if device.type == "cpu" and isinstance(threads, int) and threads != here and 1 <= threads <= usable_cores():
        torch.set_num_threads(threads)
        log.info("computing with %d threads, as in the run so far, not %d: the results stay the same", threads, here)


def check_epoch_goes_on(
    args: argparse.Namespace, origin: Checkpoint, progress: Progress, steps: int, list_hashes: Mapping[str, str]
) -> None:
    """InputError, naming what changed, where the rest of an epoch is not what it was when `origin` was saved in it.

    The epoch under way has that many `steps` now. Which videos are left of it depends on the list, the batch and the
    seed.
    """
    if not progress.step:
        return
    recipe, hashes = origin.meta.get("recipe"), origin.meta.get("lists_sha256")
    changed = []
    if isinstance(hashes, Mapping) and hashes and str(next(iter(hashes.values()))) != next(iter(list_hashes.values())):
        changed.append(f"the list {next(iter(list_hashes))}")
    for name in ("batch_size", "seed"):
        if isinstance(recipe, Mapping) and name in recipe and recipe[name] != vars(args)[name]:
            changed.append(f"--{name} ({recipe[name]} then, {vars(args)[name]} now)")
    if progress.step > steps and not changed:
        changed.append("the list or the batch")
    if changed:
        done = f"{progress.step} of {origin.rest.get('epoch_steps', '?')} steps of epoch {progress.epoch + 1}"
        raise InputError(
            f"{origin.path}: saved after {done}; {' and '.join(changed)} changed since, and with it what is left of "
            f"that epoch ({steps} steps now); change it back, or give --start-epoch {progress.epoch + 1} to go on with "
            f"the next epoch or --start-epoch {progress.epoch} to begin this one anew"
        )


def restore(origin: Checkpoint, optimizer: Optimizer) -> Progress:
    """Bring the optimizer to where `origin` left it, with this run's rates; returns where that run was."""
    groups = [dict(group, params=None) for group in optimizer.param_groups]
    try:
        optimizer.load_state_dict(origin.rest["optimizer"])
        best = float(origin.rest.get("best_prec1", 0.0))
        best = best if math.isfinite(best) else 0.0  # older versions took a validation without any video for the best
        totals = [float(value) for value in origin.rest.get("totals", ())]
        counts = {name: int(origin.rest.get(name, 0)) for name in ("step", "bad", "tried", "failed", "skipped")}
        progress = Progress(int(origin.rest["epoch"]), best=best, totals=totals, **counts)
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(
            f"{origin.path}: cannot be resumed, it holds no optimizer state that fits "
            f"({type(error).__name__}: {error}); --tune_from starts a new run from its weights"
        ) from None
    for group, ours in zip(optimizer.param_groups, groups, strict=True):
        group.update({key: value for key, value in ours.items() if key != "params"})
    log.info("resumed %s: %d epochs and %d steps are done", origin.path, progress.epoch, progress.step)
    return progress
