"""A sweep from its checks to its table."""

import logging
from collections.abc import Sequence
from pathlib import Path

from ops.common.device import check_gpus
from ops.common.errors import EXIT_DONE, EXIT_WITH_FAILURES, InputError, RunStoppedError
from ops.common.folder_lock import locked_folder
from ops.common.storage import make_folder
from ops.sweep.processes import Sweep
from ops.sweep.ray_tune import TuneSweep
from ops.sweep.runs import Run
from ops.sweep.sweep_table import read_settings, write_results

log = logging.getLogger(__name__)


def run_all(out: Path, runs: Sequence[Run], gpus: Sequence[int] | None, jobs: int | None, engine: str = "local") -> int:
    """Run a sweep in the folder `out` and write its table and page; returns the exit status.

    `gpus` and `jobs` are as given; by default all GPUs are used, with one run on each, or none
    if the trainings are for the CPU. With the engine "tune", Ray Tune assigns GPUs.
    """
    on_cpu = any(run.device == "cpu" for run in runs)
    if gpus and on_cpu:
        raise InputError(f"--gpus {' '.join(map(str, gpus))} cannot be combined with --device cpu")
    if gpus is not None and engine == "tune":
        raise InputError("--gpus cannot be combined with --engine tune, because Ray assigns the GPUs: leave it out")
    check_gpus(gpus or [])
    make_folder(out)
    with locked_folder(out, "use another --out"):
        make_folder(out / "output")
        if engine == "tune":
            sweep: Sweep = TuneSweep(out, runs, jobs)
        else:
            gpus = [] if on_cpu else _all_gpus() if gpus is None else gpus
            sweep = Sweep(out, runs, gpus, jobs or len(gpus) or 1)
        sweep.run()
        if sweep.signal:
            raise RunStoppedError("stopped by a signal, everything is saved; the same command continues")
        for name, reason in sweep.failures().items():
            log.warning("failed: %s: %s", name, reason)
        write_results(out, read_settings(out, [run for run in runs if sweep.finished(run)]))
    return EXIT_WITH_FAILURES if sweep.failures() else EXIT_DONE


def _all_gpus() -> list[int]:
    import torch

    return list(range(torch.cuda.device_count()))
