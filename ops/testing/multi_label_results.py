"""The results of a test of videos with several labels each: mAP, and the files of probabilities and predictions."""

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
from ops.data.multi_label_lists import LabelSets
from ops.testing.results import PREDICTIONS, TestResult, write_json
from ops.training.mean_average_precision import average_precisions

THRESHOLD = 0.5
"""Classes with at least this probability count as predicted, in precision and recall."""

PER_CLASS = ("class", "name", "videos", "average_precision", "precision", "recall", "f1")
"""The columns of `per_class.csv`."""


@dataclass(frozen=True)
class MultiLabelResult(TestResult):
    """As `TestResult`: `scores` are probabilities, `sets` has all labels of each video, and `labels` the first one."""

    sets: LabelSets | None = None

    @cached_property
    def labelled(self) -> NDArray[np.bool_]:
        """Which videos have known labels in the list, `[N]`; these may be none of the classes."""
        assert self.sets
        return self.sets.known

    @cached_property
    def targets(self) -> NDArray[np.bool_]:
        """Whether each video has each class, `[N, K]`."""
        assert self.sets
        return self.sets.targets(self.scores.shape[1])

    @cached_property
    def predicted(self) -> NDArray[np.bool_]:
        """Whether each class is predicted for each video, `[N, K]`."""
        return self.scores >= THRESHOLD


@dataclass(frozen=True)
class ClassFigures:
    """Figures of each class, `[K]`, over the videos that count: how many `videos` have it, and the others in percent.

    These are NaN for a class that no video has; `precision` is 0 for one that is never predicted.
    """

    videos: NDArray[np.int64]
    average_precision: NDArray[np.float64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]


def class_figures(result: MultiLabelResult) -> ClassFigures:
    """Average precision of each class, and precision, recall and F1 at `THRESHOLD`."""
    targets, predicted = result.targets[result.counted], result.predicted[result.counted]
    right, videos, times = (targets & predicted).sum(axis=0), targets.sum(axis=0), predicted.sum(axis=0)
    precision = 100.0 * right / np.maximum(times, 1)
    recall = 100.0 * right / np.maximum(videos, 1)
    f1 = 200.0 * right / np.maximum(videos + times, 1)
    ranked = average_precisions(result.scores[result.counted], targets)
    return ClassFigures(videos, ranked, *(np.where(videos > 0, values, np.nan) for values in (precision, recall, f1)))


def mean_figures(result: MultiLabelResult) -> dict[str, float | int]:
    """mAP and the means of precision, recall and F1 in percent over the `classes_in_mAP`, those that some video has."""
    found = class_figures(result)
    there = found.videos > 0
    columns = {"mAP": found.average_precision, "macro_precision": found.precision, "macro_recall": found.recall,
               "macro_f1": found.f1}  # fmt: skip
    means = {name: float(values[there].mean()) if there.any() else float("nan") for name, values in columns.items()}
    return {**means, "classes_in_mAP": int(there.sum())}


def in_words(result: MultiLabelResult) -> str:
    """The figures as a line for the console; "" if no video counts."""
    figures = mean_figures(result)
    if not figures["classes_in_mAP"]:
        return ""
    classes, left = result.scores.shape[1], result.scores.shape[1] - figures["classes_in_mAP"]
    without = f"; {left} of {counted(classes, 'class')} left out, because no video has them" if left else ""
    return (
        "mAP {mAP:.2f} %; at probability {at}: precision {macro_precision:.2f} %, recall {macro_recall:.2f} %, "
        "F1 {macro_f1:.2f} % (means over classes); {videos} of {expected} scored{without}"
    ).format(
        **figures,
        at=THRESHOLD,
        videos=int(result.ok.sum()),
        expected=counted(len(result.paths), "video"),
        without=without,
    )


def write_metrics(path: Path, result: MultiLabelResult, facts: Mapping[str, Any]) -> None:
    """`metrics.json`: the figures, counts and `facts`."""
    write_json(path, mean_figures(result), result, {"multi_label": True, **facts})


def write_predictions(path: Path, result: MultiLabelResult, class_names: Sequence[str] | None) -> None:
    """`predictions.csv`: path, labels, predicted classes, best probability, the five best classes and probabilities.

    Several classes are separated by semicolons, and have their names, if known.
    """

    def names(classes: Sequence[int]) -> str:
        return ";".join(class_names[k] if class_names else str(k) for k in classes)

    with atomic_file(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = TableWriter(file)
        writer.writerow(PREDICTIONS)
        for i, ranked in enumerate(result.ranked.tolist()):
            labels = names(np.flatnonzero(result.targets[i]).tolist())
            if result.reasons[i]:
                writer.writerow((result.paths[i], labels, "", "", "", False, result.reasons[i], ""))
                continue
            found = names(np.flatnonzero(result.predicted[i]).tolist())
            best = f"{result.scores[i, ranked[0]]:.6g}"
            shares = ";".join(f"{share:.4f}" for share in result.scores[i, ranked])
            writer.writerow(
                (result.paths[i], labels, found, best, names(ranked), True, result.truncated[i], shares)
            )  # fmt: skip


def write_per_class(path: Path, result: MultiLabelResult, class_names: Sequence[str]) -> None:
    """`per_class.csv`: videos, average precision, precision, recall and F1 of each class."""
    found = class_figures(result)
    with atomic_file(path, "w", newline="", encoding="utf-8") as file:
        writer = TableWriter(file)
        writer.writerow(PER_CLASS)
        for k, name in enumerate(class_names):
            columns = found.average_precision, found.precision, found.recall, found.f1
            figures = [f"{values[k]:.2f}" if found.videos[k] else "" for values in columns]
            writer.writerow((k, name, found.videos[k], *figures))
