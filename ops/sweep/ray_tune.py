"""Running the trainings of a sweep as trials of Ray Tune, on the GPUs of a machine or of a cluster."""

import csv
import logging
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ops.common.errors import EXIT_DONE, EXIT_STOPPED, InputError
from ops.common.stop_signals import WITH_PARENT
from ops.common.storage import appended_file
from ops.common.text import first_line
from ops.sweep.processes import Sweep
from ops.sweep.runs import ROOT, Run

log = logging.getLogger(__name__)

FOLDER = "ray_tune"
"""The folder in that of a sweep for what Ray Tune writes."""

METRICS = ("val_top1", "val_mAP")
"""The columns of a run's log that a trial reports after each validation."""


class TuneSweep(Sweep):
    """The runs of a sweep as trials of Ray Tune: each gets one GPU, or one core if there are no GPUs.

    All machines of a cluster, which RAY_ADDRESS names, must see `out`, the data and this repository at the same paths.
    """

    def __init__(self, out: Path, runs: Sequence[Run], jobs: int | None) -> None:
        super().__init__(out, runs, [], jobs or len(runs))
        self._most = jobs

    def _run(self, left: list[Run]) -> None:
        ray, tune = _import_tune()
        here = {} if os.environ.get("RAY_ADDRESS") else {"include_dashboard": False, "num_cpus": self._most}
        paths = {"env_vars": {"PYTHONPATH": os.fspath(ROOT)}}
        ray.init(log_to_driver=False, logging_level=logging.ERROR, runtime_env=paths, **here)
        try:
            with self.passing_signals():  # again, because Ray has replaced the handlers
                self._fit(ray, tune, left)
        finally:
            ray.shutdown()
        if any(self.state.get(run.name, {}).get("status") is None for run in left):
            self.signal = self.signal or EXIT_STOPPED  # Ray Tune handles some signals itself

    def _fit(self, ray: Any, tune: Any, left: list[Run]) -> None:
        on_gpu = ray.cluster_resources().get("GPU", 0) > 0 and all(run.device != "cpu" for run in left)
        out = self.out.absolute()
        trials = [
            {"name": run.name, "command": run.command, "folder": str(out / run.name), "cwd": str(Path.cwd()),
             "log": str(self._log_of(run).absolute())}
            for run in left
        ]  # fmt: skip
        tune.Tuner(
            tune.with_resources(train_in_trial, {"cpu": 1, "gpu": int(on_gpu)}),
            param_space={"run": tune.grid_search(trials)},
            tune_config=tune.TuneConfig(
                max_concurrent_trials=self._most, trial_name_creator=_name_of, trial_dirname_creator=_name_of
            ),
            run_config=tune.RunConfig(
                storage_path=str(out / FOLDER),
                verbose=0,
                stop=_stopper(tune, lambda: self.signal),
                callbacks=[_callback(tune, self, {run.name: run for run in left})],
            ),
        ).fit()


def _import_tune() -> tuple[Any, Any]:
    """The packages `ray` and `ray.tune`, set up not to handle Ctrl-C, not to print and not to upload anything."""
    os.environ |= {"TUNE_DISABLE_SIGINT_HANDLER": "1", "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1"}
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    try:
        import ray  # type: ignore[import-not-found, unused-ignore]
        from ray import tune
    except ImportError as error:
        raise InputError(
            f'--engine tune needs Ray Tune ({first_line(error)}): python -m pip install "ray[tune]"'
        ) from None
    return ray, tune


def _name_of(trial: Any) -> str:
    name: str = trial.config["run"]["name"]
    return name


def _stopper(tune: Any, signal: Callable[[], int]) -> Any:
    """What ends all trials when a signal has arrived."""

    class Stopper(tune.Stopper):  # type: ignore[misc, unused-ignore]
        def __call__(self, trial_id: str, result: Mapping[str, Any]) -> bool:
            return False

        def stop_all(self) -> bool:
            return bool(signal())

    return Stopper()


def _callback(tune: Any, sweep: TuneSweep, runs: Mapping[str, Run]) -> Any:
    """What records the beginning and the end of trials in `sweep`."""

    class Recorder(tune.Callback):  # type: ignore[misc, unused-ignore]
        def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            sweep.started(runs[_name_of(trial)], "by Ray Tune")

        def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            status = (trial.last_result or {}).get("exit_status")
            if status is not None:  # None: stopped, as the whole sweep
                sweep.ended(runs[_name_of(trial)], status)

        def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            log.warning("%s: Ray Tune: %s", _name_of(trial), trial.error_file or "failed")
            sweep.ended(runs[_name_of(trial)], EXIT_STOPPED)

    return Recorder()


def train_in_trial(config: Mapping[str, Any]) -> None:
    """Train one run in a process of its own, and report each validation, then the `exit_status`.

    If the trial is stopped, its process ends, and the training, which notices that, saves and stops.
    """
    from ray import tune

    run = config["run"]
    environment = {**os.environ, WITH_PARENT: "1"}
    if not os.environ.get("CUDA_VISIBLE_DEVICES"):
        environment.setdefault("OMP_NUM_THREADS", "1")
    with appended_file(Path(run["log"])) as output:
        process = subprocess.Popen(
            run["command"], cwd=run["cwd"], env=environment,
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    validations = _validations(Path(run["folder"], "log.csv"))
    while process.poll() is None:
        time.sleep(0.2)
        for figures in next(validations):
            tune.report(figures)
    last = next(validations)[-1:] if process.returncode == EXIT_DONE else []
    tune.report({**(last[0] if last else {}), "exit_status": process.returncode})


def _validations(path: Path) -> Iterator[list[dict[str, float]]]:
    """At each step, the validations that a run's log has gained since the step before."""
    known = 0
    while True:
        try:
            with path.open(encoding="utf-8", newline="") as file:
                lines = [line for line in csv.DictReader(file) if any(line.get(name) for name in METRICS)]
        except OSError:
            lines = []
        yield [
            {name: float(line[name]) for name in METRICS if line.get(name)} | {"epoch": float(line["epoch"])}
            for line in lines[known:]
        ]
        known = max(known, len(lines))
