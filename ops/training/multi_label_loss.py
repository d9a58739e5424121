"""The loss of training with several labels per clip: sigmoid and binary cross-entropy."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ops.data.multi_label_lists import LabelSets
from ops.training.loss import ClassificationLoss


@dataclass(frozen=True)
class MultiLabelLoss(ClassificationLoss):
    """Binary cross-entropy of the sigmoid of each score: the mean over the classes of a clip.

    With `label_smoothing` s, targets are (1 - s) · target + s / K, as in MMAction2 and timm. `weights [2, K]` are
    factors on the parts of the loss for absent and for present classes.
    """

    def sum(self, scores: Tensor, labels: Tensor) -> Tensor:
        """The sum of the losses of `scores [N, K]` for the targets `labels [N, K]`, which are in [0, 1]."""
        classes = scores.shape[1]
        if self.label_smoothing:
            labels = labels * (1 - self.label_smoothing) + self.label_smoothing / classes
        if self.weights is None:
            return F.binary_cross_entropy_with_logits(scores, labels, reduction="sum") / classes
        absent, present = self.weights.to(scores.device)
        losses = present * labels * F.logsigmoid(scores) + absent * (1 - labels) * F.logsigmoid(-scores)
        total: Tensor = -losses.sum() / classes
        return total


def validation_loss(scores: Tensor, labels: Tensor) -> Tensor:
    """The mean loss of a validation batch: cross-entropy for `labels [N]`, binary cross-entropy for `[N, K]`."""
    if labels.ndim == 1:
        return F.cross_entropy(scores, labels)
    return F.binary_cross_entropy_with_logits(scores, labels)


def balanced_target_weights(labels: LabelSets, num_classes: int) -> Tensor:
    """Weights that give clips with and without a class the same total in its loss, float32 `[2, K]`: absent, present.

    A class that n of the N clips have gets N / (2 · (N - n)) and N / (2 · n), as scikit-learn's "balanced" does for two
    classes: the mean over all clips is 1. A class that no clip has, or that all have, keeps the weight 1.
    """
    present = torch.from_numpy(labels.targets(num_classes).sum(axis=0))
    counts = torch.stack([len(labels.known) - present, present]).double()
    weights = len(labels.known) / (2 * counts.clamp(min=1))
    return torch.where((counts > 0).all(dim=0), weights, torch.ones(())).float()
