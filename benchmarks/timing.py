"""Helpers for all benchmarks: rounds of comparable measurements, tables, and a description of the machine."""

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import av
import torch

from ops.common.storage import atomic_file


@dataclass(frozen=True)
class Timing:
    """Seconds of one step over several rounds."""

    median: float
    least: float
    most: float

    def divided(self, number: float) -> "Timing":
        """The time of one of `number` equal parts."""
        return Timing(self.median / number, self.least / number, self.most / number)


def compare(
    steps: Mapping[str, Callable[[], object]],
    rounds: int,
    wait: Callable[[], None] = lambda: None,
    warmups: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timing]:
    """Time each of `steps`, once per round, after some rounds to warm up.

    Every round runs all steps in turn, so that a slower machine affects all of them. `wait` is called before reading
    the clock, so that a device can finish. Pass `time.process_time` as `clock` to measure the CPU time of this process.
    """
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(-warmups, rounds):
        for name, step in steps.items():
            wait()
            began = clock()
            step()
            wait()
            if number >= 0:
                seconds[name].append(clock() - began)
    return {name: Timing(statistics.median(each), min(each), max(each)) for name, each in seconds.items()}


@dataclass(frozen=True)
class Row:
    """One row of the table: our time, the time that it is compared with, and the target for the ratio."""

    what: str
    against: str
    ours: Timing
    other: Timing
    target: str

    @property
    def ratio(self) -> float:
        """The other's time divided by ours if the target begins with ≥, else the inverse."""
        faster = self.other.median / self.ours.median
        return faster if self.target.startswith("≥") else 1 / faster

    def cells(self) -> list[str]:
        """The cells of the table: milliseconds as median (minimum–maximum)."""
        times = milliseconds(self.ours), milliseconds(self.other)
        return [self.what, self.against, *times, f"{self.ratio:.2f}", self.target]

    def plain(self) -> dict[str, Any]:
        """The row as data for JSON."""
        return {**asdict(self), "ratio": self.ratio}


def milliseconds(time: Timing) -> str:
    """A timing as median (minimum–maximum)."""
    return f"{1e3 * time.median:.2f} ({1e3 * time.least:.2f}–{1e3 * time.most:.2f})"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as Markdown."""
    lines = [f"| {' | '.join(header)} |", "|" + " --- |" * len(header)]
    return "".join(f"{line}\n" for line in [*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def publish(text: str, output: str | None, facts: Mapping[str, Any]) -> None:
    """Print the text; if `output` is a name, also `save` the text and the facts under it."""
    sys.stdout.write(text)
    if output:
        save(output, text, facts)


def save(name: str, text: str, facts: Mapping[str, Any]) -> None:
    """Write the text to NAME.md and the facts to NAME.json."""
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    for suffix, content in ((".md", text), (".json", json.dumps(facts, indent=2) + "\n")):
        with atomic_file(name + suffix, "w", encoding="utf-8") as file:
            file.write(content)


def machine(device: torch.device) -> str:
    """A description of the machine and the software."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    gpu = f", {torch.cuda.get_device_name(device)}" if device.type == "cuda" else ""
    versions = f"Python {platform.python_version()}, torch {torch.__version__}, PyAV {av.__version__}"
    return f"{model}, {os.cpu_count()} cores{gpu}, {versions}"
