"""Estimating how long a training still takes, from the measured steps and validations."""

import logging
import time

from ops.common.console import duration

log = logging.getLogger(__name__)


class Eta:
    """Estimates the time left of a run of `epochs` of `epoch_steps`, validated every `eval_freq` epochs.

    The first estimate is also logged. Until a validation has been measured, validations count as 0 seconds.
    """

    def __init__(self, epoch_steps: int, epochs: int, eval_freq: int, max_steps: int | None) -> None:
        self.epoch_steps, self.epochs, self.eval_freq, self.max_steps = epoch_steps, epochs, eval_freq, max_steps
        self.end = epoch_steps * epochs
        self.validation_seconds: float | None = None
        self._said = False

    def start(self, step: int) -> None:
        """Start at a step of the run; `max_steps` is counted from here."""
        self.end = min(self.epoch_steps * self.epochs, step + (self.max_steps or self.epoch_steps * self.epochs))

    def seconds(self, step_seconds: float, step: int) -> float:
        """How long the run still takes after `step` steps, at `step_seconds` each."""
        left = max(self.end - step, 0)
        seconds = step_seconds * left + self.validations(step) * (self.validation_seconds or 0.0)
        if left and not self._said:
            self._said = True
            when = time.strftime("%Y-%m-%d %H:%M", time.localtime(time.time() + seconds))
            without = " without validations" if self.validation_seconds is None and self.validations(step) else ""
            log.info("%.3g s per step: %s to the end (%s)%s", step_seconds, duration(seconds), when, without)
        return seconds

    def validations(self, step: int) -> int:
        """How many validations remain after `step` steps, including one if the run ends within an epoch."""
        first, last = step // self.epoch_steps, self.end // self.epoch_steps
        due = last // self.eval_freq - first // self.eval_freq
        at_the_end = self.end % self.epoch_steps or last % self.eval_freq
        return due + bool(at_the_end and step < self.end)
