"""The accuracies of a test agree with a plain recomputation."""

import dataclasses

import numpy as np
import pytest
import torch

from ops.testing.results import TestResult, accuracies, confusion_matrix
from ops.testing.top_k_accuracy import running_accuracy, running_hits
from ops.training.metrics import Meter


@pytest.mark.parametrize("classes", [1, 2, 7])
def test_accuracies_agree_with_a_plain_recomputation_also_of_ties(classes: int) -> None:
    """Top-1, top-5, class means and confusion are checked on scores with many ties; ties go to the lower class."""
    rng = np.random.default_rng(classes)
    scores = rng.integers(0, 3, (60, classes)).astype(np.float32)
    labels = rng.integers(0, classes, 60)
    order = [sorted(range(classes), key=lambda k: (-row[k], k)) for row in scores.tolist()]
    best = [ranked[0] for ranked in order]
    top1 = 100 * sum(k == label for k, label in zip(best, labels, strict=True)) / 60
    top5 = 100 * sum(label in ranked[:5] for ranked, label in zip(order, labels, strict=True)) / 60
    means = [np.mean([k == c for k, label in zip(best, labels, strict=True) if label == c]) for c in set(labels)]
    confusion = np.zeros((classes, classes), int)
    for label, k in zip(labels, best, strict=True):
        confusion[label, k] += 1
    result = TestResult([f"{n}" for n in range(60)], labels.astype(np.int64), scores, [""] * 60, [""] * 60)
    found = accuracies(result)
    expected = {"top1": top1, "top5": top5, "mean_class_accuracy": 100 * np.mean(means)}
    assert found == pytest.approx(expected) and (confusion_matrix(result) == confusion).all()
    meter = Meter()
    meter.add(torch.from_numpy(scores), torch.from_numpy(labels))
    assert (meter.averages()["top1"], meter.averages()["top5"]) == pytest.approx((top1, top5))
    for k in (2, 6, 9):
        at_k = 100 * sum(label in ranked[:k] for ranked, label in zip(order, labels, strict=True)) / 60
        other = accuracies(dataclasses.replace(result, topk=(k, 1)))
        assert other == pytest.approx({f"top{k}": at_k, "top1": top1, "mean_class_accuracy": 100 * np.mean(means)})
        hits = np.sum([running_hits(row, int(label), (1, k)) for row, label in zip(scores, labels, strict=True)], 0)
        assert running_accuracy(hits, (1, k)) == f"top1 {top1:.2f}, top{k} {at_k:.2f}"
    hits = np.array([running_hits(row, int(label)) for row, label in zip(scores, labels, strict=True)]).sum(0)
    assert tuple(hits) == pytest.approx((top1 * 0.6, top5 * 0.6, 60))
