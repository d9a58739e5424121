"""Accuracy: ties, few classes, NaN scores, batches of different sizes."""

import math

import numpy as np
import pytest
import torch

from ops.training.metrics import Meter, correct_in_top, mean_class_accuracy


def test_accuracy_counts_ties_and_few_classes() -> None:
    scores = torch.tensor([[0.1, 0.9, 0.0], [0.8, 0.1, 0.1]])
    assert correct_in_top(scores, torch.tensor([1, 1]), 1).tolist() == [True, False]
    assert correct_in_top(scores, torch.tensor([1, 1]), 5).tolist() == [True, True]
    assert mean_class_accuracy(np.array([0, 0, 1]), np.array([0, 0, 2])) == pytest.approx(50.0)
    assert math.isnan(mean_class_accuracy(np.array([], int), np.array([], int)))


def test_the_meter_weighs_batches_by_their_size() -> None:
    meter = Meter()
    assert math.isnan(meter.averages()["top1"])
    meter.add(torch.eye(3), torch.tensor([0, 1, 2]), torch.tensor(1.0))
    meter.add(torch.eye(3)[:1], torch.tensor([1]), torch.tensor(5.0))
    assert meter.averages() == {"loss": 2.0, "top1": 75.0, "top5": 100.0} and meter.count == 4


def test_a_score_that_is_no_number_is_never_right() -> None:
    scores = torch.tensor([[float("nan"), 1.0], [2.0, float("nan")], [2.0, 1.0]])
    assert correct_in_top(scores, torch.tensor([0, 0, 0]), 1).tolist() == [False, False, True]
