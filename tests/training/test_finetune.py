"""Fine-tuning from a folder of videos and a checkpoint to a report, and the flags that fit a checkpoint."""

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import ROOT

from ops.common.errors import InputError
from ops.data.decoders import DECODERS
from ops.models.checkpoint import save_checkpoint
from ops.models.recognizer import build_model
from ops.testing.options import test_parser as make_test_parser
from ops.training.finetune import schedule_flags, set_aside, tuning_flags
from ops.training.options import train_parser as make_train_parser

SCRIPT = ROOT / "examples" / "finetune_folder.sh"
TOLD = "--arch resnet18 --num_segments 3 --dropout 0 --input_size 32 --temporal tam"
STUB = """#!{python}
import json, os, sys
from pathlib import Path
if sys.argv[1] == "-c" and "REAL" in os.environ:
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
if sys.argv[1] == "-c":
    sys.exit(print("{told}"))
words = [word for word in sys.argv[1:] if word != "-u"]
print("ran", json.dumps(words))
name, out = Path(words[0]).name, Path({out!r})
if name == "gen_labels.py" and "EMPTY" not in os.environ:
    (out / "lists").mkdir(parents=True, exist_ok=True)
    for part in ("train.txt", "val.txt", "class_names.txt"):
        (out / "lists" / part).write_text("x")
if name == "online_test_models.py" and "REAL" in os.environ:
    import numpy as np
    (out / "test").mkdir()
    np.save(out / "test" / "confusion.npy", np.array([[4, 0], [1, 3]]))
if name == "online_main.py" and "STOP" in os.environ:
    (out / "ckpt.pth.tar").write_text("x")
    (out / "preempted").write_text("signal 15")
elif name == "online_main.py":
    (out / "preempted").unlink(missing_ok=True)
sys.exit(int(os.environ.get(name.split(".")[0], "0")))
"""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Checkpoints of tiny models, with and without a word about how they were trained."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    paths = {name: folder / f"{name}.pth.tar" for name in ("tam", "tsn", "flow", "text")}
    meta = {"num_segments": 3, "input_size": 32, "dropout": 0.0}
    save_checkpoint(paths["tam"], build_model("resnet18", 2, 3, "RGB", True, 0.0), meta)
    torch.save({"state_dict": build_model("resnet34", 2, 5, "RGB", False, 0.5).state_dict()}, paths["tsn"])
    save_checkpoint(paths["flow"], build_model("resnet18", 2, 3, "Flow", True, 0.5), {})
    paths["text"].write_text("hello")
    return paths


def test_training_is_told_what_a_checkpoint_is(weights: dict[str, Path], tmp_path: Path) -> None:
    assert " ".join(tuning_flags(weights["tam"])) == TOLD
    assert " ".join(tuning_flags(weights["tsn"])) == "--arch resnet34 --num_segments 8 --dropout 0.5 --input_size 224"
    model = build_model("resnet18", 2, 4, "RGB", False, 0.5)
    save_checkpoint(tmp_path / "x.pth", model, {"num_segments": 4, "input_size": 112, "dropout": 0.7})
    assert " ".join(tuning_flags(tmp_path / "x.pth")) == (
        "--arch resnet18 --num_segments 4 --dropout 0.7 --input_size 112"
    )
    with pytest.raises(InputError, match="is a model for Flow"):
        tuning_flags(weights["flow"])


@pytest.mark.parametrize(
    ("clips", "batch", "flags"),
    [
        (12, None, "--batch-size 8 --epochs 150 --eval-freq 5 --patience 15 --keep_last_batch"),
        (3, None, "--batch-size 3 --epochs 300 --eval-freq 10 --patience 15 --keep_last_batch"),
        (3, 8, "--batch-size 8 --epochs 300 --eval-freq 10 --patience 15 --keep_last_batch"),
        (1000, None, "--batch-size 8 --epochs 15 --eval-freq 1 --patience 15 --keep_last_batch"),
    ],
)
def test_few_clips_have_some_hundred_steps(clips: int, batch: int | None, flags: str, tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("".join(f"{n}.mp4 8 0\n" for n in range(clips)))
    assert " ".join(schedule_flags(tmp_path / "train.txt", batch)) == flags


def test_results_of_other_lists_are_set_aside(tmp_path: Path) -> None:
    lists = [tmp_path / "lists" / name for name in ("train.txt", "val.txt")]
    (tmp_path / "lists").mkdir()
    for path in lists:
        path.write_text("a.mp4 8 0\n")
    assert set_aside(tmp_path, lists) == "", "nothing was trained yet"
    for number in ("1", "2"):
        hashes = {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in lists}
        (tmp_path / "args.json").write_text(json.dumps({"lists_sha256": hashes}))
        for name in ("ckpt.pth.tar", "finetune.txt"):
            (tmp_path / name).write_text(number)
        assert set_aside(tmp_path, lists) == "" and (tmp_path / "ckpt.pth.tar").exists()
        with lists[0].open("a") as file:
            file.write("b.mp4 8 1\n")
        assert "training starts anew; the results so far are in" in set_aside(tmp_path, lists)
        assert (tmp_path / "earlier" / number / "ckpt.pth.tar").read_text() == number
        assert not (tmp_path / "ckpt.pth.tar").exists() and (tmp_path / "finetune.txt").exists() and lists[0].exists()


def finetune(folder: Path, *arguments: object, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run the script in `folder`, with a stub in place of Python that says what it is asked to run."""
    python = folder / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True, exist_ok=True)
    python.write_text(STUB.format(python=sys.executable, out=str(folder / "out"), told=TOLD))
    python.chmod(0o755)
    return subprocess.run(
        ["bash", str(SCRIPT), *map(str, arguments)], cwd=folder, capture_output=True, text=True, timeout=240,
        env={**os.environ, "TAM_VENV": str(folder / "venv"), "OMP_NUM_THREADS": "1", **environment},
    )  # fmt: skip


def ran(done: "subprocess.CompletedProcess[str]") -> dict[str, list[str]]:
    """The scripts that were run, in order, with their arguments."""
    lines = [json.loads(line[4:]) for line in done.stdout.splitlines() if line.startswith("ran ")]
    return {Path(words[0]).name: words[1:] for words in lines if "pip" not in words}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "my clips").mkdir()
    return tmp_path


def test_its_commands_fit_together(folder: Path, weights: dict[str, Path]) -> None:
    given = ["my clips", weights["tam"], "--out", "out", "--batch_size", "4", "--epochs", "7", "--lr", "0.002"]
    done = finetune(folder, *given, REAL="yes")
    assert done.returncode == 0, done.stderr
    commands = ran(done)
    assert list(commands) == ["gen_labels.py", "online_main.py", "online_test_models.py", "report.py"]
    lists, clips = str(Path("out/lists")), str(folder / "my clips")
    wanted_lists = ["folder", "--data", clips, "--out", lists, "--val_fraction", "0.2", "--keep_split"]
    assert commands["gen_labels.py"] == wanted_lists
    args = make_train_parser(None, tuple(DECODERS)).parse_args(commands["online_main.py"])
    wanted = {
        "arch": "resnet18", "temporal": "tam", "num_segments": 3, "input_size": 32, "dropout": 0.0, "batch_size": 4,
        "epochs": 7, "lr": 0.002, "scale_lr": 8, "keep_last_batch": True, "patience": 15, "eval_freq": 1,
        "tune_from": str(weights["tam"]), "resume": None, "root_path": clips,
        "store_name": "out", "root_model": ".", "root_log": ".", "train_list": f"{lists}/train.txt",
        "val_list": f"{lists}/val.txt", "class_names": f"{lists}/class_names.txt", "dataset": "custom",
    }  # fmt: skip
    assert {name: getattr(args, name) for name in wanted} == wanted
    test = make_test_parser(None, tuple(DECODERS)).parse_args(commands["online_test_models.py"])
    assert (test.weights, test.output, test.test_list) == (["out/ckpt.pth.tar"], "out/test", [args.val_list])
    assert commands["report.py"] == ["out", "--output", "out/report.html"]
    assert done.stdout.splitlines()[-1].startswith("better than chance: 7 of 8 test videos are right, 88 %")


def test_stopped_and_started_again_it_goes_on(folder: Path, weights: dict[str, Path]) -> None:
    given = ["my clips", weights["tam"], "--out", "out"]
    stopped = finetune(folder, *given, STOP="yes")
    assert stopped.returncode == 3 and list(ran(stopped)) == ["gen_labels.py", "online_main.py"]
    assert "with the same arguments to continue" in stopped.stdout
    again = finetune(folder, *given)
    commands = ["gen_labels.py", "online_main.py", "online_test_models.py", "report.py"]
    assert again.returncode == 0 and list(ran(again)) == commands
    args = make_train_parser(None, tuple(DECODERS)).parse_args(ran(again)["online_main.py"])
    assert (args.resume, args.tune_from, args.temporal, args.input_size) == ("auto", None, "tam", 32)
    other = finetune(folder, "my clips", weights["tsn"], "--out", "out")
    assert other.returncode == 2 and not ran(other) and "out: contains a fine-tuning of" in other.stderr


@pytest.mark.parametrize(
    ("environment", "status", "scripts"),
    [
        ({"gen_labels": "1"}, 1, 4), ({"online_test_models": "1"}, 1, 4), ({"gen_labels": "2"}, 2, 1),
        ({"online_main": "3"}, 3, 2), ({"online_test_models": "2"}, 2, 3), ({"EMPTY": "yes"}, 2, 1),
    ],
)  # fmt: skip
def test_what_fails_on_the_way_is_its_exit_status(
    environment: dict[str, str], status: int, scripts: int, folder: Path, weights: dict[str, Path]
) -> None:
    done = finetune(folder, "my clips", weights["tam"], "--out", "out", **environment)
    assert (done.returncode, len(ran(done))) == (status, scripts), done.stdout + done.stderr


def test_bad_input_and_help(folder: Path, weights: dict[str, Path]) -> None:
    for arguments, message in (
        ([], "error: a folder of videos and a checkpoint are needed"),
        (["my clips"], "error: a folder of videos and a checkpoint are needed"),
        (["nowhere", weights["tam"]], "error: nowhere: no such folder"),
        (["my clips", "nothing.pth"], "error: nothing.pth: no such file"),
        (["my clips", weights["text"]], f"error: {weights['text']}: not a readable checkpoint"),
    ):
        done = finetune(folder, *arguments, REAL="yes")
        assert done.returncode == 2 and done.stderr.startswith(message) and len(done.stderr.splitlines()) == 1
        assert not ran(done)
    assert finetune(folder, "my clips", weights["tam"], "--epochs").returncode
    shown = finetune(folder, "--help")
    assert shown.returncode == 0 and "bash examples/finetune_folder.sh DIR CKPT" in shown.stdout
    assert len(shown.stdout.splitlines()) <= 30 and "set -euo" not in shown.stdout
    for flag in re.findall(r"^        (?:-b \| )?(--\w+)\)", SCRIPT.read_text(), re.MULTILINE):
        assert flag in shown.stdout
