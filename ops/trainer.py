"""The epochs of one training run: train, validate, log, save."""

import itertools
import logging
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from ops import distributed
from ops.checkpoint import save_checkpoint
from ops.compute import Compute
from ops.datasets import Failure
from ops.engine import EpochResult, train_epoch, validate
from ops.errors import CHECK_ADVICE
from ops.loaders import TrainSampler
from ops.models import Recognizer
from ops.resume import BEST, LAST, Progress
from ops.runlog import RunLog
from ops.schedule import Schedule

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pace:
    """How a run goes on: `eval_freq` in epochs, `print_freq` in steps, an end after `max_steps` (None: never).

    A step computes its batch in `parts`, one after another.
    """

    seed: int
    eval_freq: int
    print_freq: int
    clip_gradient: float | None
    max_steps: int | None
    parts: int = 1


class Trainer:
    """One run: the model, its optimizer and schedule, the loaders, and the folder it is saved in.

    `loader`'s batch sampler is `sampler`; `runlog` is None in all processes but the first.
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
    ) -> None:
        self.model, self.optimizer, self.schedule = model, optimizer, schedule
        self.sampler, self.loader, self.loader_val = sampler, loader, loader_val
        self.pace, self.folder, self.meta, self.runlog, self.compute = pace, folder, meta, runlog, compute
        self.scaler = compute.scaler()
        parallel: nn.Module = model
        if distributed.world_size() > 1:
            device = compute.device
            parallel = DistributedDataParallel(model, [device] if device.type == "cuda" else None)
        self.parallel = compute.compiled(parallel)

    def fit(self, progress: Progress) -> Progress:
        """Train on from `progress`, to the last epoch or for `max_steps`; returns where it ended."""
        left = self.pace.max_steps or sys.maxsize
        while progress.epoch < self.schedule.epochs and left > 0:
            began, epoch = time.perf_counter(), progress.epoch
            steps = min(len(self.sampler) - progress.step, left)
            left -= steps
            trained = self._train(progress, steps)
            completed = progress.epoch
            due = not progress.step and completed % self.pace.eval_freq == 0
            validated = None
            if due or not left or completed == self.schedule.epochs:
                distributed.share_buffers(self.model)
                shown = distributed.is_main()
                validated = validate(self.model, self.loader_val, self.compute, len(self.loader_val), shown)
            row = {"epoch": epoch, "step": self._global_step(progress), **_figures(trained, validated)}
            last_step = (progress.step or len(self.sampler)) - 1
            row["lr"] = self.schedule.rate(epoch + last_step / len(self.sampler))
            bad = _bad_videos(trained, validated)
            row["bad_samples"] = len(bad)
            is_best = "val_top1" in row and (row["val_top1"] > progress.best or not (self.folder / BEST).exists())
            if is_best:
                progress.best = row["val_top1"]
            if self.runlog:
                self._save(progress, row, is_best)
                row |= {"best_top1": progress.best, "seconds": time.perf_counter() - began}
                self._write(self.runlog, row, bad)
        return progress

    def _train(self, progress: Progress, steps: int) -> EpochResult:
        """Train for `steps` of the epoch under way and move `progress` on."""
        epoch, first = progress.epoch, progress.step
        self.sampler.epoch, self.sampler.first_step, self.sampler.last_step = epoch, first, first + steps
        result = train_epoch(
            self.parallel,
            self.loader,
            self.optimizer,
            self.scaler,
            lambda step: self._start_step(epoch, first + step),
            self.compute,
            self.pace.parts,
            self.pace.clip_gradient,
            steps,
            self.pace.print_freq,
            f"epoch {epoch + 1}/{self.schedule.epochs}",
            distributed.is_main(),
        )
        progress.step += result.steps
        if progress.step == len(self.sampler):
            progress.epoch, progress.step = epoch + 1, 0
        return result

    def _start_step(self, epoch: int, step: int) -> float:
        """Random numbers and learning rate of one step depend on its place in the run alone."""
        place = epoch * len(self.sampler) + step
        seeds = np.random.SeedSequence([self.pace.seed, place, distributed.rank()])
        torch.manual_seed(int(seeds.generate_state(1, np.uint64)[0] >> 1))
        rate = self.schedule.rate(epoch + step / len(self.sampler))
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["lr_mult"]
        return rate

    def _global_step(self, progress: Progress) -> int:
        return progress.epoch * len(self.sampler) + progress.step

    def _save(self, progress: Progress, row: Mapping[str, Any], is_best: bool) -> None:
        results = {name: value for name, value in row.items() if name.startswith(("val_", "train_"))}
        for name in (LAST, BEST) if is_best else (LAST,):
            save_checkpoint(
                self.folder / name,
                self.model,
                {**self.meta, "results": results},
                epoch=progress.epoch,
                step=progress.step,
                best_prec1=progress.best,
                optimizer=self.optimizer.state_dict(),
                scaler=self.scaler.state_dict(),
            )

    def _write(self, runlog: RunLog, row: Mapping[str, Any], bad: list[tuple[str, Failure]]) -> None:
        runlog.epoch(row)
        runlog.bad_samples(row["epoch"], bad)
        text = (
            f"epoch {row['epoch'] + 1}/{self.schedule.epochs}: loss {row['train_loss']:.3f}, "
            f"top-1 {row['train_top1']:.1f} %"
        )
        if "val_top1" in row:
            text += f"; validation: loss {row['val_loss']:.3f}, top-1 {row['val_top1']:.1f} %, top-5 "
            text += f"{row['val_top5']:.1f} % (best {row['best_top1']:.1f} %)"
        log.info("%s; %.0f s", text, row["seconds"])
        for what, failure in bad[:5]:
            log.warning("%s %s: %s", failure.path, what, failure.reason)
        if bad:
            log.warning("%d such videos: see %s; %s", len(bad), runlog.folder / "bad_samples.csv", CHECK_ADVICE)


def _figures(trained: EpochResult, validated: EpochResult | None) -> dict[str, Any]:
    """The averages over all processes, as columns of the log."""
    row: dict[str, Any] = {f"train_{k}": v for k, v in trained.meter.merge().averages().items()}
    row |= {"data_seconds": trained.data_seconds, "compute_seconds": trained.compute_seconds}
    if validated:
        meter = validated.meter.merge()
        row |= {f"val_{k}": v for k, v in meter.averages().items()}
        failed = distributed.gather_objects(len(validated.failures))
        row |= {"val_scored": meter.count, "val_failed": sum(failed)}
    return row


def _bad_videos(trained: EpochResult, validated: EpochResult | None) -> list[tuple[str, Failure]]:
    """What went wrong in all processes: (what was done about it, which video and why)."""
    mine = [("was replaced in training", failure) for failure in trained.failures]
    mine += [("was cut short", failure) for failure in trained.warnings]
    if validated:
        mine += [("was left out of validation", failure) for failure in validated.failures]
        mine += [("was cut short", failure) for failure in validated.warnings]
    return list(itertools.chain.from_iterable(distributed.gather_objects(mine)))
