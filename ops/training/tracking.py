"""Tracking a run with Weights & Biases or MLflow (`--track`). Their libraries are imported only in this module."""

import argparse
import importlib
import json
import logging
import os
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from ops.common.errors import InputError
from ops.common.optional_packages import need
from ops.common.storage import atomic_file
from ops.common.text import first_line
from ops.training.checkpoint_saver import BEST

log = logging.getLogger(__name__)

PROJECT = "tam"
"""The project or experiment of a run, unless WANDB_PROJECT or MLFLOW_EXPERIMENT_NAME says otherwise."""

RUNS = "tracking.json"
"""The file in the folder of a run with its name in each tracker, which a resumed run uses again."""

REPORT = "report.html"

LONGEST = 500
"""Characters of a setting that are sent to MLflow, because older servers refuse longer ones."""


class Backend(Protocol):
    """A run in a tracker; every method may raise whatever the library raises."""

    id: str
    place: str

    def log(self, figures: Mapping[str, float], step: int) -> None:
        """Add figures of a step."""

    def upload(self, checkpoint: Path | None, report: Path | None) -> None:
        """Upload the best checkpoint and the page, if they exist."""

    def finish(self, complete: bool) -> None:
        """End the run; one that is not `complete` will be continued later."""


class Tracker:
    """Sends the figures and files of a training to a tracker; without a `backend`, it does nothing.

    An error of the tracker never ends a training: the first is logged as a warning, and nothing more is tracked.
    """

    def __init__(self, backend: Backend | None = None) -> None:
        self._backend = backend

    def epoch(self, row: Mapping[str, Any]) -> None:
        """Log the figures of an epoch: a row of the log."""
        numbers = {name: float(value) for name, value in row.items() if isinstance(value, int | float)}
        figures = {name: value for name, value in numbers.items() if name != "epoch" and value == value}
        self._try(lambda backend: backend.log(figures, int(row["epoch"])))

    def end(self, folder: Path, complete: bool) -> None:
        """End the tracked run; a `complete` one also uploads the best checkpoint and the page in its `folder`."""
        checkpoint, report = (path if path.is_file() else None for path in (folder / BEST, folder / REPORT))
        if complete and (checkpoint or report):
            self._try(lambda backend: backend.upload(checkpoint, report))
        self._try(lambda backend: backend.finish(complete))

    def _try(self, action: Callable[[Backend], None]) -> None:
        if self._backend is None:
            return
        try:
            action(self._backend)
        except Exception as error:
            log.warning("tracking has failed, and the training goes on without it: %s", first_line(error))
            self._backend = None


def check_tracking(args: argparse.Namespace) -> None:
    """InputError if the library that --track needs is not installed."""
    if args.track:
        need(args.track)


def open_tracker(name: str | None, folder: Path, settings: Mapping[str, Any], resumed: bool) -> Tracker:
    """The tracker of the run in `folder`, which continues the tracked run if the run is `resumed`.

    `name` is the value of --track. InputError if tracking cannot start.
    """
    if not name:
        return Tracker()
    runs = _read_runs(folder / RUNS)
    try:
        backend = BACKENDS[name](folder, settings, runs.get(name) if resumed else None)
    except Exception as error:
        hint = {"wandb": "WANDB_MODE=offline needs no account", "mlflow": "see MLFLOW_TRACKING_URI"}[name]
        raise InputError(f"--track {name}: cannot begin ({first_line(error)}); {hint}") from None
    with atomic_file(folder / RUNS, "w", encoding="utf-8") as file:
        json.dump({**runs, name: backend.id}, file)
    log.info("tracked by %s: %s", name, backend.place)
    return Tracker(backend)


class _Wandb:
    """A run of Weights & Biases."""

    def __init__(self, folder: Path, settings: Mapping[str, Any], before: str | None) -> None:
        self._wandb = importlib.import_module("wandb")
        self._name = re.sub(r"[^\w.-]", "-", folder.name)[:100]
        # wandb's service resolves a relative folder against the directory in which that service was started.
        self._run = self._wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT), name=folder.name, id=before, resume="allow",
            config=dict(settings), dir=os.path.abspath(os.environ.get("WANDB_DIR", folder)), allow_val_change=True,
            settings=self._wandb.Settings(console="off", silent=True),
        )  # fmt: skip
        self.id = str(self._run.id)
        self.place = str(Path(self._run.dir).parent if self._run.offline else self._run.url)

    def log(self, figures: Mapping[str, float], step: int) -> None:
        self._run.log({name.replace("_", "/", 1): value for name, value in figures.items()}, step=step)

    def upload(self, checkpoint: Path | None, report: Path | None) -> None:
        if report:
            self._run.log({"report": self._wandb.Html(report.read_text("utf-8"), inject=False)})
        if checkpoint:
            artifact = self._wandb.Artifact(f"{self._name}-best", type="model")
            artifact.add_file(str(checkpoint))
            self._run.log_artifact(artifact)

    def finish(self, complete: bool) -> None:
        self._run.finish(exit_code=0)


class _Mlflow:
    """A run of MLflow."""

    def __init__(self, folder: Path, settings: Mapping[str, Any], before: str | None) -> None:
        mlflow = importlib.import_module("mlflow")
        self._entities = importlib.import_module("mlflow.entities")
        self._client = mlflow.MlflowClient()
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        self.id = before or ""
        if before:
            self._client.update_run(before, status="RUNNING")
        else:
            found = self._client.get_experiment_by_name(name)
            experiment = found.experiment_id if found else self._client.create_experiment(name)
            self.id = str(self._client.create_run(experiment, run_name=folder.name).info.run_id)
            values = [self._entities.Param(key, str(value)[:LONGEST]) for key, value in settings.items()]
            for start in range(0, len(values), 100):  # the most that a server accepts at once
                self._client.log_batch(self.id, params=values[start : start + 100])
        self.place = f"{mlflow.get_tracking_uri()}, experiment {name}, run {self.id}"

    def log(self, figures: Mapping[str, float], step: int) -> None:
        now = int(time.time() * 1000)
        self._client.log_batch(
            self.id, metrics=[self._entities.Metric(name, value, now, step) for name, value in figures.items()]
        )

    def upload(self, checkpoint: Path | None, report: Path | None) -> None:
        for path in filter(None, (report, checkpoint)):
            self._client.log_artifact(self.id, str(path))

    def finish(self, complete: bool) -> None:
        self._client.set_terminated(self.id, "FINISHED" if complete else "KILLED")


BACKENDS: dict[str, Callable[[Path, Mapping[str, Any], str | None], Backend]] = {"wandb": _Wandb, "mlflow": _Mlflow}


def _read_runs(path: Path) -> dict[str, str]:
    with suppress(OSError, ValueError, RecursionError):
        runs = json.loads(path.read_text("utf-8"))
        if isinstance(runs, dict):
            return {name: value for name, value in runs.items() if isinstance(value, str)}
    return {}
