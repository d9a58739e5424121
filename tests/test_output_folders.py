"""An output folder that cannot be written gives one line, with status 2 before a run starts and 3 during it."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import media
import pytest
from conftest import ROOT, Call, modes_count
from small_runs import save_weights

from ops.training.checkpoint_saver import CheckpointSaver

WEIGHTS = ("--weights", "w.pth.tar", "--device", "cpu")
LISTS = ("--root_path", "clips", "--num_class", "2", "-j", "0", "--input_size", "32")
TRAIN = ("custom", "RGB", "--train_list", "l.txt", "--val_list", "l.txt", *LISTS, "--arch", "resnet18", "--npb")
TRAIN += ("--pretrain", "none", "--num_segments", "3", "-b", "2", "--epochs", "1", "--device", "cpu")

COMMANDS = {
    "training": ("online_main.py", *TRAIN, "--root_model", "out", "--root_log", "out"),
    "a run folder": ("online_main.py", *TRAIN, "--root_model", ".", "--root_log", "logs", "--store_name", "out"),
    "the logs": ("online_main.py", *TRAIN, "--root_model", "runs", "--root_log", ".", "--store_name", "out"),
    "test": ("online_test_models.py", "custom", *WEIGHTS, "--test_list", "l.txt", *LISTS, "--output", "out"),
    "scores": ("online_test_models.py", "custom", *WEIGHTS, "--test_list", "l.txt", *LISTS, "--save_scores", "out/s"),
    "frames": ("tools/extract_frames.py", "clips", "-j", "1", "-o", "out"),
    "flow": ("tools/extract_flow.py", "clips", "-j", "1", "-o", "out"),
    "resized": ("tools/resize_videos.py", "clips", "-j", "1", "-o", "out"),
    "lists": ("tools/gen_labels.py", "folder", "--data", "clips", "--out", "out"),
    "check": ("tools/check_dataset.py", "custom", "--train_list", "l.txt", "--val_list", "l.txt", "--num_class", "2",
              "--root_path", "clips", "-j", "1", "--output", "out"),
    "timelines": ("tools/predict.py", "clips", *WEIGHTS, "--timeline", "out"),
    "drawings": ("tools/predict.py", "clips", *WEIGHTS, "--save", "out"),
    "table": ("tools/predict.py", "clips", *WEIGHTS, "--csv", "out/all.csv"),
    "explanations": ("tools/explain.py", "clips/a/a.mp4", *WEIGHTS, "--output", "out"),
    "page": ("tools/report.py", "results", "--output", "out/page.html"),
    "converted": ("tools/convert_checkpoint.py", "w.pth.tar", "out/w.safetensors"),
    "ONNX": ("tools/export.py", "out/w.onnx", "--weights", "w.pth.tar"),
}  # fmt: skip


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """An empty read-only folder `out`, and the input files of the commands beside it."""
    for seed, name in enumerate(("a/a.mp4", "b/b.mp4")):
        (tmp_path / "clips" / name).parent.mkdir(parents=True)
        media.write_video(tmp_path / "clips" / name, 8, seed=seed)
    (tmp_path / "l.txt").write_text("a/a.mp4 8 0\nb/b.mp4 8 1\n")
    (tmp_path / "results").mkdir()
    (tmp_path / "results/metrics.json").write_text('{"expected": 1, "scored": 1, "failed": 0}')
    save_weights(tmp_path / "w.pth.tar")
    (tmp_path / "out").mkdir(mode=0o555)
    with modes_count():
        yield tmp_path / "out"


@pytest.mark.parametrize("what", COMMANDS)
def test_a_read_only_folder_is_one_line_and_nothing_is_started(what: str, read_only: Path, call: Call) -> None:
    before = sorted(read_only.parent.iterdir())
    said = call(*COMMANDS[what], status=2).err
    place = read_only.parent / said.removeprefix("error: ").split(":")[0]
    assert place.is_relative_to(read_only), said
    assert said.endswith("(Permission denied)\n") and said.count("\n") == 1 and not os.listdir(read_only), said
    assert [path for path in sorted(read_only.parent.iterdir()) if path not in before] == []


def spoil(folder: Path, how: str) -> None:
    """Make a folder unusable in one of the ways that can happen while it is being written to."""
    if how == "read-only":
        folder.chmod(0o555)
        return
    folder.rename(folder.with_name("moved"))  # in one step, because the run keeps writing to it
    if how == "a file":
        folder.touch()


@pytest.mark.parametrize("how", ["gone", "a file", "read-only"])
def test_a_training_that_loses_its_folder_ends_in_one_line(
    how: str, read_only: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, saves = read_only.parent / "run", []
    save = CheckpointSaver.save

    def spoilt(self: CheckpointSaver, *arguments: Any) -> None:
        saves.append(how)
        if len(saves) == 2:
            spoil(folder, how)
        save(self, *arguments)

    monkeypatch.setattr(CheckpointSaver, "save", spoilt)
    train = (*COMMANDS["a run folder"], "--root_log", ".", "--store_name", "run", "--epochs", "3", "--eval-freq", "1")
    said = call(*train, status=3).err.splitlines()[-1]
    assert said.startswith("error: run/") and "cannot be written (" in said


@pytest.mark.parametrize(("tool", "how"), [("frames", "gone"), ("frames", "a file"), ("resized", "gone")])
def test_a_data_tool_that_loses_its_folder_ends_in_one_line(tool: str, how: str, read_only: Path) -> None:
    for number in range(40):
        shutil.copy(read_only.parent / "clips/a/a.mp4", read_only.parent / f"clips/a/{number}.mp4")
    made = read_only.parent / "made"
    command = [sys.executable, str(ROOT / COMMANDS[tool][0]), *COMMANDS[tool][1:-1], "made"]
    process = subprocess.Popen(command, cwd=read_only.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not any(path.stat().st_size for path in made.glob(".journal/*.jsonl")) and process.poll() is None:
        time.sleep(0.005)
    spoil(made, how)
    said = process.communicate(timeout=240)[1].splitlines()[-1]
    assert process.returncode == 3 and said.startswith("error: ") and "Traceback" not in said, said
    assert "made: was removed or replaced while results were written there" in said or "cannot be written" in said
