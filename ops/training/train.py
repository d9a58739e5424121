"""Training, from arguments to checkpoints."""

import argparse
import logging
import sys
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from ops.common import distributed
from ops.common.console import start_logging
from ops.common.device import Compute, compute_of, pick_device, wants_launch
from ops.common.errors import EXIT_DONE, EXIT_WITH_FAILURES, RunStoppedError
from ops.common.open_files import PER_LOADER, allow_open_files
from ops.common.stop_signals import PREEMPTED
from ops.common.storage import atomic_file, make_folder, no_empty_folders
from ops.common.text import counted
from ops.data.collate import collate_clips
from ops.data.dataloaders import TrainSampler, make_loader, shard_sampler, steps_per_epoch, workers_of
from ops.data.dataset_configs import DatasetConfig
from ops.data.hang_detection import noting_hangs, videos_that_hung
from ops.data.open_lists import MakeReader, dataset_of, say_what_has_no_effect
from ops.models.checkpoint import Checkpoint, load_state, tune_from, use_normalisation
from ops.models.freeze import freeze
from ops.models.recognizer import Recognizer, build_model
from ops.models.temporal_options import temporal_options
from ops.training.check_arguments import check_arguments, check_same_everywhere
from ops.training.dry_run import dry_run
from ops.training.engine import NOT_FINITE, validate
from ops.training.loss import ClassificationLoss, balanced_weights
from ops.training.lr_schedule import Schedule
from ops.training.main_metric import main_metric
from ops.training.mean_average_precision import over_all_processes
from ops.training.mixup import Mixing
from ops.training.multi_label_loss import MultiLabelLoss, balanced_target_weights
from ops.training.optimizer import base_rate, make_optimizer
from ops.training.pace import Pace
from ops.training.resume import (
    Progress,
    check_epoch_goes_on,
    check_resumable,
    find_resume,
    keep_threads,
    lock_folders,
    restore,
    run_folder,
    warn_of_changes,
)
from ops.training.run_log import RunLog, open_log
from ops.training.run_metadata import make_meta
from ops.training.save_interval import parse_interval
from ops.training.startup_summary import summary_lines
from ops.training.step_log import StepLog
from ops.training.train_val_data import Data, open_data
from ops.training.trainer import Trainer
from ops.training.tune_arguments import open_start

log = logging.getLogger(__name__)


def run_training(args: argparse.Namespace, make_reader: MakeReader) -> int:
    """Train (or, with `--evaluate`, only validate) as the arguments say; returns the exit status."""
    start_logging(distributed.is_main())
    say_what_has_no_effect(args)
    start = open_start(args)
    if wants_launch(args.gpus, args.device):
        status = distributed.launch(len(args.gpus), sys.argv[0], sys.argv[1:])
        return EXIT_DONE if status > distributed.SIGNALLED and (run_folder(args) / PREEMPTED).exists() else status
    allow_open_files(args.workers, PER_LOADER)
    device = pick_device(args.gpus, args.device)
    config = dataset_of(args)
    check_arguments(args, device)
    folder = run_folder(args)
    with no_empty_folders(folder, Path(args.root_log) / folder.name), ExitStack() as locks:
        return run_in(folder, args, config, make_reader, device, locks, start)


def run_in(
    folder: Path,
    args: argparse.Namespace,
    config: DatasetConfig,
    make_reader: MakeReader,
    device: torch.device,
    locks: ExitStack,
    start: Checkpoint | None = None,
) -> int:
    """Run in `folder`, which the first process locks before anything in it is read or written.

    A new run begins with the weights of `start`.
    """
    folders = [] if args.evaluate or args.dry_run else [folder, Path(args.root_log) / folder.name]
    there = [path for path in folders if path.is_dir()]
    lock_folders(there, locks)
    data = open_data(args, config, make_reader, videos_that_hung(folder))
    resumed = find_resume(args.resume, folder, args.evaluate)
    if resumed:
        check_resumable(args, resumed, data.num_classes, data.class_names)
        keep_threads(resumed, device)
        warn_of_changes(args, resumed, data.list_hashes(), device, data.changed_files(resumed.meta.get("file_sizes")))
    origin = resumed or start
    compute = compute_of(args, device, fixed_shapes=True)
    for path in folders:
        make_folder(path)
    lock_folders([path for path in folders if path not in there], locks)
    distributed.start(device)
    try:
        return train_from(origin, resumed, args, config, data, folder, compute)
    finally:
        distributed.stop()


def train_from(
    origin: Checkpoint | None,
    resumed: Checkpoint | None,
    args: argparse.Namespace,
    config: DatasetConfig,
    data: Data,
    folder: Path,
    compute: Compute,
) -> int:
    """Train from the weights of `origin`, and from the progress of `resumed`, which is the same file or None."""
    torch.manual_seed(args.seed)
    rate = base_rate(args, config)
    model, same_classes = start_model(args, data, origin, resumed is not None, compute)
    if args.evaluate:
        return evaluate_only(args, model, data, compute)
    fast_head = not (same_classes or args.no_fc_lr5)
    optimizer = make_optimizer(args, model, rate, fast_head, compute.fused_optimizer)
    progress = restore(resumed, optimizer) if resumed else Progress()
    hashes = data.list_hashes()
    if args.start_epoch is not None:
        progress.epoch, progress.step, progress.totals, progress.bad = args.start_epoch, 0, (), 0
    elif resumed:
        steps = steps_per_epoch(len(data.train), args.batch_size, args.keep_last_batch)
        check_epoch_goes_on(args, resumed, progress, steps, hashes)
    check_same_everywhere(args, data, origin)
    with nullcontext() if args.dry_run else noting_hangs(folder):
        fit(args, model, optimizer, rate, data, folder, progress, resumed, compute)
    return EXIT_DONE


def start_model(
    args: argparse.Namespace, data: Data, origin: Checkpoint | None, resumed: bool, compute: Compute
) -> tuple[Recognizer, bool]:
    """The model to train, on its device, and whether it has the classifier of --tune_from."""
    model = build_model(
        args.arch, data.num_classes, args.num_segments, args.modality, dropout=args.dropout,
        pretrain="none" if origin else args.pretrain,  # do not download weights that a checkpoint replaces
        consensus_type=args.consensus_type, temporal=temporal_options(args),
    )  # fmt: skip
    same_classes = False
    if origin and resumed:
        load_state(model, origin)
        use_normalisation(model, origin)
    elif origin:
        same_classes = tune_from(model, origin, args.dataset, data.class_names, args.input_size)
    if args.syncbn:
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
    model.partial_bn = not args.no_partialbn
    freeze(model, args.freeze)
    compute.prepare(model)
    return model.train(), same_classes


def make_val_loader(args: argparse.Namespace, data: Data, device: torch.device) -> Any:
    """The validation loader: over all processes, each video exactly once."""
    share = shard_sampler(len(data.val), epoch=0)
    batch = max(args.batch_size // distributed.world_size(), 1)
    return make_loader(
        data.val, args.workers, collate_clips, device, sampler=share, batch_size=batch, patience=args.decode_timeout
    )


def make_loss(args: argparse.Namespace, data: Data) -> ClassificationLoss:
    """The loss that the arguments ask for."""
    balanced, records = args.class_weights == "balanced", data.train.records
    if records.label_sets is not None:
        targets = balanced_target_weights(records.label_sets, data.num_classes) if balanced else None
        return MultiLabelLoss(args.label_smoothing, targets)
    weights = balanced_weights(records.labels, data.num_classes) if balanced else None
    return ClassificationLoss(args.label_smoothing, weights)


def fit(
    args: argparse.Namespace,
    model: Recognizer,
    optimizer: Optimizer,
    rate: float,
    data: Data,
    folder: Path,
    progress: Progress,
    origin: Checkpoint | None,
    compute: Compute,
) -> None:
    """Train to the end with logs, or make a dry run; `origin` is the checkpoint that the run resumes from."""
    device = compute.device
    sampler = TrainSampler(
        len(data.train), args.batch_size, args.seed, distributed.rank(), distributed.world_size(),
        args.keep_last_batch, data.train.records.labels if args.balance else None,
    )  # fmt: skip
    loader = make_loader(
        data.train, args.workers, collate_clips, device, batch_sampler=sampler, patience=args.decode_timeout
    )
    schedule = Schedule(rate, args.epochs, args.lr_type, tuple(args.lr_steps), args.warmup_epochs)
    pace = Pace(
        args.seed, args.eval_freq, args.print_freq, args.clip_gradient, args.max_steps, args.accumulate,
        args.max_bad_fraction, args.skip_nonfinite, parse_interval(args.ckpt_interval), args.keep, args.patience,
        args.ema, Mixing(args.mixup, args.cutmix), main_metric(args.multi_label),
    )  # fmt: skip
    runlog = None
    if distributed.is_main():
        for line in summary_lines(args, data, model, len(sampler), rate, compute, None if args.dry_run else folder):
            log.info("%s", line)
        runlog = None if args.dry_run else open_log(args, rate, data, folder, progress, origin, device)
    done = progress.epoch * len(sampler) + progress.step
    steplog = StepLog(args.log_every, runlog.folder if runlog else None, done)
    trainer = Trainer(
        model, optimizer, schedule, sampler, loader, make_val_loader(args, data, device), pace, folder,
        make_meta(args, data.num_classes, data.class_names, data.list_hashes(), device, data.file_sizes,
                  model.normalisation),
        runlog,
        compute,
        make_loss(args, data),
        steplog,
    )  # fmt: skip
    if origin:
        trainer.restore(origin, args.start_epoch is None)
    if args.dry_run:
        dry_run(trainer, progress)
    else:
        _train(args, trainer, runlog, folder, progress)


def _train(args: argparse.Namespace, trainer: Trainer, runlog: RunLog | None, folder: Path, progress: Progress) -> None:
    """Train to the end or until a signal, which is then recorded in a file, and log how the run ended."""
    marker = folder / PREEMPTED
    if runlog:
        marker.unlink(missing_ok=True)
    with workers_of(trainer.loader, trainer.loader_val), trainer.preemption.watched() as preemption:
        trainer.fit(progress)
    trainer.reporter.close()
    if runlog:
        runlog.tracker.end(folder, complete=not trainer.preempted)
    if runlog and trainer.preempted:
        with atomic_file(marker, "w") as file:
            received = f"signal {preemption.signal}" if preemption.signal else "a signal to another process"
            file.write(f"{received}: epoch {progress.epoch}, step {progress.step}\n")
        log.info("stopped by a signal, everything is saved; to continue, add --resume auto to the command (%s)", marker)
    elif runlog:
        ending = _ending(args, progress, trainer.early_stopping.is_over)
        best = f"best validation {trainer.pace.metric.words} {progress.best:.2f} %"
        log.info("%s: %s; checkpoints in %s", ending, best, folder)


def _ending(args: argparse.Namespace, progress: Progress, stopped_early: bool) -> str:
    """Why a run ended, in words."""
    if stopped_early:
        return f"stopped after epoch {progress.epoch} of {args.epochs}: no better validation in {args.patience}"
    if progress.epoch < args.epochs:
        return f"stopped by --max_steps {args.max_steps} with {progress.epoch} of {counted(args.epochs, 'epoch')} done"
    return "done"


def evaluate_only(args: argparse.Namespace, model: Recognizer, data: Data, compute: Compute) -> int:
    """`--evaluate`: one validation; status 1 if videos were left out. RunStoppedError if no score is finite."""
    loader = make_val_loader(args, data, compute.device)
    with workers_of(loader):
        result = validate(
            compute.compiled(model), loader, compute, len(loader), distributed.is_main(), data.val.records.path
        )
    meter = result.meter.merge()
    averages = meter.averages()
    precision = f"mAP {over_all_processes(result.rankings):.2f} %, " if args.multi_label else ""
    failures = [failure for share in distributed.gather_objects(result.failures) for failure in share]
    if not meter.count and any(failure.reason == NOT_FINITE for failure in failures):
        raise RunStoppedError(f"{args.resume}: no video has finite scores: these weights come from a run that diverged")
    for failure in failures:
        log.warning("%s: %s", failure.path, failure.reason)
    log.info(
        "validation: loss %.4f, %stop-1 %.2f %%, top-5 %.2f %%; %d of %s scored", averages["loss"], precision,
        averages["top1"], averages["top5"], len(data.val) - len(failures), counted(len(data.val), "video"),
    )  # fmt: skip
    return EXIT_WITH_FAILURES if failures else EXIT_DONE
