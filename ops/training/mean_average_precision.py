"""Mean average precision (mAP): the main metric if a video may have several labels."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ops.common import distributed

Ranking = tuple[NDArray[np.float32], NDArray[np.bool_]]
"""The scores `[n, K]` of some videos, and whether they have each class, `[n, K]`."""


def average_precisions(scores: NDArray[np.floating], targets: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The average precision of each class in percent, `[K]`; NaN for a class that no video has.

    `scores` and `targets` are `[N, K]`. As in `sklearn.metrics.average_precision_score`: the mean precision at the
    ranks of the positives, without interpolation; equal scores share a rank. Classes may have different scales.
    """
    columns = zip(scores.T, targets.T, strict=True)
    return np.array([_average_precision(column, wanted) for column, wanted in columns], np.float64)


def mean_average_precision(scores: NDArray[np.floating], targets: NDArray[np.bool_]) -> float:
    """The mean of `average_precisions` over the classes that some video has, in percent; NaN if there are none."""
    found = average_precisions(scores, targets)
    known = found[~np.isnan(found)]
    return float(known.mean()) if known.size else float("nan")


def over_all_processes(share: Sequence[Ranking]) -> float:
    """The mAP of the rankings of all processes, in percent, the same in each of them; NaN without any."""
    shares = [part for rankings in distributed.gather_objects(list(share)) for part in rankings]
    if not shares:
        return float("nan")
    scores, targets = zip(*shares, strict=True)
    return mean_average_precision(np.concatenate(scores), np.concatenate(targets))


def _average_precision(scores: NDArray[np.floating], targets: NDArray[np.bool_]) -> float:
    """The average precision of one class, in percent; NaN without positives."""
    if not targets.any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))  # the last of each group of equal scores
    found = np.cumsum(targets[order])[ends]
    precision, gained = found / (ends + 1), np.diff(found, prepend=0)
    return 100.0 * float((gained * precision).sum() / found[-1])
