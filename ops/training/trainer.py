"""The epochs of one training run: train, validate, log, save."""

import logging
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from ops.common import distributed
from ops.common.device import Compute
from ops.common.errors import InputError, RunStoppedError
from ops.common.preemption import Preemption
from ops.data.dataloaders import TrainSampler
from ops.models.checkpoint import Checkpoint, write_checkpoint
from ops.models.recognizer import Recognizer
from ops.training.checkpoint_saver import BEST, CheckpointSaver, last_good
from ops.training.early_stopping import EarlyStopping
from ops.training.ema import ModelEma
from ops.training.engine import EpochResult, train_epoch, validate
from ops.training.epoch_summary import (
    can_be_best,
    figures_of,
    first_not_finite,
    none_is_finite,
    not_finite_in_words,
)
from ops.training.eta import Eta
from ops.training.loss import ClassificationLoss
from ops.training.lr_schedule import Schedule
from ops.training.metrics import Meter
from ops.training.pace import Pace
from ops.training.resume import Progress
from ops.training.run_log import RunLog
from ops.training.run_reporter import RunReporter
from ops.training.step_log import StepLog
from ops.training.train_step import Step, Stepper

log = logging.getLogger(__name__)


class Trainer:
    """One run: the model, its optimizer and schedule, the loaders, and the folder it is saved in.

    `sampler` is the batch sampler of `loader`; `runlog` is None in all processes but the first.
    """

    def __init__(
        self,
        model: Recognizer,
        optimizer: Optimizer,
        schedule: Schedule,
        sampler: TrainSampler,
        loader: "DataLoader[Any]",
        loader_val: "DataLoader[Any]",
        pace: Pace,
        folder: Path,
        meta: Mapping[str, Any],
        runlog: RunLog | None,
        compute: Compute,
        loss: ClassificationLoss,
        steplog: StepLog,
    ) -> None:
        self.model, self.optimizer, self.schedule = model, optimizer, schedule
        self.sampler, self.loader, self.loader_val = sampler, loader, loader_val
        self.pace, self.folder, self.meta, self.compute = pace, folder, meta, compute
        self.reporter = RunReporter(runlog, steplog)
        self.scaler = compute.scaler()
        self.began = 0, 0  # epoch and step at which the current pass began
        parallel: nn.Module = model
        if distributed.world_size() > 1:
            device = compute.device
            parallel = DistributedDataParallel(model, [device] if device.type == "cuda" else None)
        self.stepper = Stepper(
            compute.compiled(parallel), optimizer, self.scaler, compute, self._nonfinite,
            pace.clip_gradient, pace.parts, restorable=pace.skip_nonfinite > 0, loss=loss,
            mixing=pace.mixing, observe=steplog.observe,
            # The average of the weights is updated after each step that is taken, so the host must know of it at once.
            deferred=compute.fused_optimizer and pace.ema is None,
        )  # fmt: skip
        self.ema = ModelEma(model, pace.ema)
        optimizer.register_step_post_hook(lambda optimizer, *_: self.ema.update(optimizer))
        self.skipped = 0
        self.save_is_late = False  # a save within an epoch that was due after a step that was not taken
        self.early_stopping = EarlyStopping(pace.patience)
        self.saver = CheckpointSaver(folder, pace.keep)
        self.eta = Eta(len(sampler), schedule.epochs, pace.eval_freq, pace.max_steps)
        self.preemption, self.preempted = Preemption(), False
        self.results: dict[str, Any] = {}  # the figures of the last epoch
        self.row: dict[str, Any] = {}  # its row in the log

    def restore(self, origin: Checkpoint, same_place: bool) -> None:
        """Take over the rest of the state in `origin`; `same_place`: the run continues where that was saved."""
        if origin.rest.get("scaler"):
            self.scaler.load_state_dict(origin.rest["scaler"])
        self.ema.restore(origin.rest, origin.path)
        if same_place:
            self.early_stopping.restore(origin.rest.get("early_stopping"))
        self.results = dict(origin.meta.get("results") or {})  # valid until an epoch of this run ends

    def fit(self, progress: Progress) -> Progress:
        """Train from `progress` to the last epoch or an early end, for `max_steps`, or until a signal.

        Returns the new progress.
        """
        left = self.pace.max_steps or sys.maxsize
        self.skipped = progress.skipped
        self.eta.start(self._global_step(progress))
        while progress.epoch < self.schedule.epochs and left > 0 and not self.early_stopping.is_over:
            began, epoch = time.perf_counter(), progress.epoch
            steps = min(len(self.sampler) - progress.step, left)
            left -= steps
            trained = self._train(progress, steps)
            validated = None
            whole = progress.step == len(self.sampler)
            due = whole and ((epoch + 1) % self.pace.eval_freq == 0 or epoch + 1 == self.schedule.epochs)
            if not self.preempted and (due or not left):
                validated = self._validate()
            if self.preempted:
                trained.meter.merge()
                self.reporter.bad_videos(epoch)
                self._save(progress, is_best=False)
                break
            if whole:
                progress.epoch, progress.step = epoch + 1, 0
            progress.totals, progress.bad = (), 0
            self._end(progress, epoch, trained, validated, began, due)
        return progress

    def _end(
        self,
        progress: Progress,
        epoch: int,
        trained: EpochResult,
        validated: EpochResult | None,
        began: float,
        due: bool,
    ) -> None:
        """Save and log the results of a pass; `due`: an uninterrupted run would also validate here."""
        metric = self.pace.metric
        row = {"epoch": epoch, "step": self._global_step(progress), **figures_of(trained, validated, metric)}
        last_step = (progress.step or len(self.sampler)) - 1
        row["lr"] = self.schedule.rate(epoch + last_step / len(self.sampler))
        if validated and not row["val_scored"] and none_is_finite(validated):
            raise RunStoppedError(
                f"epoch {epoch + 1}: no validation video has finite scores, so the weights are unusable; "
                f"{last_good(self.folder)}; try a lower --lr"
            )
        bad = self.reporter.bad_videos(epoch, validated)
        row["bad_samples"] = self.reporter.bad
        value = row[metric.column] if can_be_best(row, metric) else None
        is_best = value is not None and (value > progress.best or not (self.folder / BEST).exists())
        if is_best:
            progress.best = row[metric.column]
        if due:
            self.early_stopping.add(value)
        self.results = {name: value for name, value in row.items() if name.startswith(("val_", "train_"))}
        row |= {metric.best: progress.best, "seconds": time.perf_counter() - began}
        self.reporter.epoch(row, self.schedule.epochs, bad)  # first: after a kill in between, it is written again
        self.row = row
        self._save(progress, is_best)

    def _validate(self) -> EpochResult:
        """One validation; incomplete if a signal interrupted it, in which case all processes have `preempted` set."""
        shown, going = distributed.is_main(), lambda: not self.preemption.signal
        path_of = self.loader_val.dataset.records.path  # type: ignore[attr-defined]
        model = self.ema.averaged
        distributed.share_buffers(model)
        began = time.perf_counter()
        result = validate(model, self.loader_val, self.compute, len(self.loader_val), shown, path_of, going)
        self.eta.validation_seconds = time.perf_counter() - began
        self.preempted = self.preemption.everywhere(self.compute.device)
        return result

    def _train(self, progress: Progress, steps: int) -> EpochResult:
        """Train for `steps` of the current epoch, or until a signal, and update `progress`."""
        epoch, first = self.began = progress.epoch, progress.step
        self.sampler.epoch, self.sampler.first_step, self.sampler.last_step = epoch, first, first + steps
        result = EpochResult(Meter(self.compute.device), tried=progress.tried, failed=progress.failed)
        self.running, self.save_is_late = result, False
        self.reporter.start_pass(result, progress.bad)
        if self.reporter.runlog and progress.totals:
            result.meter.totals += torch.tensor(progress.totals).to(result.meter.totals)
        try:
            train_epoch(
                self.stepper,
                self.loader,
                result,
                lambda step: self.start_step(epoch, first + step),
                lambda step: self._end_step(Progress(epoch, first + step + 1, progress.best)),
                self.pace.max_bad_fraction,
                steps,
                self.pace.print_freq,
                f"epoch {epoch + 1}/{self.schedule.epochs}",
                distributed.is_main(),
                lambda seconds, step: self.eta.seconds(seconds, self._global_step(Progress(epoch, first + step))),
            )
        except RunStoppedError as stopped:
            if stopped.failures:
                self.reporter.own_bad_videos(epoch)
            raise
        progress.step += result.steps
        progress.tried, progress.failed = result.tried, result.failed
        return result

    def _end_step(self, progress: Progress) -> bool:
        """Log the step and save, if it is time to; returns whether to continue."""
        self.reporter.step(self._global_step(progress), progress.epoch, progress.step - 1, self.sampler, self.schedule)
        due = self.save_is_late or self.pace.interval.is_due(progress.step, self.saver.seconds())
        if due and progress.step < len(self.sampler) and self.reporter.runlog:
            # The clocks of other processes differ, so they may not be saving now, and a common report is not possible.
            self.running.count(self.stepper.settle(report=False))
            self.save_is_late = bool(self.stepper.unsettled)
            if not self.save_is_late:
                self._save(progress, is_best=False)
        self.preempted = self.preemption.everywhere(self.compute.device, self.stepper.deferred)
        return not self.preempted

    def start_step(self, epoch: int, step: int) -> tuple[float, float]:
        """Set seeds and learning rate of one step, which depend only on its position in the run.

        Returns the rate and the weight of this process's clips.
        """
        place = epoch * len(self.sampler) + step
        seeds = np.random.SeedSequence([self.pace.seed, place, distributed.rank()])
        torch.manual_seed(int(seeds.generate_state(1, np.uint64)[0] >> 1))
        rate = self.schedule.rate(epoch + step / len(self.sampler))
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["lr_mult"]
        return rate, self.sampler.weight(step)

    def _nonfinite(self, step: Step) -> None:
        """Report the step and its videos; RunStoppedError if no more batches may be skipped."""
        epoch, first = self.began
        path_of = self.loader.dataset.records.path  # type: ignore[attr-defined]
        loss, norm = float(step.loss), float(step.norm)
        what = not_finite_in_words(epoch, first + step.number, step.indices, loss, norm, path_of)
        self.skipped += 1
        if self.skipped > self.pace.skip_nonfinite:
            raise RunStoppedError(
                f"{what}; {last_good(self.folder)}; try a lower --lr, or --skip_nonfinite to skip a few batches"
            )
        log.warning("%s; skipped (%d of %d)", what, self.skipped, self.pace.skip_nonfinite)

    def _global_step(self, progress: Progress) -> int:
        return progress.epoch * len(self.sampler) + progress.step

    def _save(self, progress: Progress, is_best: bool) -> None:
        """Save the run, in the first process; RunStoppedError if the checkpoint or a log cannot be written."""
        if not self.reporter.runlog:
            return
        broken = next(filter(None, map(first_not_finite, dict.fromkeys((self.model, self.ema.averaged)))), "")
        if broken:
            raise RunStoppedError(f"{broken} is no longer finite; {last_good(self.folder)}; try a lower --lr")
        if progress.step:
            self.reporter.own_bad_videos(progress.epoch)
        content = {
            "epoch": progress.epoch,
            "step": progress.step,
            "epoch_steps": len(self.sampler),
            "best_prec1": progress.best,
            "totals": self.running.meter.totals.tolist() if progress.step else [],
            "bad": self.reporter.bad if progress.step else 0,
            "tried": self.running.tried,
            "failed": self.running.failed,
            "skipped": self.skipped,
            "early_stopping": self.early_stopping.state(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "log_row": self.row,
            **self.ema.state(),
        }
        steps = self._global_step(progress)
        so_far = {self.pace.metric.best: progress.best, "epochs_done": progress.epoch, "steps_done": steps}
        meta = {**self.meta, "results": {**self.results, **so_far}}
        try:
            write = partial(write_checkpoint, model=self.ema.averaged, meta=meta, **content)
            self.saver.save(write, steps, is_best)
        except InputError as error:
            raise RunStoppedError(str(error)) from error
        if self.reporter.unlogged:
            raise RunStoppedError(
                f"{self.reporter.unlogged}; the run is saved nevertheless, and continues with --resume auto"
            )
