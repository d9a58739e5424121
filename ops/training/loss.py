"""The loss of training: cross-entropy, with label smoothing and weights of classes."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class ClassificationLoss:
    """Cross-entropy; `torch.nn.functional.cross_entropy` defines `label_smoothing` and the class weights `weights [K]`.

    The mean is over clips, not over their weights as in PyTorch, so that a step does not depend on how its clips are
    divided among processes and parts, and weights also affect a batch of a single clip.
    """

    label_smoothing: float = 0.0
    weights: Tensor | None = None

    def sum(self, scores: Tensor, labels: Tensor) -> Tensor:
        """The sum of the losses of `scores [N, K]` for `labels [N]`."""
        weights = self.weights.to(scores.device) if self.weights is not None else None
        return F.cross_entropy(scores, labels, weights, reduction="sum", label_smoothing=self.label_smoothing)


PLAIN = ClassificationLoss()
"""Cross-entropy alone, as published."""


def balanced_weights(labels: NDArray[np.int32], num_classes: int) -> Tensor:
    """Weights of classes that are inverse to their frequencies in `labels [N]`, float32 `[K]`.

    If K classes have clips, a class with n of the N clips gets N / (K · n), as in scikit-learn's "balanced": the
    mean over all clips is 1. Classes without clips get 0.
    """
    counts = np.bincount(labels, minlength=num_classes)
    weights = len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1)) * (counts > 0)
    return torch.from_numpy(weights).float()
