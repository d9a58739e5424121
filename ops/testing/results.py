"""The results of a test: accuracies, and the files of scores and predictions."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ops.common.csv_tables import TableWriter
from ops.common.storage import atomic_file
from ops.common.text import counted
from ops.testing.confidence import wilson_interval
from ops.testing.top_k_accuracy import TOP_K, top_k_accuracies
from ops.training.metrics import mean_class_accuracy

TOP = 5
"""How many of the best classes of a video are written to files."""

PREDICTIONS = ("path", "label", "prediction", "score", "top5", "ok", "reason", "probabilities")
PER_CLASS = ("class", "name", "videos", "top1", "top5", "taken_for", "times", "precision", "f1")
MISTAKES = ("path", "label", "prediction", "confidence", "confidence_in_label")
"""The columns of the CSV files."""

WORST = "The worst classes, by top-1:\n"
"""The first line of `worst.txt`."""


@dataclass(frozen=True)
class TestResult:
    """The outcome of a test, in list order.

    Attributes:
        paths: N paths as in the list.
        labels: int64 `[N]`, -1 if the list has none.
        scores: float32 `[N, K]`, rows of NaN for videos that failed.
        reasons: why a video failed, else "".
        truncated: what was wrong with a video that was scored although it was cut short, else "".
        topk: each k of the top-k accuracies that are of interest.
    """

    __test__ = False  # not a pytest test

    paths: Sequence[str]
    labels: NDArray[np.int64]
    scores: NDArray[np.float32]
    reasons: Sequence[str]
    truncated: Sequence[str]
    topk: Sequence[int] = TOP_K

    @cached_property
    def ok(self) -> NDArray[np.bool_]:
        """Which videos were scored, `[N]`."""
        return np.array([not reason for reason in self.reasons], dtype=bool)

    @cached_property
    def labelled(self) -> NDArray[np.bool_]:
        """Which videos have a label, `[N]`."""
        labelled: NDArray[np.bool_] = self.labels >= 0
        return labelled

    @cached_property
    def counted(self) -> NDArray[np.bool_]:
        """Which videos count for accuracy, `[N]`: scored, and with a label."""
        return self.ok & self.labelled

    @cached_property
    def ranked(self) -> NDArray[np.int64]:
        """The best classes of each video, best first: `[N, min(5, K)]`; meaningless for videos that failed."""
        return np.argsort(-self.scores, axis=1, kind="stable")[:, :TOP]


def accuracies(result: TestResult) -> dict[str, float]:
    """top1, top5 (or what `topk` asks for) and mean_class_accuracy in percent, over the videos that count."""
    counted, ranked = result.counted, result.ranked
    if max(result.topk) > TOP:
        ranked = np.argsort(-result.scores, axis=1, kind="stable")[:, : max(result.topk)]
    labels = result.labels[counted]
    mean = mean_class_accuracy(ranked[counted, 0], labels)
    return {**top_k_accuracies(ranked[counted], labels, result.topk), "mean_class_accuracy": mean}


def top1_interval(result: TestResult) -> tuple[float, float] | None:
    """The 95 % confidence interval of top-1, in percent (Wilson's); None if no video counts."""
    counts = result.counted
    if not counts.any():
        return None
    right = int((result.ranked[counts, 0] == result.labels[counts]).sum())
    low, high = wilson_interval(right, int(counts.sum()))
    return 100 * low, 100 * high


def precision_and_f1(confusion: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Precision and F1 of each class in percent, `[K]` each, of a `confusion [K, K]` with a row per true class.

    Both are 0 for a class that was never predicted, and NaN for one without videos. (Recall is the class's top-1.)
    """
    right, videos, predicted = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    precision = 100.0 * right / np.maximum(predicted, 1)
    f1 = 200.0 * right / np.maximum(videos + predicted, 1)
    return np.where(videos > 0, precision, np.nan), np.where(videos > 0, f1, np.nan)


def macro_averages(result: TestResult) -> dict[str, float]:
    """The means of precision and F1 in percent, over the classes that have videos."""
    if not result.counted.any():
        return dict.fromkeys(("macro_precision", "macro_f1"), float("nan"))
    precision, f1 = precision_and_f1(confusion_matrix(result))
    return {"macro_precision": float(np.nanmean(precision)), "macro_f1": float(np.nanmean(f1))}


def probabilities_of(result: TestResult, probabilities: bool) -> NDArray[np.float64]:
    """The probability of each class, `[N, K]`: softmax of the scores, unless these are sums of `probabilities`."""
    scores = result.scores.astype(np.float64)
    if not probabilities:
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = scores / scores.sum(axis=1, keepdims=True)
    return shares


def counts(result: TestResult) -> dict[str, int]:
    """The numbers of videos: expected, scored, failed, cut short, and scored without a label."""
    scored = int(result.ok.sum())
    return {
        "expected": len(result.paths),
        "scored": scored,
        "failed": len(result.paths) - scored,
        "cut_short": sum(map(bool, result.truncated)),
        "unlabelled": int((result.ok & ~result.labelled).sum()),
    }


def write_metrics(path: Path, result: TestResult, facts: Mapping[str, Any]) -> None:
    """Write `metrics.json`: accuracies with the interval of top-1, counts and `facts`; NaN becomes null."""
    interval = {"top1_interval": top1_interval(result)} if 1 in result.topk else {}
    write_json(path, {**accuracies(result), **interval, **macro_averages(result)}, result, facts)


def write_json(path: Path, figures: Mapping[str, Any], result: TestResult, facts: Mapping[str, Any]) -> None:
    """Write `figures` about a `result`, the numbers of its videos, and `facts` as JSON; NaN becomes null."""
    content = {**figures, **counts(result), **facts}
    clean = {k: None if isinstance(v, float) and v != v else v for k, v in content.items()}
    with atomic_file(path, "w", encoding="utf-8") as file:
        json.dump(clean, file, indent=2)
        file.write("\n")


def write_scores(path: str | os.PathLike[str], result: TestResult) -> None:
    """Write scores `[N, K]`, labels `[N]`, ok `[N]`, paths `[N]` and, if known, targets `[N, K]` as `.npz`."""
    arrays: dict[str, Any] = {
        "scores": result.scores, "labels": result.labels, "ok": result.ok, "paths": np.array(result.paths, dtype=str)
    }  # fmt: skip
    targets = getattr(result, "targets", None)  # with several labels per video
    with atomic_file(path) as file:
        np.savez(file, **arrays, **({} if targets is None else {"targets": targets}))


def write_predictions(
    path: Path, result: TestResult, class_names: Sequence[str] | None, probabilities: bool = False
) -> None:
    """`predictions.csv`: path, label, prediction, its score, the five best and their probabilities, ok, reason.

    Classes have their names, if known. With `probabilities`, scores are probabilities instead of logits.
    """
    shares = probabilities_of(result, probabilities)

    def name(index: int) -> str:
        return class_names[index] if class_names else str(index)

    with atomic_file(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = TableWriter(file)
        writer.writerow(PREDICTIONS)
        for i, ranked in enumerate(result.ranked):
            label = name(int(result.labels[i])) if result.labels[i] >= 0 else ""
            if result.reasons[i]:
                writer.writerow((result.paths[i], label, "", "", "", False, result.reasons[i], ""))
                continue
            best = [name(int(k)) for k in ranked]
            score = f"{result.scores[i, ranked[0]]:.6g}"
            five = ";".join(f"{share:.4f}" for share in shares[i, ranked])
            writer.writerow((result.paths[i], label, best[0], score, ";".join(best), True, result.truncated[i], five))


def write_published_csv(path: str, result: TestResult, class_names: Sequence[str] | None) -> None:
    """A line `id;…` per scored video, in the format of the published code.

    With `class_names`, the id and the name of the best class; without (Something-Something v2), the id and the numbers
    of the five best.
    """
    with atomic_file(path, "w", encoding="utf-8", errors="surrogateescape") as file:
        for video, ranked, reason in zip(result.paths, result.ranked, result.reasons, strict=True):
            if not reason:
                fields = [class_names[int(ranked[0])]] if class_names else [str(k) for k in ranked]
                file.write(";".join([video, *fields]) + "\n")


def confusion_matrix(result: TestResult) -> NDArray[np.int64]:
    """The confusion matrix `[K, K]`: how often class i was predicted as class j, over scored videos with a label."""
    counted, classes = result.counted, result.scores.shape[1]
    places = result.labels[counted] * classes + result.ranked[counted, 0]
    pairs: NDArray[np.int64] = np.bincount(places, minlength=classes * classes).reshape(classes, classes)
    return pairs


def write_per_class(path: Path, result: TestResult, class_names: Sequence[str]) -> list[str]:
    """`per_class.csv`: videos, top-1 (its recall), top-5, commonest mistake, precision and F1 of each class.

    Returns the worst classes in words.
    """
    confusion = confusion_matrix(result)
    precision, f1 = precision_and_f1(confusion)
    labelled = result.counted
    in_five = (result.ranked == result.labels[:, None]).any(axis=1)
    worst: list[tuple[float, str]] = []
    with atomic_file(path, "w", newline="", encoding="utf-8") as file:
        writer = TableWriter(file)
        writer.writerow(PER_CLASS)
        for k, name in enumerate(class_names):
            videos = int(confusion[k].sum())
            if not videos:
                writer.writerow((k, name, 0, *[""] * 6))
                continue
            wrong = confusion[k].copy()
            wrong[k] = 0
            other, times = int(wrong.argmax()), int(wrong.max())
            top1 = 100.0 * float(confusion[k, k]) / videos
            top5 = 100.0 * float(in_five[labelled & (result.labels == k)].mean())
            taken_for = class_names[other] if times else ""
            more = f"{precision[k]:.2f}", f"{f1[k]:.2f}"
            writer.writerow((k, name, videos, f"{top1:.2f}", f"{top5:.2f}", taken_for, times, *more))
            mistake = f", {counted(times, 'time')} predicted as {taken_for}" if times else ""
            worst.append((top1, f"{top1:5.1f} %  {name} ({counted(videos, 'video')}{mistake})"))
    return [line for _, line in sorted(worst)]


def write_mistakes(path: Path, result: TestResult, class_names: Sequence[str], probabilities: bool) -> list[str]:
    """`mistakes.csv`: wrong predictions, the most confident first; returns them in words.

    With `probabilities`, scores are probabilities (summed over models) instead of logits.
    """
    shares = probabilities_of(result, probabilities)
    wrong = np.flatnonzero(result.counted & (result.ranked[:, 0] != result.labels))
    wrong = wrong[np.argsort(-shares[wrong].max(axis=1), kind="stable")]
    lines = []
    with atomic_file(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = TableWriter(file)
        writer.writerow(MISTAKES)
        for i in wrong.tolist():
            label, best = int(result.labels[i]), int(result.ranked[i, 0])
            row = (result.paths[i], class_names[label], class_names[best], f"{shares[i, best]:.4f}")
            writer.writerow((*row, f"{shares[i, label]:.4f}"))
            lines.append(f"{shares[i, best]:.2f}  {row[0]}: {row[1]}, predicted as {row[2]}")
    return lines
