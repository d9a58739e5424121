"""Mixup and CutMix: clips of a batch mixed with each other, and their labels in the same proportion.

`torchvision.transforms.v2.MixUp` fails on uint8 pixels and `CutMix` needs videos as `tv_tensors`; both turn labels into
probabilities, which training accuracy and the parts of `--accumulate` cannot use. The formulas here are the same.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ops.data.transforms import Box
from ops.training.loss import ClassificationLoss


@dataclass(frozen=True)
class Mix:
    """How the clips of one step are mixed: `share` of each clip remains, the rest is that of its partner.

    In a `box`, the partner's pixels replace those of the clip, in all frames (CutMix); without one, all are averaged.
    """

    share: float
    box: Box | None = None

    def pixels(self, own: Tensor, others: Tensor) -> Tensor:
        """Clips `own` mixed with their partners `others`, both uint8 `[N, T, C, H, W]`, as uint8."""
        if self.box is None:
            return torch.lerp(others.float(), own.float(), self.share).round_().to(own.dtype)
        mixed = own.clone()
        self.box.cut(mixed).copy_(self.box.cut(others))
        return mixed

    def loss(self, loss: ClassificationLoss, scores: Tensor, own: Tensor, others: Tensor) -> Tensor:
        """The sum of the losses of `scores [N, K]` for mixed labels; `own` and `others` are `[N]`.

        Cross-entropy is linear in the target, also with label smoothing and class weights, so this is the loss of
        the mixed targets.
        """
        return self.share * loss.sum(scores, own) + (1 - self.share) * loss.sum(scores, others)

    def heavier(self, own: Tensor, others: Tensor) -> Tensor:
        """The labels `[N]` of the larger share, by which training accuracy is measured."""
        return own if self.share >= 0.5 else others


@dataclass(frozen=True)
class Mixing:
    """Which of the two are used, with the parameters of their Beta distributions; if both, each step draws one."""

    mixup: float | None = None
    cutmix: float | None = None

    def __bool__(self) -> bool:
        return self.mixup is not None or self.cutmix is not None

    def draw(self, height: int, width: int) -> Mix:
        """The mix of a step of clips of `height x width` pixels, from PyTorch's random numbers, which a step seeds."""
        rng = np.random.default_rng(int(torch.randint(2**62, ())))
        alphas = [(alpha, cut) for alpha, cut in ((self.mixup, False), (self.cutmix, True)) if alpha is not None]
        alpha, cut = alphas[rng.integers(len(alphas))]
        share = float(rng.beta(alpha, alpha))
        if not cut:
            return Mix(share)
        y, x = int(rng.integers(height)), int(rng.integers(width))
        half = 0.5 * float(np.sqrt(1 - share))
        half_h, half_w = int(half * height), int(half * width)
        top, left = max(y - half_h, 0), max(x - half_w, 0)
        box = Box(top, left, min(y + half_h, height) - top, min(x + half_w, width) - left)
        return Mix(1 - box.height * box.width / (height * width), box)


NO_MIXING = Mixing()


def partners(batch: Tensor) -> Tensor:
    """For each item of `batch [N, ...]` the one before it (for the first, the last), in the same memory format."""
    if batch.ndim < 5:
        return batch.roll(1, 0)
    return batch.movedim(-3, -1).roll(1, 0).movedim(-1, -3)
