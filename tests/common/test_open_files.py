"""If the limit on open files is too low, commands that start processes report it in one line before starting any."""

import os
import subprocess
import sys
from pathlib import Path

import media
import pytest
from conftest import ROOT
from small_runs import save_weights

TRAIN = "online_main.py custom RGB --train_list l.txt --val_list l.txt --root_path . --num_class 2 --arch resnet18"
TRAIN += " --pretrain none --num_segments 3 --input_size 32 --device cpu -b 2 --epochs 1 -j 2 --store_name run"
TEST = "online_test_models.py custom --weights w.pth.tar --test_list l.txt --root_path . --input_size 32 --device cpu"
TEST += " -j 2 --output out"
EXTRACT = "tools/extract_frames.py a.mp4 -o frames -j 2"


def run_with(files: int, folder: Path, command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["bash", "-c", f"ulimit -n {files} && exec {command}"], cwd=folder, capture_output=True, text=True,
        timeout=300, check=False, env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


@pytest.fixture
def video(tmp_path: Path) -> Path:
    save_weights(tmp_path / "w.pth.tar")
    media.write_video(tmp_path / "a.mp4", 6)
    (tmp_path / "l.txt").write_text("a.mp4 0\na.mp4 1\n" * 4)
    return tmp_path


@pytest.mark.parametrize(
    ("files", "command", "needed"),
    [(12, TEST, 52), (16, TEST, 52), (20, EXTRACT, 40), (24, TRAIN, 52)],
)
def test_a_low_limit_is_reported_before_anything_is_started(files: int, command: str, needed: int, video: Path) -> None:
    done = run_with(files, video, f"{sys.executable} {ROOT}/{command}")
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert f"the limit on open files is too low: {files}, but -j 2 needs {needed}" in done.stderr
    assert sorted(path.name for path in video.iterdir() if path.is_dir() and any(path.iterdir())) == []


@pytest.mark.parametrize(("files", "command"), [(52, TEST), (40, EXTRACT)])
def test_the_requested_limit_is_enough(files: int, command: str, video: Path) -> None:
    done = run_with(files, video, f"{sys.executable} {ROOT}/{command}")
    assert done.returncode == 0, done.stderr


def test_a_soft_limit_is_raised(tmp_path: Path) -> None:
    code = (
        "import resource as r; from ops.common.open_files import *; allow_open_files(8, 10); print(r.getrlimit(7)[0])"
    )
    done = run_with(300, tmp_path, f"bash -c 'ulimit -Sn 24; exec {sys.executable} -c \"{code}\"'")
    assert done.stdout == "300\n", done.stderr
