"""Early stopping (`--patience`): the end of a run whose validation no longer improves."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass
class EarlyStopping:
    """Ends a run when `patience` validations in a row (None: never) have not improved on the best one before them.

    Only the regular validations at the ends of epochs count, not the additional ones when `--max_steps` ends a part of
    the run: a run in several parts stops where an uninterrupted one does. The first validation always counts as best.
    `best` is the main metric (top-1, or mAP with several labels per video) in percent, and -1 before the first
    validation; `stale` counts the validations since the best one.
    """

    patience: int | None = None
    best: float = -1.0
    stale: int = 0

    def add(self, value: float | None) -> None:
        """Count a validation, with its main metric in percent; None if it is not representative."""
        first = self.best < 0
        if value is not None and value > self.best:
            self.best, self.stale = value, 0
        elif not first:
            self.stale += 1

    @property
    def is_over(self) -> bool:
        """Whether the run has to end."""
        return self.patience is not None and self.stale >= self.patience

    def state(self) -> dict[str, Any]:
        """The state to store in a checkpoint."""
        return {"best": self.best, "stale": self.stale}

    def restore(self, state: Any) -> None:
        """Continue from the `state` in a checkpoint; one of an older version has none, and counting starts again."""
        if isinstance(state, Mapping):
            self.best, self.stale = float(state.get("best", -1.0)), int(state.get("stale", 0))
