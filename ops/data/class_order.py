"""Whether a model and a list number the classes in the same way. If not, accuracy is near chance; a common mistake."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FEW_PER_CLASS = 4
"""Videos per class, on average. With fewer, some permutation makes almost any predictions fit."""

NAMED = 3


def differing_order(checkpoint: str, theirs: Sequence[str] | None, source: str, ours: Sequence[str] | None) -> str:
    """The warning if a checkpoint and `source` have the same class names in different orders, else ""."""
    if not theirs or not ours or list(theirs) == list(ours) or sorted(theirs) != sorted(ours):
        return ""
    place = next(k for k, (one, other) in enumerate(zip(theirs, ours, strict=True)) if one != other)
    return (
        f"{checkpoint}: has the classes of {source} in another order: class {place} is {theirs[place]!r} in the "
        f"checkpoint and {ours[place]!r} here; tools/convert_checkpoint.py can reorder a checkpoint's classes"
    )


def diagnose_class_order(
    labels: NDArray[np.int64], predictions: NDArray[np.int64], class_names: Sequence[str]
) -> str | None:
    """The warning if predictions `[N]` and labels `[N]` agree only after the classes are renumbered; else None.

    The best renumbering (the assignment problem on the confusion matrix) is found on every other video of each class
    and evaluated on the remaining ones, so that a chance fit is not mistaken for one.
    """
    from scipy.optimize import linear_sum_assignment  # slow to import

    count = len(class_names)
    if len(labels) < FEW_PER_CLASS * count or count < 3:
        return None
    right = float((labels == predictions).mean())
    order = np.argsort(labels, kind="stable")
    fitted, held_out = order[::2], order[1::2]
    confusion = np.zeros((count, count))
    np.add.at(confusion, (labels[fitted], predictions[fitted]), 1)
    _, renumbered = linear_sum_assignment(-confusion)  # label → the class that the model predicts for it
    after = float((renumbered[labels[held_out]] == predictions[held_out]).mean())
    commonest = float(np.bincount(labels).max()) / len(labels)  # the accuracy of always predicting one class
    noise = 4 * math.sqrt(0.25 / len(held_out))  # four standard deviations of a proportion
    if after < 0.25 or after < 2 * right or after < max(right, commonest) + noise:
        return None
    moved = [k for k in np.argsort(-confusion[np.arange(count), renumbered], kind="stable") if renumbered[k] != k]
    examples = ", ".join(f"{class_names[k]!r} is predicted as {class_names[renumbered[k]]!r}" for k in moved[:NAMED])
    return (
        f"the classes seem to be numbered differently: top-1 is {100 * right:.1f} %, but {100 * after:.1f} % after "
        f"renumbering them ({examples}); compare the class names in the checkpoint (tools/show_checkpoint.py) with "
        "those that the list was made with, and reorder with tools/convert_checkpoint.py"
    )
