"""Measuring commands as whole processes, in this checkout and in another one."""

import os
import resource
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ops.common.errors import InputError
from ops.common.threads import SPINNING

ROOT = Path(__file__).resolve().parents[1]
"""This checkout."""


@dataclass(frozen=True)
class Cost:
    """Seconds of one run of a command, including its children, and its output."""

    wall: float
    cpu: float
    printed: str


def other_checkout(folder: str | None) -> Path | None:
    """The checkout given by `--against`, or None; InputError if the folder is not a checkout."""
    if folder is None:
        return None
    if not (Path(folder) / "main.py").is_file():
        raise InputError(f"--against {folder}: no main.py in it")
    return Path(folder).resolve()


def users_environment() -> dict[str, str]:
    """The environment without what `limit_spinning` has set in this process: another checkout may not set it."""
    return {name: value for name, value in os.environ.items() if SPINNING.get(name) != value}


def cost_of(
    command: Sequence[str],
    folder: Path | None = None,
    status: int = 0,
    environment: Mapping[str, str] | None = None,
) -> Cost:
    """Run `command` in `folder`, by default in the user's environment; InputError unless it exits with `status`."""
    environment = users_environment() if environment is None else environment
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != status:
        raise InputError(f"{' '.join(command)}: exit status {done.returncode}: {done.stderr[-500:]}")
    return Cost(wall, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, done.stdout)


def spread(numbers: Sequence[float], digits: int) -> str:
    """The numbers as median (minimum–maximum); "" if there are none."""
    if not numbers:
        return ""
    middle, least, most = (f"{each:.{digits}f}" for each in (statistics.median(numbers), min(numbers), max(numbers)))
    return f"{middle} ({least}–{most})"
