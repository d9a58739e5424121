"""Accuracy, and running averages of loss and accuracy."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ops.common.distributed import sum_over_ranks


def correct_in_top(scores: Tensor, labels: Tensor, k: int) -> Tensor:
    """Whether the label is among the k best: `scores [N, K]`, `labels [N]` → bool `[N]`.

    Ties go to the lower class number, as in a test. With a NaN among the scores, the result is False. If labels
    are targets `[N, K]`, with several labels per clip, one of these must be among the k best.
    """
    if labels.ndim == 2:
        best = scores.argsort(dim=1, descending=True, stable=True)[:, :k]
        return (labels.gather(1, best) > 0).any(dim=1) & ~scores.isnan().any(dim=1)
    own = scores.gather(1, labels[:, None])  # [N, 1]
    earlier = torch.arange(scores.shape[1], device=scores.device) < labels[:, None]
    before = (scores > own) | ((scores == own) & earlier)
    right: Tensor = (before.sum(dim=1) < k) & ~scores.isnan().any(dim=1)
    return right


def mean_class_accuracy(predictions: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """The mean of the accuracies of all classes that occur in `labels [N]`, in percent."""
    if not len(labels):
        return float("nan")
    from sklearn.metrics import recall_score  # imported here because it takes a second, and training does not need it

    recall = recall_score(labels, predictions, labels=np.unique(labels), average="macro", zero_division=0)
    return 100.0 * float(recall)


class Meter:
    """Sums of loss, top-1 and top-5 hits and counts, kept on the device: adding does not synchronise, reading does."""

    def __init__(self, device: torch.device | str = "cpu") -> None:
        # Sums of the loss over 240,000 clips need double precision; MPS has none.
        dtype = torch.float32 if torch.device(device).type == "mps" else torch.float64
        self.totals = torch.zeros(4, dtype=dtype, device=device)

    def add(self, scores: Tensor, labels: Tensor, loss: Tensor | None = None) -> None:
        """Count a batch: `scores [N, K]`, `labels [N]`, `loss` its mean over the N."""
        scores = scores.detach()
        count = len(labels)
        top1, top5 = (correct_in_top(scores, labels, k).sum() for k in (1, 5))
        total = loss.detach() * count if loss is not None else torch.zeros((), device=scores.device)
        self.totals += torch.stack([total.to(self.totals.dtype), top1, top5, top1.new_full((), count)])

    def merge(self) -> "Meter":
        """Replace the sums by those over all processes."""
        self.totals = sum_over_ranks(self.totals)
        return self

    @property
    def count(self) -> int:
        """How many clips were counted."""
        return int(self.totals[3].item())

    def averages(self) -> dict[str, float]:
        """`{"loss", "top1", "top5"}`: mean loss and accuracies in percent; NaN if nothing was counted."""
        loss, top1, top5, count = self.totals.tolist()
        if not count:
            return dict.fromkeys(("loss", "top1", "top5"), float("nan"))
        return {"loss": loss / count, "top1": 100 * top1 / count, "top5": 100 * top5 / count}
