"""The loops: one training epoch, one validation, the scores of all views of a video."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ops.common.console import duration, progress, set_figures
from ops.common.device import Compute
from ops.common.errors import CHECK_ADVICE, InputError, RunStoppedError
from ops.common.text import counted
from ops.data.collate import ClipBatch
from ops.data.datasets import Failure
from ops.data.views import Views
from ops.training.mean_average_precision import Ranking
from ops.training.metrics import Meter
from ops.training.multi_label_loss import validation_loss
from ops.training.train_step import Step, Stepper, forward

ENOUGH = 100
"""Videos that must have been tried before the share of broken ones is meaningful."""

SHOWN_FIRST = ("loss", "data", "step", "mem", "left")
"""The figures that the progress bar of a training shows on a narrow terminal."""

NOT_FINITE = "its scores are not finite: weights of a run that blew up, or too large for --amp fp16"


@dataclass
class EpochResult:
    """The result of a pass over the data.

    `meter` holds loss and accuracy, `data_seconds` and `compute_seconds` the time spent waiting for clips and
    computing, `first_wait` the wait for the first clips, while loaders start; `failures` and `warnings` name
    the videos that were broken or cut short. `tried` and `failed` count the videos of the whole training so far,
    including earlier passes. `rankings` are the scores and targets of validated videos that may have several labels.
    """

    meter: Meter
    steps: int = 0
    first_wait: float = 0.0
    data_seconds: float = 0.0
    compute_seconds: float = 0.0
    failures: list[Failure] = field(default_factory=list)
    warnings: list[Failure] = field(default_factory=list)
    tried: int = 0
    failed: int = 0
    rankings: list[Ranking] = field(default_factory=list)

    @property
    def step_seconds(self) -> float | None:
        """Seconds from one step to the next, waiting for clips included; None before the second step."""
        whole = self.steps - 1  # intervals between steps; the wait for the first batch is not typical
        return (self.data_seconds - self.first_wait + self.compute_seconds) / whole if whole > 0 else None

    def count(self, steps: Iterable[Step]) -> None:
        """Add the loss and the scores of the `steps` that were taken, except those whose clips have no weight."""
        for step in steps:
            if step.weight:
                self.meter.add(step.scores, step.labels, step.loss)

    def timed(self, batches: Iterable[ClipBatch]) -> Iterable[ClipBatch]:
        """Iterate over `batches`, and record their number, their failures, and the time spent waiting and computing."""
        mark = time.perf_counter()
        for batch in batches:
            arrived = time.perf_counter()
            self.data_seconds += arrived - mark
            self.first_wait = self.first_wait or arrived - mark
            self.failures += batch.failures
            self.warnings += batch.warnings
            self.tried += batch.asked + len(batch.failures)
            self.failed += len(batch.failures)
            self.steps += 1
            yield batch
            mark = time.perf_counter()
            self.compute_seconds += mark - arrived


def train_epoch(
    stepper: Stepper,
    batches: Iterable[ClipBatch],
    result: EpochResult,
    start_step: Callable[[int], tuple[float, float]],
    end_step: Callable[[int], bool],
    max_bad_fraction: float,
    steps: int,
    print_freq: int,
    title: str,
    shown: bool,
    seconds_left: Callable[[float, int], float],
) -> None:
    """Train on `batches`, `steps` of them, adding to `result`.

    `start_step(n)` prepares step n of the epoch (random numbers, learning rate) and returns the base rate and the
    weight of this process's clips, which is 0 for one that only repeats a clip of another process;
    `end_step(n)` is called after it and says whether to go on. The bar is refreshed every
    `print_freq` steps: reading the averages waits for the device. `seconds_left(s, n)` is how long the training still
    takes at `s` seconds per step, after n steps of this epoch. RunStoppedError if more than
    `max_bad_fraction` of the videos tried in the whole training are broken, once `ENOUGH` were, or if nothing can
    be read.
    """
    stepper.model.train()
    device = stepper.compute.device
    with progress(None, steps, title, "step", shown) as bar:
        for batch in result.timed(batches):
            if len(batch.labels) < batch.asked:
                raise InputError(_hopeless(batch))
            if result.tried >= ENOUGH and result.failed > max_bad_fraction * result.tried:
                raise RunStoppedError(_too_many(result, max_bad_fraction), result.failures)
            number = result.steps - 1
            rate, weight = start_step(number)
            result.count(stepper(batch, weight, number))
            if result.steps % print_freq == 0 or result.steps == steps:
                result.count(stepper.settle())
                set_figures(bar, _figures(result, rate, device, seconds_left), SHOWN_FIRST)
            bar.update()
            if not end_step(number):
                break
        result.count(stepper.settle())


@torch.inference_mode()
def validate(
    model: nn.Module,
    batches: Iterable[ClipBatch],
    compute: Compute,
    steps: int,
    shown: bool,
    path_of: Callable[[int], str],
    going: Callable[[], bool] = lambda: True,
) -> EpochResult:
    """Loss and accuracy of one clip per video, as long as it is `going`.

    Videos that cannot be read, or whose scores are not finite, are left out and named (`path_of` an index in the list).
    """
    model.eval()
    result = EpochResult(Meter(compute.device))
    waiting: list[tuple[ClipBatch, Tensor]] = []
    with progress(None, steps, "validating", "batch", shown) as bar:
        for batch in result.timed(batches):
            if len(batch.labels):
                waiting.append((batch, forward(model, batch.pixels, compute)))
            if len(waiting) > 1:  # reading scores waits for the device, which can work on the next batch meanwhile
                _count(result, *waiting.pop(0), compute, path_of)
            bar.update()
            if not going():
                break
    for batch, scores in waiting:
        _count(result, batch, scores, compute, path_of)
    return result


def _count(
    result: EpochResult, batch: ClipBatch, scores: Tensor, compute: Compute, path_of: Callable[[int], str]
) -> None:
    """Add the `scores` `[N, K]` of a validation batch to the `result`, except those that are not finite."""
    labels, finite = compute.bring(batch.labels), scores.isfinite().all(dim=1)
    if not finite.all():
        places = [index for index, good in zip(batch.indices, finite.tolist(), strict=True) if not good]
        result.failures += [Failure(index, path_of(index), NOT_FINITE) for index in places]
        scores, labels = scores[finite], labels[finite]
    if len(labels):
        result.meter.add(scores, labels, validation_loss(scores, labels))
        if labels.ndim == 2:
            result.rankings.append((scores.cpu().numpy(), labels.cpu().numpy() > 0))


@torch.inference_mode()
def score_views(
    model: nn.Module,
    views: Views,
    clips: Tensor,
    partners: NDArray[np.int64],
    views_per_forward: int,
    compute: Compute,
    multi_label: bool = False,
) -> Tensor:
    """The mean logits `[K]` of a video over its crops and clips, float32 on the CPU; `multi_label`: of their sigmoid.

    `clips [V, T, L]` are this model's indices into the frames of `views`. Views go through the model in chunks of
    `views_per_forward` that never mix videos, so scores do not depend on how videos are batched or shared among
    processes. The scores of a mirrored crop are reordered to the classes of the unmirrored video (`partners [K]`).
    """
    model.eval()
    partners = np.where(partners < 0, np.arange(len(partners)), partners)
    views, clips = views.on(compute.device), compute.bring(clips)
    each = [(crop, v) for crop in range(views.crops) for v in range(len(clips))]
    chunks = []
    for start in range(0, len(each), views_per_forward):
        pixels = torch.stack([views.clip(crop, clips[v]) for crop, v in each[start : start + views_per_forward]])
        scores = forward(model, pixels, compute)  # [n, T, L·C, H, W] → [n, K]
        chunks.append(sigmoid(scores) if multi_label else scores)
    total = torch.zeros(len(partners), dtype=torch.float64)
    # Reading waits for the device: it is done once per video, when all of its chunks have been queued.
    for (crop, _), score in zip(each, torch.cat(chunks).cpu().double(), strict=True):
        total += score[partners] if views.plan.mirrored[crop] else score
    return (total / len(each)).float()


def sigmoid(logits: Tensor) -> Tensor:
    """The sigmoid of each logit; NaN for logits that are not finite, so that a diverged run is noticed."""
    return logits.sigmoid().masked_fill(~logits.isfinite(), float("nan"))


def _figures(
    result: EpochResult, rate: float, device: torch.device, seconds_left: Callable[[float, int], float]
) -> dict[str, str]:
    """The figures of the progress bar, averages over the epoch; times are per step, `left` is for all the training."""
    averages = result.meter.averages()
    cuda = device.type == "cuda"
    shown = {
        "loss": f"{averages['loss']:.3f}",
        "top1": f"{averages['top1']:.1f}",
        "lr": f"{rate:.2g}",
        "data": _seconds(result.data_seconds / result.steps),
        "step": _seconds(result.compute_seconds / max(result.steps - 1, 1)),
        "mem": f"{torch.cuda.max_memory_allocated(device) / 2**30 if cuda else resident_gib():.1f}G",
    }
    if result.step_seconds is not None:
        shown["left"] = duration(seconds_left(result.step_seconds, result.steps))
    return shown


def _seconds(value: float) -> str:
    """`0.05s`, `12.3s`, `123s`: seconds, in at most five characters below 10,000."""
    return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f}s"


def resident_gib() -> float:
    """Peak memory of this process, in GiB."""
    try:
        import resource
    except ImportError:  # not on Windows
        return float("nan")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _hopeless(batch: ClipBatch) -> str:
    failed = batch.failures[0]
    return (
        f"{failed.path}: {failed.reason}; and so many others in its place that training cannot go on "
        f"({len(batch.failures)} failures in one batch): check --root_path and the list; {CHECK_ADVICE}"
    )


def _too_many(result: EpochResult, fraction: float) -> str:
    first = result.failures[0] if result.failures else None  # a resumed run may have had them before
    named = f"the first is {first.path}: {first.reason}; " if first else ""
    return (
        f"{result.failed} of {counted(result.tried, 'video')} cannot be read, more than "
        f"--max_bad_fraction {fraction:g}; {named}{CHECK_ADVICE}"
    )
