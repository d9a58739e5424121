"""One step of a training: loss and gradients of a batch, and the optimizer."""

import contextlib
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ops.common import distributed
from ops.common.device import Compute
from ops.common.errors import RunStoppedError
from ops.data.collate import ClipBatch
from ops.training.loss import PLAIN, ClassificationLoss
from ops.training.mixup import NO_MIXING, Mixing, partners

SMALLEST_SCALE = 2.0**-16
"""Of the loss in fp16, reached after 32 steps without a finite gradient: no smaller one will help."""


@dataclass(frozen=True)
class Stepper:
    """Takes the steps of a training.

    A batch goes through the model in `parts`, whose gradients are added up: less memory, the same step but for batch
    norms. `clip_gradient` bounds the norm of all gradients together. Where the loss or a gradient is not finite in any
    process, no step is taken in any of them: `on_nonfinite(batch, loss, norm)` is called, and if it returns the batch
    is passed over, which needs `restorable` statistics of batch norms. Steps that `scaler` leaves out to find the scale
    of fp16 do not count as such; RunStoppedError where it finds none. `observe(loss, norm)` gets the mean loss of this
    process's clips and the norm of all gradients before clipping, scalars on the device, of every batch.
    """

    model: nn.Module
    optimizer: Optimizer
    scaler: torch.amp.GradScaler
    compute: Compute
    on_nonfinite: Callable[[ClipBatch, float, float], None]
    clip_gradient: float | None = None
    parts: int = 1
    restorable: bool = False
    loss: ClassificationLoss = PLAIN
    mixing: Mixing = NO_MIXING
    observe: Callable[[Tensor, Tensor], None] | None = None

    def __call__(self, batch: ClipBatch, weight: float = 1.0) -> tuple[Tensor, Tensor, Tensor] | None:
        """Take a step; scores `[N, K]`, labels `[N]` and mean loss, or None where it was not taken.

        With `mixing`, the labels are those of the larger share of each clip.
        `weight` is the factor on the gradients of this process's clips, see `TrainSampler.weight`.
        """
        before = [buffer.clone() for buffer in self.model.buffers()] if self.restorable else []
        self.optimizer.zero_grad(set_to_none=True)
        scores, labels, loss = accumulate(
            self.model, batch, self.scaler, self.compute, self.parts, weight, self.loss, self.mixing
        )
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_gradient or math.inf)
        if self.observe:
            self.observe(loss, norm)
        bad = ~loss.isfinite() if self.scaler.is_enabled() else ~(loss.isfinite() & norm.isfinite())
        if distributed.any_rank(bad):
            self.on_nonfinite(batch, float(loss), float(norm))
            for buffer, old in zip(self.model.buffers(), before, strict=False):
                buffer.copy_(old)
            return None
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.scaler.is_enabled() and self.scaler.get_scale() < SMALLEST_SCALE:
            raise RunStoppedError(
                "--amp fp16: the gradients are not finite, however small the loss is scaled, so no step is taken any "
                "more; take --amp bf16 or off, or a lower --lr; --resume auto goes on from the last checkpoint"
            )
        return scores, labels, loss


def accumulate(
    model: nn.Module,
    batch: ClipBatch,
    scaler: torch.amp.GradScaler,
    compute: Compute,
    parts: int,
    weight: float = 1.0,
    loss_of: ClassificationLoss = PLAIN,
    mixing: Mixing = NO_MIXING,
) -> tuple[Tensor, Tensor, Tensor]:
    """Add the gradients of a batch, in `parts`, to those of the model; scores `[N, K]`, labels `[N]`, mean loss.

    The gradients, but not the loss, are multiplied by `weight`. A batch of fewer clips than `parts` has one clip in
    each part. Processes that share the gradients wait for each other only after the last part.
    """
    labels, pixels = compute.bring(batch.labels), batch.pixels
    mix, others, other_labels = None, pixels, labels
    if mixing:
        mix, pixels = mixing.draw(*pixels.shape[-2:]), compute.bring(pixels)
        others, other_labels = partners(pixels), partners(labels)
    parts = min(parts, len(labels))
    scores, loss = [], torch.zeros((), device=compute.device)
    pieces = zip(*(tensor.tensor_split(parts) for tensor in (pixels, labels, others, other_labels)), strict=True)
    for number, (own, wanted, other, also) in enumerate(pieces, 1):
        with contextlib.nullcontext() if number == parts else _no_sync(model):
            part = forward(model, mix.pixels(own, other) if mix else own, compute)
            total = mix.loss(loss_of, part, wanted, also) if mix else loss_of.sum(part, wanted)
            share = total / len(labels)
            scaler.scale(share if weight == 1 else share * weight).backward()  # type: ignore[no-untyped-call]
        scores.append(part.detach())
        loss += share.detach()
    return torch.cat(scores), mix.heavier(labels, other_labels) if mix else labels, loss


def forward(model: nn.Module, pixels: Tensor, compute: Compute) -> Tensor:
    """Scores `[N, K]`, float32, of clips `[N, T, C, H, W]`."""
    pixels = compute.bring(pixels)  # still uint8: a quarter of the bytes
    with compute.autocast():
        scores: Tensor = model(pixels)
    return scores.float()


def _no_sync(model: nn.Module) -> AbstractContextManager[None]:
    no_sync: Callable[[], AbstractContextManager[None]] = getattr(model, "no_sync", contextlib.nullcontext)
    return no_sync()
