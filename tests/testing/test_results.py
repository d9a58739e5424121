"""The results of a test: consistent numbers, readable files, figures of a reasonable size."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ops.common.figures import cluster_order, draw_confusion, draw_curves
from ops.testing.results import (
    TestResult,
    accuracies,
    confusion_matrix,
    counts,
    write_metrics,
    write_mistakes,
    write_per_class,
    write_predictions,
    write_scores,
)

NAMES = ["apple", "pear", "plum, ripe"]


@pytest.fixture
def result() -> TestResult:
    """Six videos: three right, one wrong with high confidence, one failed, one without a label."""
    scores = np.array([[5, 1, 0], [0, 3, 1], [9, 0, 1], [0, 1, 2], [np.nan] * 3, [1, 0, 0]], np.float32)
    labels = np.array([0, 1, 1, 2, 0, -1])
    return TestResult(list("abcdef"), labels, scores, ["", "", "", "", "gone", ""], ["", "", "", "cut", "", ""])


def test_accuracy_is_over_what_was_scored_and_labelled(result: TestResult) -> None:
    assert accuracies(result) == {"top1": 75.0, "top5": 100.0, "mean_class_accuracy": pytest.approx(250 / 3)}
    assert counts(result) == {"expected": 6, "scored": 5, "failed": 1, "cut_short": 1, "unlabelled": 1}


def test_metrics_hold_no_nan(result: TestResult, tmp_path: Path) -> None:
    nothing = TestResult(["a"], np.array([-1]), result.scores[4:5], ["gone"], [""])
    write_metrics(tmp_path / "m.json", nothing, {"protocol": "p"})
    metrics = json.loads((tmp_path / "m.json").read_text())
    assert metrics["top1"] is None and metrics["top1_interval"] is None and metrics["macro_f1"] is None
    assert metrics["failed"] == 1 and metrics["protocol"] == "p"


def test_scores_keep_list_order_and_failures(result: TestResult, tmp_path: Path) -> None:
    write_scores(tmp_path / "s.npz", result)
    stored = np.load(tmp_path / "s.npz")
    assert np.array_equal(stored["scores"], result.scores, equal_nan=True)
    assert stored["ok"].tolist() == [True] * 4 + [False, True] and stored["paths"].tolist() == list("abcdef")


def test_predictions_name_classes_and_reasons(result: TestResult, tmp_path: Path) -> None:
    write_predictions(tmp_path / "p.csv", result, NAMES)
    rows = list(csv.DictReader((tmp_path / "p.csv").open(newline="")))
    assert rows[3] == {
        "path": "d", "label": "plum, ripe", "prediction": "plum, ripe", "score": "2",
        "top5": "plum, ripe;pear;apple", "ok": "True", "reason": "cut", "probabilities": "0.6652;0.2447;0.0900",
    }  # fmt: skip
    assert (rows[4]["prediction"], rows[4]["ok"], rows[4]["reason"]) == ("", "False", "gone")
    assert rows[5]["label"] == ""


def test_classes_and_mistakes_are_ranked(result: TestResult, tmp_path: Path) -> None:
    assert confusion_matrix(result).tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    worst = write_per_class(tmp_path / "c.csv", result, NAMES)
    assert worst[0].strip() == "50.0 %  pear (2 videos, 1 time predicted as apple)"
    rows = list(csv.DictReader((tmp_path / "c.csv").open(newline="")))
    assert [(row["name"], row["videos"], row["top1"]) for row in rows] == [
        ("apple", "1", "100.00"), ("pear", "2", "50.00"), ("plum, ripe", "1", "100.00")
    ]  # fmt: skip
    mistakes = write_mistakes(tmp_path / "m.csv", result, NAMES, probabilities=False)
    assert mistakes == ["1.00  c: pear, predicted as apple"]


def test_fused_scores_are_written_as_probabilities(result: TestResult, tmp_path: Path) -> None:
    write_predictions(tmp_path / "p.csv", result, NAMES, probabilities=True)
    rows = list(csv.DictReader((tmp_path / "p.csv").open(newline="")))
    assert rows[3]["probabilities"] == "0.6667;0.3333;0.0000" and rows[4]["probabilities"] == ""


@pytest.mark.parametrize("classes", [1, 2, 7, 30])
def test_precision_and_f1_are_those_of_scikit_learn(classes: int, tmp_path: Path) -> None:
    """This includes classes that have no videos and classes that are never predicted."""
    from sklearn.metrics import precision_recall_fscore_support

    rng = np.random.default_rng(classes)
    scores, labels = rng.normal(size=(40, classes)).astype(np.float32), rng.integers(0, classes, 40)
    result = TestResult([f"{n}" for n in range(40)], labels, scores, [""] * 40, [""] * 40)
    present = np.unique(labels)
    expected = precision_recall_fscore_support(labels, scores.argmax(1), labels=present, zero_division=0)
    write_per_class(tmp_path / "c.csv", result, [f"{k}" for k in range(classes)])
    rows = list(csv.DictReader((tmp_path / "c.csv").open(newline="")))
    assert [int(row["class"]) for row in rows if row["precision"]] == present.tolist()
    found = [[float(rows[k][name]) for k in present] for name in ("precision", "top1", "f1")]
    np.testing.assert_allclose(found, 100 * np.stack(expected[:3]), atol=0.006)
    write_metrics(tmp_path / "m.json", result, {})
    metrics = json.loads((tmp_path / "m.json").read_text())
    means = [metrics[name] for name in ("macro_precision", "mean_class_accuracy", "macro_f1")]
    np.testing.assert_allclose(means, 100 * np.stack(expected[:3]).mean(1))


def test_the_interval_of_top_1_is_wilsons(result: TestResult, tmp_path: Path) -> None:
    from scipy.stats import binomtest

    write_metrics(tmp_path / "m.json", result, {})
    expected = binomtest(3, 4).proportion_ci(method="wilson")
    found = json.loads((tmp_path / "m.json").read_text())["top1_interval"]
    np.testing.assert_allclose(found, [100 * expected.low, 100 * expected.high], rtol=1e-6)


def test_classes_that_are_confused_are_ordered_next_to_each_other() -> None:
    confusion = np.eye(6, dtype=np.int64) * 10
    for one, other in ((0, 3), (1, 4), (2, 5)):
        confusion[one, other] = confusion[other, one] = 5
    order = cluster_order(confusion).tolist()
    assert sorted(order) == list(range(6))
    assert all(abs(order.index(k) - order.index(k + 3)) == 1 for k in range(3))


@pytest.mark.parametrize(("classes", "least"), [(2, 250), (8, 400), (400, 3500)])
def test_the_confusion_picture_grows_with_the_classes(classes: int, least: int, tmp_path: Path) -> None:
    confusion = np.random.default_rng(0).integers(0, 3, (classes, classes))
    draw_confusion(confusion, [f"class {k}" for k in range(classes)], tmp_path / "c.png")
    with Image.open(tmp_path / "c.png") as picture:
        assert min(picture.size) > least and np.asarray(picture.convert("L")).std() > 5


def test_curves_are_drawn_from_a_log_with_gaps(tmp_path: Path) -> None:
    first = {"epoch": "0", "lr": "0.1", "train_loss": "2", "train_top1": "10", "val_loss": "", "val_top1": ""}
    rows = [first, {**first, "epoch": "1", "lr": "0.01", "val_loss": "1", "val_top1": "40"}]
    draw_curves(rows, tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.size[0] > 1000
