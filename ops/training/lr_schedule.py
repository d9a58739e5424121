"""The learning rate over a run, as a pure function of the time in epochs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """The base rate of a run and its schedule; `rate(epoch)` is the rate at a time in epochs."""

    lr: float
    epochs: int
    lr_type: str = "step"
    lr_steps: tuple[float, ...] = ()
    warmup_epochs: float = 0.0

    def rate(self, epoch: float) -> float:
        """The rate at `epoch` (2.5: halfway through the third)."""
        return self.lr * lr_factor(epoch, self.epochs, self.lr_type, self.lr_steps, self.warmup_epochs)


def lr_factor(
    epoch: float,
    epochs: int,
    lr_type: str = "step",
    lr_steps: Sequence[float] = (),
    warmup_epochs: float = 0.0,
) -> float:
    """The factor on the base rate at `epoch`.

    "step" divides by ten at each of `lr_steps`, as published. "cos" is half a cosine that reaches zero at `epochs`,
    updated every step (in the published code every epoch). Over the first `warmup_epochs` the rate rises linearly from
    a hundredth.
    """
    if lr_type == "step":
        factor = 0.1 ** sum(epoch >= step for step in lr_steps)
    elif lr_type == "cos":
        span = max(epochs - warmup_epochs, 1e-9)
        passed = min(max((epoch - warmup_epochs) / span, 0.0), 1.0)
        factor = 0.5 * (1.0 + math.cos(math.pi * passed))
    else:
        raise ValueError(f"lr_type ({lr_type}) must be step or cos")
    if epoch < warmup_epochs:
        factor *= 0.01 + 0.99 * epoch / warmup_epochs
    return factor
