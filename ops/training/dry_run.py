"""A trial of a training (`--dry_run`): one batch is read and computed, and nothing is saved."""

import logging
import time

import torch

from ops.common import distributed
from ops.common.text import counted
from ops.data.dataloaders import workers_of
from ops.training.engine import EpochResult, resident_gib, train_epoch
from ops.training.metrics import Meter
from ops.training.resume import Progress
from ops.training.trainer import Trainer

log = logging.getLogger(__name__)


def dry_run(trainer: Trainer, progress: Progress) -> None:
    """Read the next batch of a run, compute it twice, and log its time, its memory and an estimate for the run.

    The first time includes work that is done only once, such as allocating memory, choosing algorithms and compiling,
    so the estimate uses the second. Errors that would stop a training are raised: RunStoppedError or InputError.
    """
    device, sampler, (epoch, step) = trainer.compute.device, trainer.sampler, (progress.epoch, progress.step)
    done = epoch * len(sampler) + step
    if epoch >= trainer.schedule.epochs:
        log.info("dry run: nothing is left to do, all of %s are done", counted(trainer.schedule.epochs, "epoch"))
        return
    sampler.epoch, sampler.first_step, sampler.last_step = epoch, step, step + 1
    began = time.perf_counter()
    with workers_of(trainer.loader):
        batch = next(iter(trainer.loader))
    marks = [time.perf_counter()]
    trainer.began = epoch, step

    def end_step(_: int) -> bool:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        marks.append(time.perf_counter())
        return True

    for _ in range(2):
        result = EpochResult(Meter(device))
        train_epoch(
            trainer.stepper, [batch], result, lambda _: trainer.start_step(epoch, step), end_step, 1.0, 1, 1, "", False,
            lambda *_: 0.0,
        )  # fmt: skip
    for failure in batch.failures:
        log.warning("%s: %s", failure.path, failure.reason)
    memory = torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else resident_gib()
    clips, loss = len(batch.labels) * distributed.world_size(), result.meter.averages()["loss"]
    log.info(
        "dry run: a batch of %s was read after %.3g s and computed in %.3g s (the first time in %.3g s); "
        "loss %.4f, peak memory %.2f GiB",
        counted(clips, "clip"), marks[0] - began, marks[2] - marks[1], marks[1] - marks[0], loss, memory,
    )  # fmt: skip
    trainer.eta.start(done)
    trainer.eta.seconds(marks[2] - marks[1], done)
    log.info("this holds if clips arrive in time; no step was saved and nothing was written")
