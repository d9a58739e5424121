"""Running the trainings of a sweep as processes, several at a time, and recording which of them are finished."""

import json
import logging
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ops.common.device import visible_devices
from ops.common.errors import EXIT_DONE, EXIT_STOPPED, InputError
from ops.common.stop_signals import PREEMPTED, ChildProcesses
from ops.common.storage import appended_file, atomic_file
from ops.common.text import counted
from ops.common.threads import usable_cores
from ops.sweep.runs import Run
from ops.training.checkpoint_saver import LAST

log = logging.getLogger(__name__)

STATE = "sweep.json"
"""The file in the folder of a sweep with the command of each run, and how it ended."""


class Sweep(ChildProcesses):
    """The runs of a sweep in `out`: `jobs` of them at a time, each on one of `gpus` (none: on the CPU).

    Signals are passed on once to the trainings, which then save and end; no other training starts.
    """

    def __init__(self, out: Path, runs: Sequence[Run], gpus: Sequence[int], jobs: int) -> None:
        super().__init__()
        self.out, self.runs, self.gpus, self.jobs = out, runs, gpus, min(jobs, len(runs))
        self.state = _read_state(out / STATE)
        self._going: dict[int, tuple[Run, subprocess.Popen[bytes]]] = {}  # by slot
        for run in runs:
            before = self.state.get(run.name, {}).get("words")
            if before not in (None, list(run.words)):
                raise InputError(
                    f"{out / run.name}: was made by another command (see {out / STATE}); use another --out"
                )

    def run(self) -> None:
        """Run all trainings that are not finished; those that fail are recorded, and the others continue."""
        left = [run for run in self.runs if not self.finished(run)]
        if len(left) < len(self.runs):
            log.info("%d of %s finished already", len(self.runs) - len(left), counted(len(self.runs), "run"))
        if left:
            with self.passing_signals():
                self._run(left)

    def finished(self, run: Run) -> bool:
        """Whether a run has ended without an error."""
        done = self.state.get(run.name, {}).get("status") == EXIT_DONE
        return done and (self.out / run.name / LAST).exists()

    def failures(self) -> dict[str, str]:
        """The runs that are not finished, with the reason."""
        return {run.name: _reason(self._log_of(run)) for run in self.runs if not self.finished(run)}

    def started(self, run: Run, where: str) -> None:
        """Record that a training begins, `where` being such as "on GPU 0"."""
        self._note(run, None)
        log.info("%s: started %s (%s)", run.name, where, self._log_of(run))

    def ended(self, run: Run, status: int) -> None:
        """Record the exit status of a training; one that a signal stopped ends with 0, but is not done."""
        if (self.out / run.name / PREEMPTED).exists():
            status = EXIT_STOPPED
        self._note(run, status)
        done = sum(map(self.finished, self.runs))
        if status == EXIT_DONE:
            log.info("%s: finished (%d of %d)", run.name, done, len(self.runs))
        elif not self.signal:
            log.warning("%s: failed with status %d: %s", run.name, status, _reason(self._log_of(run)))

    def _run(self, left: list[Run]) -> None:
        """Train the runs in `left`, until a signal arrives."""
        try:
            while (left and not self.signal) or self._going:
                for slot in range(self.jobs):
                    if slot not in self._going and left and not self.signal:
                        self._start(slot, left.pop(0))
                self._collect()
        finally:
            for _, process in self._going.values():  # only after an error here
                process.terminate()

    def _start(self, slot: int, run: Run) -> None:
        environment, place = dict(os.environ), "the CPU"
        if self.gpus:
            gpu = self.gpus[slot % len(self.gpus)]
            environment["CUDA_VISIBLE_DEVICES"] = visible_devices([gpu], os.environ.get("CUDA_VISIBLE_DEVICES"))
            place = f"GPU {gpu}"
        elif self.jobs > 1:  # otherwise each would use all cores
            environment.setdefault("OMP_NUM_THREADS", str(max(usable_cores() // self.jobs, 1)))
        self.started(run, f"on {place}")
        with appended_file(self._log_of(run)) as output:
            self._going[slot] = run, self.start(run.command, stdout=output, stderr=subprocess.STDOUT, env=environment)

    def _collect(self) -> None:
        """Wait briefly, and record the trainings that have ended."""
        time.sleep(0.1)
        for slot, (run, process) in list(self._going.items()):
            status = process.poll()
            if status is None:
                continue
            del self._going[slot]
            self.ended(run, status)

    def _note(self, run: Run, status: int | None) -> None:
        self.state[run.name] = {"words": list(run.words), "status": status}
        with atomic_file(self.out / STATE, "w", encoding="utf-8") as file:
            json.dump(self.state, file, indent=1)

    def _log_of(self, run: Run) -> Path:
        return self.out / "output" / f"{run.name}.txt"


def _read_state(path: Path) -> dict[str, Mapping[str, Any]]:
    """The contents of `STATE` for each run."""
    try:
        state = json.loads(path.read_text("utf-8")) if path.exists() else {}
    except (OSError, ValueError, RecursionError):
        state = None
    if not isinstance(state, dict) or not all(isinstance(entry, dict) for entry in state.values()):
        raise InputError(f"{path}: cannot be read; use another --out")
    return state


def _reason(output: Path) -> str:
    """The last line that a run printed."""
    try:
        lines = output.read_text("utf-8", "replace").split("\n")
    except OSError:
        return "it was not started"
    last = next((line.rpartition("\r")[2].strip() for line in reversed(lines) if line.strip()), "it printed nothing")
    return f"{last} ({output})"
