"""Timing several computations fairly."""

import statistics
import time
from collections.abc import Callable, Sequence


def median_seconds(computations: Sequence[Callable[[], object]], runs: int) -> list[float]:
    """The median seconds of each of `computations` over `runs`, taken in turns after a first turn that warms up."""
    seconds: list[list[float]] = [[] for _ in computations]
    for _ in range(runs + 1):
        for times, compute in zip(seconds, computations, strict=True):
            began = time.perf_counter()
            compute()
            times.append(time.perf_counter() - began)
    return [statistics.median(times[1:]) for times in seconds]
