"""Smoothing the predictions of windows over time."""

import math

import numpy as np
from numpy.typing import NDArray


class Smoothing:
    """A moving average of probabilities, in which a prediction's weight decays to 1/e in `seconds` (0: no average)."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._mean: NDArray[np.float64] | None = None
        self._time = 0.0

    def __call__(self, probabilities: NDArray[np.float64], time: float) -> NDArray[np.float64]:
        """The average with the new `probabilities [K]` at `time`, in seconds."""
        if self._mean is None or not self._seconds:
            self._mean = probabilities
        else:
            weight = 1 - math.exp(-(time - self._time) / self._seconds)
            self._mean = self._mean + weight * (probabilities - self._mean)
        self._time = time
        return self._mean
