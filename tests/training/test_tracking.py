"""Tracking: with the real libraries where they are installed, and what happens where they are not, or fail."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import media
import pytest
from conftest import Call

from ops.common.console import start_logging
from ops.common.errors import InputError
from ops.training.tracking import Tracker, open_tracker

SETTINGS = {"lr": 0.1, "lr_steps": [50, 75], "class_names": None, "train_list": "x" * 5000}
ROW = {"epoch": 3, "step": 40, "lr": 0.1, "train_loss": 1.5, "val_loss": float("nan"), "val_top1": 75.0}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a run with a best checkpoint and a page; the libraries write beside it, and ask no server."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "data"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(tmp_path / "mlruns"))
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    for name in ("WANDB_PROJECT", "WANDB_DIR", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    run = tmp_path / "my run"
    run.mkdir()
    (run / "ckpt.best.pth.tar").write_bytes(b"weights")
    (run / "report.html").write_text("<p>page</p>")
    before = dict(os.environ)
    yield run
    os.environ.clear()
    os.environ.update(before)


class Broken:
    """A backend whose server has gone."""

    id, place = "1", "nowhere"

    def __init__(self) -> None:
        self.calls: list[str] = []

    def log(self, figures: Any, step: int) -> None:
        self.calls.append("log")
        raise ConnectionError("the server is gone\nand more")

    def upload(self, checkpoint: Any, report: Any) -> None:
        self.calls.append("upload")

    def finish(self, complete: bool) -> None:
        self.calls.append("finish")


def test_an_error_of_the_tracker_is_one_warning(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start_logging()
    backend = Broken()
    tracker = Tracker(backend)
    for _ in range(3):
        tracker.epoch(ROW)
    tracker.end(folder, complete=True)
    assert backend.calls == ["log"]
    said = capsys.readouterr().err
    assert said == "warning: tracking has failed, and the training goes on without it: the server is gone\n"


def test_without_the_flag_nothing_is_tracked(folder: Path) -> None:
    tracker = open_tracker(None, folder, SETTINGS, resumed=False)
    tracker.epoch(ROW)
    tracker.end(folder, complete=True)
    assert not (folder / "tracking.json").exists()


@pytest.mark.parametrize("library", ["wandb", "mlflow"])
def test_a_library_that_is_missing_is_one_line(
    library: str, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, library, None)
    (tmp_path / "l.txt").write_text("0.mp4 8 0\n")
    lists = ["--train_list", "l.txt", "--val_list", "l.txt", "--root_path", ".", "--device", "cpu"]
    said = call("online_main.py", "custom", "RGB", *lists, "--track", library, status=2).err
    assert f"this tool needs {library}: python -m pip install {library}" in said and len(said.splitlines()) == 1
    assert not (tmp_path / "checkpoints").exists()


def test_mlflow_has_settings_figures_and_files_and_a_resumed_run_goes_on(folder: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    tracker = open_tracker("mlflow", folder, SETTINGS, resumed=False)
    tracker.epoch(ROW)
    tracker.end(folder, complete=False)
    number = json.loads((folder / "tracking.json").read_text())["mlflow"]
    client = mlflow.MlflowClient()
    assert client.get_run(number).info.status == "KILLED" and not client.list_artifacts(number)
    tracker = open_tracker("mlflow", folder, {**SETTINGS, "lr": 0.5}, resumed=True)
    tracker.epoch({**ROW, "epoch": 4, "val_top1": 80.0})
    tracker.end(folder, complete=True)
    run = client.get_run(number)
    assert run.info.status == "FINISHED" and run.info.run_name == "my run"
    assert run.data.params["lr"] == "0.1" and run.data.params["lr_steps"] == "[50, 75]"
    history = client.get_metric_history(number, "val_top1")
    assert [(metric.step, metric.value) for metric in history] == [(3, 75.0), (4, 80.0)]
    assert "val_loss" not in run.data.metrics and run.data.metrics["train_loss"] == 1.5
    assert {file.path for file in client.list_artifacts(number)} == {"ckpt.best.pth.tar", "report.html"}
    open_tracker("mlflow", folder, SETTINGS, resumed=False).end(folder, complete=False)
    assert json.loads((folder / "tracking.json").read_text())["mlflow"] != number, "a new run"


def test_mlflow_that_cannot_begin_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nonsense://x")
    with pytest.raises(InputError, match=r"--track mlflow: cannot begin \(.*\); see MLFLOW_TRACKING_URI"):
        open_tracker("mlflow", folder, SETTINGS, resumed=False)


def test_wandb_writes_settings_figures_and_files_offline(folder: Path) -> None:
    pytest.importorskip("wandb")
    tracker = open_tracker("wandb", folder, SETTINGS, resumed=False)
    tracker.epoch(ROW)
    tracker.end(folder, complete=False)
    number = json.loads((folder / "tracking.json").read_text())["wandb"]
    tracker = open_tracker("wandb", folder, SETTINGS, resumed=True)
    tracker.epoch({**ROW, "epoch": 4})
    tracker.end(folder, complete=True)
    runs = sorted((folder / "wandb").glob("offline-run-*/*.wandb"))
    assert {path.name for path in runs} == {f"run-{number}.wandb"}
    content = b"".join(path.read_bytes() for path in runs)
    for wanted in (b"lr_steps", b"val/top1", b"my run", b"my-run-best", b"ckpt.best.pth.tar", b"report"):
        assert wanted in content, wanted
    assert list((folder / "wandb").rglob("*.html"))


@pytest.mark.parametrize("library", ["wandb", "mlflow"])
def test_a_training_is_tracked_to_its_end(library: str, folder: Path, call: Call) -> None:
    pytest.importorskip(library)
    place = folder.parent
    for number in range(2):
        media.write_video(place / f"{number}.mp4", 8, seed=number)
    (place / "l.txt").write_text("0.mp4 8 0\n1.mp4 8 1\n")
    train = ["custom", "RGB", "--train_list", "l.txt", "--val_list", "l.txt", "--root_path", ".", "--num_class", "2"]
    train += ["--arch", "resnet18", "--pretrain", "none", "--num_segments", "2", "-b", "2", "--npb", "-j", "0"]
    train += ["--input_size", "32", "--device", "cpu", "--epochs", "1", "--lr", "1e-4", "--store_name", "run"]
    said = call("online_main.py", *train, "--track", library)
    assert f"tracked by {library}: " in said.out and "tracking has failed" not in said.err
    if library == "mlflow":
        import mlflow

        number = json.loads((place / "checkpoints/run/tracking.json").read_text())["mlflow"]
        run = mlflow.MlflowClient().get_run(number)
        assert run.info.status == "FINISHED" and "val_top1" in run.data.metrics and run.data.params["epochs"] == "1"
