"""The loops: one training epoch, one validation, the scores of all views of a video."""

import contextlib
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from ops.compute import Compute
from ops.console import progress
from ops.datasets import ClipBatch, Failure, Views
from ops.errors import CHECK_ADVICE, InputError
from ops.metrics import Meter


@dataclass
class EpochResult:
    """What a pass over the data gave.

    `meter` holds loss and accuracy, `data_seconds` and `compute_seconds` the time spent waiting for clips and
    working on them; `failures` and `warnings` name the videos that were broken or cut short.
    """

    meter: Meter
    steps: int = 0
    data_seconds: float = 0.0
    compute_seconds: float = 0.0
    failures: list[Failure] = field(default_factory=list)
    warnings: list[Failure] = field(default_factory=list)

    def timed(self, batches: Iterable[ClipBatch]) -> Iterable[ClipBatch]:
        """Iterate over `batches`, counting them, keeping what failed and dividing up the time."""
        mark = time.perf_counter()
        for batch in batches:
            arrived = time.perf_counter()
            self.data_seconds += arrived - mark
            self.failures += batch.failures
            self.warnings += batch.warnings
            self.steps += 1
            yield batch
            mark = time.perf_counter()
            self.compute_seconds += mark - arrived


def train_epoch(
    model: nn.Module,
    batches: Iterable[ClipBatch],
    optimizer: Optimizer,
    scaler: torch.amp.GradScaler,
    start_step: Callable[[int], float],
    compute: Compute,
    parts: int,
    clip_gradient: float | None,
    steps: int,
    print_freq: int,
    title: str,
    shown: bool,
) -> EpochResult:
    """Train on `batches`, of which there are `steps`.

    `start_step(n)` prepares step n of the epoch (random numbers, learning rate) and returns the base rate. A batch goes
    through the model in `parts`, whose gradients are added up: less memory, the same step but for batch norms.
    `clip_gradient` bounds the norm of all gradients together. The bar is refreshed every `print_freq` steps:
    reading the averages waits for the device.
    """
    model.train()
    result = EpochResult(Meter(compute.device))
    with progress(None, steps, title, "step", shown) as bar:
        for batch in result.timed(batches):
            if len(batch.labels) < batch.asked:
                raise InputError(_hopeless(batch))
            rate = start_step(result.steps - 1)
            optimizer.zero_grad(set_to_none=True)
            scores, labels, loss = accumulate(model, batch, scaler, compute, parts)
            if clip_gradient:
                scaler.unscale_(optimizer)
                nn.utils.clip_grad_norm_(model.parameters(), clip_gradient)
            scaler.step(optimizer)
            scaler.update()
            result.meter.add(scores, labels, loss)
            if result.steps % print_freq == 0 or result.steps == steps:
                bar.set_postfix(_postfix(result, rate, compute.device), refresh=False)
            bar.update()
    return result


@torch.inference_mode()
def validate(model: nn.Module, batches: Iterable[ClipBatch], compute: Compute, steps: int, shown: bool) -> EpochResult:
    """Loss and accuracy of one clip per video. Videos that cannot be read are left out, and named."""
    model.eval()
    result = EpochResult(Meter(compute.device))
    with progress(None, steps, "validating", "batch", shown) as bar:
        for batch in result.timed(batches):
            if len(batch.labels):
                scores = forward(model, batch.pixels, compute)
                labels = compute.bring(batch.labels)
                result.meter.add(scores, labels, F.cross_entropy(scores, labels))
            bar.update()
    return result


def accumulate(
    model: nn.Module, batch: ClipBatch, scaler: torch.amp.GradScaler, compute: Compute, parts: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Add the gradients of a batch, in `parts`, to those of the model; scores `[N, K]`, labels `[N]`, mean loss.

    Processes that share the gradients wait for each other only after the last part.
    """
    labels = compute.bring(batch.labels)
    scores, loss = [], torch.zeros((), device=compute.device)
    pieces = list(zip(batch.pixels.tensor_split(parts), labels.tensor_split(parts), strict=True))
    for number, (pixels, wanted) in enumerate(pieces, 1):
        with contextlib.nullcontext() if number == parts else _no_sync(model):
            part = forward(model, pixels, compute)
            share = F.cross_entropy(part, wanted, reduction="sum") / len(labels)
            scaler.scale(share).backward()  # type: ignore[no-untyped-call]
        scores.append(part.detach())
        loss += share.detach()
    return torch.cat(scores), labels, loss


def forward(model: nn.Module, pixels: Tensor, compute: Compute) -> Tensor:
    """Scores `[N, K]`, float32, of clips `[N, T, C, H, W]`."""
    pixels = compute.bring(pixels)  # still uint8: a quarter of the bytes
    with compute.autocast():
        scores: Tensor = model(pixels)
    return scores.float()


def _no_sync(model: nn.Module) -> AbstractContextManager[None]:
    no_sync: Callable[[], AbstractContextManager[None]] = getattr(model, "no_sync", contextlib.nullcontext)
    return no_sync()


@torch.inference_mode()
def score_views(
    model: nn.Module,
    views: Views,
    clips: Tensor,
    partners: NDArray[np.int64],
    views_per_forward: int,
    compute: Compute,
) -> Tensor:
    """The mean logits `[K]` of a video over its crops and clips, float32 on the CPU.

    `clips [V, T, L]` are this model's places in the frames of `views`. Views go through the model in chunks of
    `views_per_forward` that never mix videos, so scores do not depend on how videos are batched or shared among
    processes. The scores of a mirrored crop are brought back to the classes as seen unmirrored (`partners [K]`).
    """
    model.eval()
    partners = np.where(partners < 0, np.arange(len(partners)), partners)
    views, clips = views.on(compute.device), compute.bring(clips)
    each = [(crop, v) for crop in range(views.crops) for v in range(len(clips))]
    total = torch.zeros(len(partners), dtype=torch.float64)
    for start in range(0, len(each), views_per_forward):
        chunk = each[start : start + views_per_forward]
        pixels = torch.stack([views.clip(crop, clips[v]) for crop, v in chunk])  # [n, T, L·C, H, W]
        scores = forward(model, pixels, compute).double().cpu()  # [n, K]
        for (crop, _), score in zip(chunk, scores, strict=True):
            total += score[partners] if views.plan.mirrored[crop] else score
    return (total / len(each)).float()


def _postfix(result: EpochResult, rate: float, device: torch.device) -> dict[str, str]:
    """What the bar says, as running averages of the epoch: times are per step."""
    averages = result.meter.averages()
    shown = {
        "loss": f"{averages['loss']:.3f}",
        "top1": f"{averages['top1']:.1f}",
        "lr": f"{rate:.2g}",
        "data": f"{result.data_seconds / result.steps:.2f}s",
        "step": f"{result.compute_seconds / max(result.steps - 1, 1):.2f}s",
    }
    if device.type == "cuda":
        shown["mem"] = f"{torch.cuda.max_memory_allocated(device) / 2**30:.1f}GiB"
    else:
        shown["mem"] = f"{_resident_gib():.1f}GiB"
    return shown


def _resident_gib() -> float:
    """Peak memory of this process."""
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
