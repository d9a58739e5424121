"""The loss agrees with its formula, no matter how a batch is divided into parts."""

import numpy as np
import pytest
import torch
from torch import nn

from ops.common.device import Compute
from ops.data.collate import ClipBatch
from ops.training.loss import PLAIN, ClassificationLoss, balanced_weights
from ops.training.train_step import accumulate

CPU = Compute(torch.device("cpu"))
LABELS = torch.tensor([0, 2, 2, 1, 2])
WEIGHTS = torch.tensor([0.5, 2.0, 1.0])


@pytest.mark.parametrize("parts", [1, 2, 5, 9])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_the_loss_is_a_mean_over_clips(parts: int, smoothing: float, weights: torch.Tensor | None) -> None:
    scores = torch.randn(5, 3, dtype=torch.float64)
    weight = torch.ones(3) if weights is None else weights
    target = nn.functional.one_hot(LABELS, 3) * (1 - smoothing) + smoothing / 3
    expected = -(target * weight * scores.log_softmax(1)).sum(1).mean()
    model = nn.Linear(3, 3, bias=False).double()
    nn.init.eye_(model.weight)
    batch = ClipBatch(scores, LABELS, list(range(5)), 5)
    loss = ClassificationLoss(smoothing, weights)
    found = accumulate(model, batch, CPU.scaler(), CPU, parts, 1.0, loss)[2]
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    half = nn.Linear(3, 3, bias=False).double()
    nn.init.eye_(half.weight)
    accumulate(half, batch, CPU.scaler(), CPU, parts, 0.5, loss)
    assert model.weight.grad is not None and half.weight.grad is not None
    torch.testing.assert_close(half.weight.grad, model.weight.grad / 2)


def test_the_published_loss_is_cross_entropy() -> None:
    scores = torch.randn(5, 3)
    assert torch.equal(PLAIN.sum(scores, LABELS), nn.functional.cross_entropy(scores, LABELS, reduction="sum"))


def test_balanced_weights_are_inverse_frequencies() -> None:
    """Of ten clips, classes 0, 1 and 3 of four classes have 6, 3 and 1."""
    labels = np.array([0] * 6 + [1] * 3 + [3], np.int32)
    weights = balanced_weights(labels, 4)
    torch.testing.assert_close(weights, torch.tensor([10 / 18, 10 / 9, 0.0, 10 / 3]))
    assert weights[labels].mean().item() == pytest.approx(1)
