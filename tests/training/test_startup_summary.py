"""The summary at the start of a training, its remaining time, and a progress bar that fits 80 columns."""

import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from fcntl import ioctl
from pathlib import Path

import pytest
from conftest import ROOT, Call
from small_runs import TRAINING, write_two_classes
from tqdm import tqdm

from ops.common.console import duration, set_figures
from ops.models.freeze import freeze
from ops.models.recognizer import build_model
from ops.models.temporal_options import temporal_options
from ops.training.eta import Eta
from ops.training.options import train_parser
from ops.training.startup_summary import model_in_words

SETTINGS = [*TRAINING, "--epochs", "3", "--eval-freq", "2", "--store_name", "run"]


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """Make a folder with five short videos and their list."""
    write_two_classes(tmp_path)
    return tmp_path


def test_a_training_says_what_it_is_about_to_do(videos: Path, call: Call) -> None:
    failed = call("online_main.py", *SETTINGS, "--tam", "--tune_from", "none.pth.tar", status=2).out
    assert "training:" not in failed, "the training cannot begin"
    lines = call("online_main.py", *SETTINGS, "--tam", "--max_steps", "5").out.splitlines()
    lines = lines[1:]  # the first one is about mirrored clips
    assert lines[0] == "data: custom, 2 classes; 5 training videos (l.txt), 5 validation videos (l.txt)"
    wanted = r"model: resnet18, tam, RGB, 2 frames of 32 x 32; \d+\.\d\d M parameters, 0\.\d+ G multiply-adds per clip"
    assert re.fullmatch(wanted, lines[1])
    assert lines[2] == "training: 2 clips per step, 2 steps per epoch, 3 epochs, learning rate 0.01"
    assert re.fullmatch(r"device: cpu \(\d+ threads?\), float32", lines[3])
    assert lines[4] == "run folder: checkpoints/run"
    estimates = [line for line in lines if " s per step: " in line]
    assert len(estimates) == 1
    wanted = r"\S+ s per step: \S+ to the end \(\d{4}-\d\d-\d\d \d\d:\d\d\) without validations"
    assert re.fullmatch(wanted, estimates[0])


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (
            ["--arch", "resnet50", "--tam", "--num_class", "400"],
            "tam, RGB, 8 frames of 224 x 224; 25.59 M parameters, 32.7 G",
        ),
        (
            ["--arch", "mobilenet_v2", "--shift"],
            "shift8 blockres, RGB, 8 frames of 224 x 224; 2.23 M parameters, 2.4 G",
        ),
        (
            ["--freeze", "backbone"],
            "no temporal module, RGB, 8 frames of 224 x 224; 23.51 M parameters, 0.0041 M of them",
        ),
        (
            ["--freeze", "stages", "1"],
            "no temporal module, RGB, 8 frames of 224 x 224; 23.51 M parameters, 23.29 M of them",
        ),
    ],
)
def test_the_model_is_described(flags: list[str], words: str) -> None:
    args = train_parser(None, ("pyav",)).parse_args(["custom", "RGB", "--pretrain", "none", *flags])
    model = build_model(args.arch, args.num_class or 2, args.num_segments, "RGB", temporal=temporal_options(args))
    freeze(model, args.freeze)
    assert model_in_words(args, model).startswith(f"{args.arch}, {words}")


def on_terminal(folder: Path, columns: int, *command: str) -> str:
    """Run a script with a terminal of `columns` columns as standard error, and return what it prints there."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, str(ROOT / command[0]), *command[1:]], cwd=folder, stdout=subprocess.DEVNULL, stderr=theirs,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    os.close(theirs)
    written = b""
    try:
        while part := os.read(ours, 65536):
            written += part
    except OSError:  # Linux reports it when the other end is closed
        pass
    os.close(ours)
    assert process.wait(60) == 0, written.decode()
    return written.decode()


@pytest.mark.parametrize("columns", [80, 200])
def test_the_bar_shows_the_time_of_a_step_within_80_columns(columns: int, videos: Path) -> None:
    written = on_terminal(videos, columns, "online_main.py", *SETTINGS, "--max_steps", "2", "-p", "1")
    bars = [line for line in re.split(r"[\r\n]+", re.sub(r"\x1b\[A", "", written)) if "loss" in line]
    assert bars and max(len(bar.rstrip()) for bar in bars) < columns
    numbers = r"loss \d+\.\d{3} .*data \d\.\d\ds step \d\.\d\ds mem \d\.\dG left \d+s"
    assert re.fullmatch(rf"epoch 1/3: 2/2, {numbers}", bars[-1].rstrip())
    assert ("lr 0.01" in bars[-1]) == (columns > 80)


LONG = {
    "loss": "10.991",
    "top1": "100.0",
    "lr": "0.00031",
    "data": "0.05s",
    "step": "12.3s",
    "mem": "10.5G",
    "left": "5h07m",
}


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        (80, "loss 10.991 data 0.05s step 12.3s mem 10.5G"),
        (90, "loss 10.991 data 0.05s step 12.3s mem 10.5G left 5h07m"),
        (120, " ".join(f"{name} {value}" for name, value in LONG.items())),
        (10, ""),
    ],
)
def test_figures_that_do_not_fit_are_left_out(columns: int, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.common.console.terminal_columns", lambda: columns)
    with tqdm(total=100_000, desc="epoch 100/100", file=io.StringIO(), ncols=columns) as bar:
        bar.n = bar.total
        set_figures(bar, LONG, ("loss", "data", "step", "mem", "left"))
        assert (bar.postfix or "") == shown
        assert columns < 40 or str(bar) == f"epoch 100/100: 100000/100000, {shown}".rstrip(", ")


def test_durations_are_short() -> None:
    cases = {-1: "0s", 59.4: "59s", 60: "1m00s", 3599: "59m59s", 3600: "1h00m", 172799: "47h59m", 172800: "2d00h"}
    assert {seconds: duration(seconds) for seconds in cases} == cases


@pytest.mark.parametrize(
    ("start", "max_steps", "step", "left", "validations"),
    [
        (0, None, 0, 50, 3),  # after epochs 2, 4 and 5
        (0, None, 20, 30, 2),
        (0, None, 50, 0, 0),
        (7, 8, 9, 6, 1),  # ends in the middle of epoch 2
        (10, 10, 12, 8, 1),  # ends with epoch 2
        (20, 10, 20, 10, 1),  # ends with epoch 3, which is only validated because the run ends there
        (45, 100, 45, 5, 1),
    ],
)
def test_the_time_left_is_that_of_the_steps_and_validations_to_come(
    start: int, max_steps: int | None, step: int, left: int, validations: int
) -> None:
    eta = Eta(10, 5, 2, max_steps)
    eta.start(start)
    assert eta.seconds(3.0, step) == 3.0 * left
    eta.validation_seconds = 100.0
    assert eta.seconds(3.0, step) == 3.0 * left + 100 * validations
