"""Top-k accuracy, of all videos of a test, and of those scored so far."""

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

TOP_K = (1, 5)
"""The accuracies that a test gives by default."""


def top_k_accuracies(
    ranked: NDArray[np.int64], labels: NDArray[np.int64], topk: Collection[int] = TOP_K
) -> dict[str, float]:
    """`{"top1": …, "top5": …}` in percent, for each k of `topk`; NaN without videos.

    `ranked [N, R]` are the best classes of each video, best first: at least as many as the largest k, or all K.
    `labels [N]` are their classes.
    """
    if not len(labels):
        return {f"top{k}": float("nan") for k in topk}
    hits = ranked == labels[:, None]
    return {f"top{k}": 100.0 * float(hits[:, :k].any(axis=1).mean()) for k in topk}


def running_hits(scores: NDArray[np.float32], label: int, topk: Collection[int] = TOP_K) -> tuple[int, ...]:
    """For each k, 1 if `label` is among the best k classes in `scores [K]`, else 0; then 1 if it is known, else 0."""
    if label < 0:
        return (0,) * (len(topk) + 1)
    better = int(
        (scores > scores[label]).sum() + (scores[:label] == scores[label]).sum()
    )  # ties are broken as in the results
    return (*(int(better < k) for k in topk), 1)


def running_accuracy(hits: NDArray[np.float64], topk: Sequence[int] = TOP_K) -> str:
    """The text of the progress bar, from the sums of `running_hits` so far; "" before the first video with a label."""
    *right, count = hits
    return ", ".join(f"top{k} {100 * found / count:.2f}" for k, found in zip(topk, right, strict=True)) if count else ""
