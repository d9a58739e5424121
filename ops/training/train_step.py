"""One step of a training: loss and gradients of a batch, and the optimizer."""

import contextlib
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ops.common import distributed
from ops.common.async_flags import AsyncFlags
from ops.common.device import Compute
from ops.common.errors import RunStoppedError
from ops.data.collate import ClipBatch
from ops.training.loss import PLAIN, ClassificationLoss
from ops.training.mixup import NO_MIXING, Mixing, partners

SMALLEST_SCALE = 2.0**-16
"""Smallest scale of the loss in fp16, reached after 32 steps without a finite gradient; a smaller one cannot help."""

HOPELESS = (
    "--amp fp16: the gradients are not finite, however small the loss is scaled, so no step is taken any "
    "more; take --amp bf16 or off, or a lower --lr; --resume auto goes on from the last checkpoint"
)


@dataclass(frozen=True)
class Step:
    """A step: its `number` in the pass, its clips, and its results.

    `indices` are those of the clips in the list, `weight` the factor on their gradients, `scores` `[N, K]`,
    `labels` `[N]` (with mixing, that of the larger share of each clip), `loss` the mean loss and `norm` the norm of
    the gradients.
    """

    number: int
    indices: Sequence[int]
    weight: float
    scores: Tensor
    labels: Tensor
    loss: Tensor
    norm: Tensor


@dataclass(frozen=True)
class Stepper:
    """Takes the steps of a training.

    A batch goes through the model in `parts`, whose gradients are added up: this takes less memory and gives the same
    step, except for batch norms. `clip_gradient` limits the norm of all gradients together. If the loss or a gradient
    is not finite in any process, none of them takes the step: `on_nonfinite(step)` is called and, if it returns, the
    batch is skipped, which needs `restorable` statistics of batch norms. Steps that `scaler` skips while it looks for
    the scale of fp16 do not count as such; RunStoppedError if it finds none. For every batch, `observe(loss, norm)`
    gets the mean loss of this process's clips and the norm of all gradients before clipping, scalars on the device.

    With `deferred`, which needs a fused optimizer, the device itself skips such a step, and the host is told after it
    has started the next step: neither waits for the other.
    """

    model: nn.Module
    optimizer: Optimizer
    scaler: torch.amp.GradScaler
    compute: Compute
    on_nonfinite: Callable[[Step], None]
    clip_gradient: float | None = None
    parts: int = 1
    restorable: bool = False
    loss: ClassificationLoss = PLAIN
    mixing: Mixing = NO_MIXING
    deferred: bool = False
    observe: Callable[[Tensor, Tensor], None] | None = None
    unsettled: deque[Step] = field(default_factory=deque, init=False)
    """Steps that the host does not yet know to have been taken, oldest first."""

    @cached_property
    def _flags(self) -> AsyncFlags:
        """Two flags for each of `unsettled`: whether it was not finite, and whether the scale of fp16 is too small."""
        return AsyncFlags(self.compute.device, flags=2)

    def __call__(self, batch: ClipBatch, weight: float = 1.0, number: int = 0) -> list[Step]:
        """Take step `number`; returns the steps that are now confirmed as taken, see `settle`.

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
        bad = distributed.any_rank(bad)
        if self.deferred:
            with skipped_where(bad, self.optimizer):
                self.scaler.step(self.optimizer)
            for buffer, old in zip(self.model.buffers(), before, strict=False):
                buffer.copy_(torch.where(bad, old, buffer))
        elif not bad:
            self.scaler.step(self.optimizer)
        else:
            for buffer, old in zip(self.model.buffers(), before, strict=False):
                buffer.copy_(old)
        self.scaler.update()
        self._flags.put(torch.stack([bad, self._is_hopeless(bad)]))
        self.unsettled.append(Step(number, batch.indices, weight, scores, labels, loss, norm))
        return self.settle(leave=int(self.deferred))

    def settle(self, leave: int = 0, report: bool = True) -> list[Step]:
        """Check which steps were taken, except the last `leave` ones; returns those that were.

        For a step that was not taken, `on_nonfinite` is called or RunStoppedError raised, so all processes must call
        this at the same point. Without `report` it stops before such a step, and a single process may call it.
        """
        taken = []
        while len(self.unsettled) > leave:
            bad, hopeless = self._flags.first()
            if (bad or hopeless) and not report:
                break
            self._flags.pop()
            step = self.unsettled.popleft()
            if bad:
                self.on_nonfinite(step)
            elif hopeless:
                raise RunStoppedError(HOPELESS)
            else:
                taken.append(step)
        return taken

    def _is_hopeless(self, like: Tensor) -> Tensor:
        """Whether the scale of fp16 has become too small for any step to be taken: a flag on the device of `like`."""
        if not self.scaler.is_enabled():
            return torch.zeros_like(like)
        scale: Tensor = self.scaler.scale(torch.ones_like(like, dtype=torch.float32))
        return scale < SMALLEST_SCALE


@contextlib.contextmanager
def skipped_where(flag: Tensor, optimizer: Optimizer) -> Iterator[None]:
    """Within the context, a step of a fused `optimizer` changes nothing if `flag`, on its device, is true.

    Steps that a `GradScaler` skips are still skipped: both use `found_inf`, which fused optimizers read on the
    device.
    """

    def add(optimizer: Optimizer, *_: object) -> None:
        found = getattr(optimizer, "found_inf", None)
        optimizer.found_inf = flag.float() if found is None else torch.maximum(found, flag.float())  # type: ignore[attr-defined]

    hook = optimizer.register_step_pre_hook(add)
    try:
        yield
    finally:
        hook.remove()
        vars(optimizer).pop("found_inf", None)  # a scaler may have removed it


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
