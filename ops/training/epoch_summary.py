"""Summary of an epoch over all processes: figures for the log, and the videos that were broken."""

import itertools
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from ops.common import distributed
from ops.common.errors import CHECK_ADVICE
from ops.common.text import counted
from ops.data.datasets import SECOND_TRY, Failure
from ops.training.engine import NOT_FINITE, EpochResult
from ops.training.main_metric import MEAN_AP, TOP1, MainMetric
from ops.training.mean_average_precision import over_all_processes

log = logging.getLogger(__name__)

NAMED = 8
"""How many videos of a batch are named in messages."""


def figures_of(trained: EpochResult, validated: EpochResult | None, metric: MainMetric = TOP1) -> dict[str, Any]:
    """The averages over all processes, as columns of the log, and the main `metric`."""
    row: dict[str, Any] = {f"train_{k}": v for k, v in trained.meter.merge().averages().items()}
    row |= {"data_seconds": trained.data_seconds, "compute_seconds": trained.compute_seconds}
    if validated:
        meter = validated.meter.merge()
        row |= {f"val_{k}": v for k, v in meter.averages().items()}
        if metric == MEAN_AP:
            row[metric.column] = over_all_processes(validated.rankings)
        failed = distributed.gather_objects(len(validated.failures))
        row |= {"val_scored": meter.count, "val_failed": sum(failed)}
    return row


def can_be_best(row: Mapping[str, Any], metric: MainMetric = TOP1) -> bool:
    """Whether the validation of an epoch, as columns of the log, is representative: most videos were scored."""
    return math.isfinite(row.get(metric.column, math.nan)) and row["val_scored"] > row["val_failed"]


def none_is_finite(validated: EpochResult) -> bool:
    """Whether any process left out a video because its scores are not finite; for use when none was scored."""
    mine = any(failure.reason == NOT_FINITE for failure in validated.failures)
    return any(distributed.gather_objects(mine))


def first_not_finite(model: nn.Module) -> str:
    """The name of a weight or statistic with a value that is not finite; "" if all are finite."""
    for name, value in model.state_dict().items():
        if value.is_floating_point() and not value.isfinite().all():
            return name
    return ""


def not_finite_in_words(
    epoch: int, step: int, indices: Sequence[int], loss: float, norm: float, path_of: Callable[[int], str]
) -> str:
    """The message about a step whose loss or gradients are not finite, with the first of its videos in all processes.

    `indices` are those of this process's videos in the list; `path_of` gives their paths.
    """
    shares = distributed.gather_objects([path_of(index) for index in indices])
    paths = list(itertools.chain.from_iterable(shares))
    more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
    return (
        f"epoch {epoch + 1}, step {step + 1}: the loss is {loss:g} and the norm of the gradients {norm:g} for "
        f"the videos {', '.join(paths[:NAMED])}{more}"
    )


def epoch_in_words(row: Mapping[str, Any], epochs: int) -> str:
    """The row of an epoch as a line for the console."""
    several = MEAN_AP.best in row
    top1 = "" if several else f", top-1 {row['train_top1']:.1f} %"
    text = f"epoch {row['epoch'] + 1}/{epochs}: loss {row['train_loss']:.3f}{top1}"
    if several and "val_loss" in row:
        text += f"; validation: loss {row['val_loss']:.3f}, mAP {row['val_mAP']:.1f} % (best {row['best_mAP']:.1f} %)"
    elif "val_top1" in row:
        text += f"; validation: loss {row['val_loss']:.3f}, top-1 {row['val_top1']:.1f} %, top-5 "
        text += f"{row['val_top5']:.1f} % (best {row['best_top1']:.1f} %)"
    if row.get("val_failed"):
        text += f", {row['val_scored']} of {counted(row['val_scored'] + row['val_failed'], 'video')} scored"
    return f"{text}; {row['seconds']:.0f} s"


def warn_of_bad_videos(bad: Sequence[tuple[str, Failure]], folder: Path) -> None:
    """Warn about the first few, and name the file in `folder` that lists all of them."""
    for what, failure in bad[:5]:
        log.warning("%s %s: %s", failure.path, what, failure.reason)
    if bad:
        log.warning("%s: see %s; %s", counted(len(bad), "such video"), folder / "bad_samples.csv", CHECK_ADVICE)


def bad_videos(
    trained: EpochResult, validated: EpochResult | None, reported: tuple[int, int]
) -> list[tuple[str, Failure]]:
    """Failures in all processes that are not yet `reported`: (action taken, video, reason)."""
    mine = own_bad_videos(trained, validated, reported)
    return list(itertools.chain.from_iterable(distributed.gather_objects(mine)))


def own_bad_videos(
    trained: EpochResult, validated: EpochResult | None, reported: tuple[int, int]
) -> list[tuple[str, Failure]]:
    """The same for this process alone."""
    mine = [("was replaced in training", failure) for failure in trained.failures[reported[0] :]]
    mine += [(_what_was_odd(failure), failure) for failure in trained.warnings[reported[1] :]]
    if validated:
        mine += [("was left out of validation", failure) for failure in validated.failures]
        mine += [(_what_was_odd(failure), failure) for failure in validated.warnings]
    return mine


def _what_was_odd(warning: Failure) -> str:
    return "was read at the second attempt" if warning.reason.startswith(SECOND_TRY) else "was cut short"
