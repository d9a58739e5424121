"""The reports of a running training: rows of the logs, lines on the console, and the videos that were broken."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ops.common.errors import InputError
from ops.data.dataloaders import TrainSampler
from ops.data.datasets import Failure
from ops.training.engine import EpochResult
from ops.training.epoch_summary import bad_videos, epoch_in_words, own_bad_videos, warn_of_bad_videos
from ops.training.lr_schedule import Schedule
from ops.training.run_log import RunLog
from ops.training.step_log import StepLog

log = logging.getLogger(__name__)


class RunReporter:
    """Reports on a run's passes over its data; `runlog` is None in all processes but the first.

    If a log cannot be written, `unlogged` says why, and the run is saved before it ends.
    """

    def __init__(self, runlog: RunLog | None, steplog: StepLog) -> None:
        self.runlog, self.steplog = runlog, steplog
        self.unlogged = ""
        self.bad = 0  # videos of this epoch that were broken or cut short
        self._passing: EpochResult | None = None
        self._reported = 0, 0  # failures and warnings of this pass that have been logged

    def start_pass(self, passing: EpochResult, bad: int) -> None:
        """Start a pass whose epoch has had `bad` broken videos so far."""
        self._passing, self._reported, self.bad = passing, (0, 0), bad
        self.steplog.start_pass()

    def step(self, number: int, epoch: int, step: int, sampler: TrainSampler, schedule: Schedule) -> None:
        """Log a step, if this is due: the `number` of steps so far, and its position in the run, counted from 0."""
        assert self._passing
        self.steplog.count(sampler.clips(step))
        if self.steplog.is_due(number):
            rate, waited = schedule.rate(epoch + step / len(sampler)), self._passing.data_seconds
            with self._logging():
                self.steplog.write(number, epoch, rate, sampler.weight(step), waited)

    def bad_videos(self, epoch: int, validated: EpochResult | None = None) -> list[tuple[str, Failure]]:
        """Log the broken videos of all processes since the last call, each once; returns them."""
        assert self._passing
        return self._log(epoch, bad_videos(self._passing, validated, self._reported))

    def own_bad_videos(self, epoch: int) -> None:
        """The same for this process alone; called at every save, so that a kill loses no report from before it."""
        assert self._passing
        self._log(epoch, own_bad_videos(self._passing, None, self._reported))

    def epoch(self, row: Mapping[str, Any], epochs: int, bad: list[tuple[str, Failure]]) -> None:
        """Write the row of an epoch, of `epochs` in total, and its broken videos."""
        if not self.runlog:
            return
        with self._logging():
            self.runlog.epoch(row)
        log.info("%s", epoch_in_words(row, epochs))
        warn_of_bad_videos(bad, self.runlog.folder)

    def close(self) -> None:
        """Close the logs; everything has already been written."""
        self.steplog.close()
        if self.runlog:
            self.runlog.close()

    def _log(self, epoch: int, bad: list[tuple[str, Failure]]) -> list[tuple[str, Failure]]:
        assert self._passing
        self._reported = len(self._passing.failures), len(self._passing.warnings)
        self.bad += len(bad)
        if self.runlog:
            with self._logging():
                self.runlog.bad_samples(epoch, bad)
        return bad

    @contextmanager
    def _logging(self) -> Iterator[None]:
        try:
            yield
        except InputError as error:
            self.unlogged = self.unlogged or str(error)
