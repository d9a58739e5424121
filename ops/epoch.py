"""What an epoch gave, over all processes: figures for the log, and the videos that were broken."""

import itertools
from typing import Any

from ops import distributed
from ops.datasets import SECOND_TRY, Failure
from ops.engine import EpochResult


def figures_of(trained: EpochResult, validated: EpochResult | None) -> dict[str, Any]:
    """The averages over all processes, as columns of the log."""
    row: dict[str, Any] = {f"train_{k}": v for k, v in trained.meter.merge().averages().items()}
    row |= {"data_seconds": trained.data_seconds, "compute_seconds": trained.compute_seconds}
    if validated:
        meter = validated.meter.merge()
        row |= {f"val_{k}": v for k, v in meter.averages().items()}
        failed = distributed.gather_objects(len(validated.failures))
        row |= {"val_scored": meter.count, "val_failed": sum(failed)}
    return row


def bad_videos(
    trained: EpochResult, validated: EpochResult | None, reported: tuple[int, int]
) -> list[tuple[str, Failure]]:
    """What went wrong in all processes and is not `reported`: (what was done about it, which video and why)."""
    mine = own_bad_videos(trained, validated, reported)
    return list(itertools.chain.from_iterable(distributed.gather_objects(mine)))


def own_bad_videos(
    trained: EpochResult, validated: EpochResult | None, reported: tuple[int, int]
) -> list[tuple[str, Failure]]:
    """The same of this process alone."""
    mine = [("was replaced in training", failure) for failure in trained.failures[reported[0] :]]
    mine += [(_what_was_odd(failure), failure) for failure in trained.warnings[reported[1] :]]
    if validated:
        mine += [("was left out of validation", failure) for failure in validated.failures]
        mine += [(_what_was_odd(failure), failure) for failure in validated.warnings]
    return mine


def _what_was_odd(warning: Failure) -> str:
    return "was read at the second try" if warning.reason.startswith(SECOND_TRY) else "was cut short"
