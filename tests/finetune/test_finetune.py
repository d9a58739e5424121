"""tools/finetune.py makes a report from videos and a checkpoint in one command, which can be stopped and continued."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import media
import pytest
import torch
from conftest import ROOT, Call, NewFolder

from ops.data.decoders import DECODERS
from ops.data.lists import read_records
from ops.finetune.schedule import schedule_flags, set_aside
from ops.models.checkpoint import read_checkpoint, save_checkpoint
from ops.models.recognizer import build_model
from ops.testing.options import test_parser as make_test_parser
from ops.training.options import train_parser as make_train_parser

TOOL = "tools/finetune.py"
PYTHON = sys.executable
STUB = """#!{python}
import json, os, signal, sys, time
from pathlib import Path
import numpy as np
words = [word for word in sys.argv[1:] if word != "-u"]
Path("ran").open("a").write(json.dumps(words) + "\\n")
name, out = Path(words[0]).name, Path("out")
if name == "gen_labels.py" and "EMPTY" not in os.environ:
    (out / "lists").mkdir(parents=True, exist_ok=True)
    (out / "lists" / "train.txt").write_text("".join(f"{{n}}.mp4 8 {{n % 2}}\\n" for n in range(8)))
    (out / "lists" / "val.txt").write_text("a.mp4 8 0\\nb.mp4 8 1\\n")
if "test" in name:
    (out / "test").mkdir(exist_ok=True)
    np.save(out / "test" / "confusion.npy", np.array([[4, 0], [1, 3]]))
if "main" in name and "STOP" in os.environ:
    (out / "preempted").write_text("signal 15")
if name.split(".")[0] == os.environ.get("HANG"):
    signal.signal(signal.SIGTERM, lambda *_: (Path("got").open("a").write("TERM "), sys.exit(0)))
    Path("hangs").touch()
    time.sleep(60)
sys.exit(int(os.environ.get(name.split(".")[0], "0")))
"""


@pytest.fixture(scope="module")
def weights(new_folder: NewFolder) -> Path:
    """The checkpoint of a tiny TANet."""
    torch.manual_seed(0)
    path = new_folder("weights") / "tam.pth.tar"
    model = build_model("resnet18", 2, 3, "RGB", tam=True, dropout=0.0)
    save_checkpoint(path, model, {"num_segments": 3, "input_size": 32, "dropout": 0.0})
    return path


@pytest.mark.parametrize(
    ("clips", "given", "flags"),
    [
        (12, (), "--batch-size 8 --epochs 150 --eval-freq 5 --patience 15"),
        (3, (), "--batch-size 3 --epochs 300 --eval-freq 10 --patience 15"),
        (1, (), "--batch-size 1 --epochs 300 --eval-freq 10 --patience 15"),
        (3, (8,), "--batch-size 8 --epochs 300 --eval-freq 10 --patience 15"),
        (1000, (), "--batch-size 8 --epochs 15 --eval-freq 1 --patience 15"),
        (1000, (None, 7), "--batch-size 8 --epochs 7 --eval-freq 1 --patience 15"),
    ],
)
def test_small_datasets_are_trained_for_a_few_hundred_steps(clips: int, given: tuple[int, ...], flags: str) -> None:
    assert " ".join(schedule_flags(clips, *given)) == f"{flags} --keep_last_batch"


def test_results_of_other_lists_are_set_aside(tmp_path: Path) -> None:
    lists = [tmp_path / "lists" / name for name in ("train.txt", "val.txt")]
    (tmp_path / "lists").mkdir()
    for path in lists:
        path.write_text("a.mp4 8 0\n")

    def aside() -> str:
        return set_aside(tmp_path, [read_records(path, False) for path in lists])

    assert aside() == "", "nothing was trained yet"
    for number in ("1", "2"):
        hashes = {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in lists}
        (tmp_path / "args.json").write_text(json.dumps({"lists_sha256": hashes}))
        for name in ("ckpt.pth.tar", "finetune.txt"):
            (tmp_path / name).write_text(number)
        assert aside() == "" and (tmp_path / "ckpt.pth.tar").exists()
        with lists[0].open("a") as file:
            file.write("b.mp4 8 1\n")
        assert "training starts anew; the results so far are in" in aside()
        assert (tmp_path / "earlier" / number / "ckpt.pth.tar").read_text() == number
        assert not (tmp_path / "ckpt.pth.tar").exists() and (tmp_path / "finetune.txt").exists() and lists[0].exists()


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace Python by a stub that records the scripts it is asked to run, and make two class folders."""
    (tmp_path / "python").write_text(STUB.format(python=sys.executable))
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    for name in ("my clips/x/a.mp4", "my clips/y/b.mp4", "frames/x/1/img_00001.jpg"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    (tmp_path / "l.csv").write_text("path,label\nx/a.mp4,x\n")


def ran(folder: Path) -> dict[str, list[str]]:
    """The scripts that the stub was asked to run, in order, with their arguments."""
    lines = (folder / "ran").read_text().splitlines() if (folder / "ran").exists() else []
    return {Path(words[0]).name: words[1:] for words in map(json.loads, lines)}


STEPS = ["show_checkpoint.py", "gen_labels.py", "online_main.py", "online_test_models.py", "report.py"]


@pytest.mark.usefixtures("stub")
def test_its_commands_fit_together(tmp_path: Path, call: Call) -> None:
    given = ["--weights", "w.pth", "--out", "out", "--batch_size", "4", "--epochs", "7", "--lr", "0.002", "-j", "3"]
    done = call(TOOL, "my clips", *given)
    commands = ran(tmp_path)
    assert list(commands) == STEPS and commands["show_checkpoint.py"] == ["w.pth"]
    clips = str(tmp_path / "my clips")
    assert " ".join(commands["gen_labels.py"]) == (
        f"folder --data {clips} --out out/lists --kind videos --val_fraction 0.2 --keep_split"
    )
    args = make_train_parser(None, tuple(DECODERS)).parse_args(commands["online_main.py"])
    wanted = {
        "batch_size": 4, "epochs": 7, "lr": 0.002, "scale_lr": 8, "keep_last_batch": True, "patience": 15,
        "eval_freq": 1, "tune_from": "w.pth", "resume": "auto", "root_path": clips, "store_name": "out",
        "root_model": str(tmp_path), "train_list": "out/lists/train.txt", "val_list": "out/lists/val.txt",
        "class_names": "out/lists/class_names.txt", "dataset": "custom", "workers": 3,
    }  # fmt: skip
    assert {name: getattr(args, name) for name in wanted} == wanted
    assert not args.given & {"arch", "num_segments", "temporal", "tam", "dropout", "input_size"}
    test = make_test_parser(None, tuple(DECODERS)).parse_args(commands["online_test_models.py"])
    assert (test.weights, test.output, test.test_list, test.workers) == (
        ["out/ckpt.pth.tar"], "out/test", [args.val_list], 3,
    )  # fmt: skip
    assert commands["report.py"] == ["out", "--output", "out/report.html"]
    said = "better than chance, by at least 3 percentage points: 7 of 8 test videos are right, 88 %"
    assert done.out.splitlines()[-1].startswith(said)
    assert "the test has only 2 videos: even if all are right, the true accuracy may be as low as 34 %" in done.err
    other = call(TOOL, "my clips", "--weights", "other.pth", "--out", "out", status=2)
    assert other.err.startswith("error: out: contains a fine-tuning of ") and list(ran(tmp_path)) == STEPS


@pytest.mark.usefixtures("stub")
@pytest.mark.parametrize(
    ("data", "lists", "train"),
    [
        (["frames"], ["--data", "frames", "--kind", "frames"], "main.py"),
        (["my clips", "--kind", "frames"], ["--data", "my clips", "--kind", "frames"], "main.py"),
        (["l.csv", "--root_path", "my clips"], ["--data", "my clips", "--annotations", "l.csv"], "online_main.py"),
    ],
)
def test_the_scripts_depend_on_the_kind_of_data(
    data: list[str], lists: list[str], train: str, tmp_path: Path, call: Call
) -> None:
    call(TOOL, *data, "--weights", "w", "--out", "out")
    commands = ran(tmp_path)
    assert train in commands and set(lists) - set(commands["gen_labels.py"]) <= {"frames", "my clips"}
    made = make_train_parser(None, tuple(DECODERS) if train != "main.py" else ()).parse_args(commands[train])
    assert made.root_path == str(tmp_path / lists[1])


@pytest.mark.usefixtures("stub")
@pytest.mark.parametrize(
    ("environment", "status", "scripts"),
    [
        ({"gen_labels": "1"}, 1, 5), ({"online_test_models": "1"}, 1, 5), ({"gen_labels": "2"}, 2, 2),
        ({"online_main": "3"}, 3, 3), ({"online_test_models": "2"}, 2, 4), ({"EMPTY": "yes"}, 2, 2),
        ({"show_checkpoint": "2"}, 2, 1), ({"STOP": "yes"}, 3, 3),
    ],
)  # fmt: skip
def test_a_step_that_fails_decides_the_exit_status(
    environment: dict[str, str], status: int, scripts: int, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    call(TOOL, "my clips", "--weights", "w", "--out", "out", status=status)
    assert len(ran(tmp_path)) == scripts


BAD = {
    "nothing there": (["nowhere"], "nowhere: no such folder or list of videos"),
    "data after flags": (["0.1", "x", "--lr"], "0.1: no such folder or list of videos; give DATA before flags"),
    "an unknown flag": (["my clips", "--lrr", "1"], "unrecognized arguments: --lrr 1"),
    "a flag that it sets": (["my clips", "--store_name", "x"], "--store_name cannot be passed on"),
    "a root of a folder": (["my clips", "--root_path", "x"], "--root_path is for lists of paths and labels"),
    "a root that is not there": (["l.csv", "--root_path", "no"], "--root_path no: no such folder"),
    "paths that are not there": (["l.csv"], "l.csv: none of its 1 path exists below "),
}


@pytest.mark.usefixtures("stub")
@pytest.mark.parametrize("case", BAD)
def test_mistakes_are_found_before_anything_is_done(case: str, tmp_path: Path, call: Call) -> None:
    arguments, message = BAD[case]
    ended = call(TOOL, *arguments, "--weights", "w", "--out", "out", status=2)
    assert ended.err.startswith(f"error: {message}") and ended.err.count("\n") == 1
    assert not ran(tmp_path) and not (tmp_path / "out").exists()


def start(folder: Path, *arguments: object, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, str(ROOT / TOOL), *map(str, arguments)], cwd=folder, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip


def make_clips(folder: Path, count: int) -> None:
    for name in ("jump", "run"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            path = folder / name / f"{number}.mp4"
            if not path.exists():
                media.write_video(path, 6, seed=number + 10 * (name == "run"))


def test_from_videos_to_a_verdict_stopped_continued_and_with_new_videos(weights: Path, tmp_path: Path) -> None:
    make_clips(tmp_path / "clips", 3)
    shutil.copy(weights, tmp_path / "w.pth.tar")
    given = ["clips", "--weights", "w.pth.tar", "--out", "out", "--device", "cpu", "-j", "0"]
    first = start(tmp_path, *given, "--epochs", "100000", "--patience", "100000")
    assert first.stdout
    seen = ""
    while "epoch 2" not in seen and (line := first.stdout.readline()):
        seen += line
    first.send_signal(signal.SIGINT)  # sent only to the tool, which passes it on to its step
    seen += first.communicate(timeout=120)[0]
    assert first.returncode == 3 and "the same command continues" in seen, seen
    assert (tmp_path / "out/preempted").exists() and read_checkpoint(tmp_path / "out/ckpt.pth.tar").num_segments == 3
    make_clips(tmp_path / "clips", 4)
    second = start(tmp_path, *given, "--epochs", "2")
    said = second.communicate(timeout=240)[0]
    assert second.returncode == 0, said
    assert "added to training: 2 videos (jump/3.mp4, run/3.mp4)" in said
    assert "training starts anew; the results so far are in out/earlier/1" in said
    assert "top-1" in said and "chance: 50 %" in said.splitlines()[-1]
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"ckpt.pth.tar", "test", "report.html", "lists"}


@pytest.mark.usefixtures("stub")
def test_a_signal_reaches_the_step_once(tmp_path: Path) -> None:
    wrapped = f"import sys; sys.executable = {str(tmp_path / 'python')!r}; sys.argv = sys.argv[1:]; import runpy; "
    wrapped += "runpy.run_path(sys.argv[0], run_name='__main__')"
    going = subprocess.Popen(
        [PYTHON, "-c", wrapped, str(ROOT / TOOL), "my clips", "--weights", "w", "--out", "out"],
        cwd=tmp_path, env={**os.environ, "HANG": "gen_labels"}, start_new_session=True,
    )  # fmt: skip
    while not (tmp_path / "hangs").exists():
        assert going.poll() is None
    os.killpg(going.pid, signal.SIGTERM)  # sent to the whole process group, as by a job system
    assert going.wait(60) == 3 and (tmp_path / "got").read_text() == "TERM " and len(ran(tmp_path)) == 2


@pytest.mark.usefixtures("stub")
def test_a_dry_run_shows_the_commands_and_runs_none(tmp_path: Path, call: Call) -> None:
    done = call(TOOL, "my clips", "--weights", "w", "--out", "out", "--val_fraction", "0.5", "--dry_run")
    assert [line.split()[1].rsplit("/", 1)[1] for line in done.out.splitlines()] == STEPS
    assert "--batch-size 2 --epochs 300" in done.out and not ran(tmp_path) and not (tmp_path / "out").exists()


def test_the_script_makes_the_environment_and_calls_the_tool(tmp_path: Path) -> None:
    (tmp_path / "venv/bin").mkdir(parents=True)
    python = tmp_path / "venv/bin/python"
    stub = "import json, sys\nprint(json.dumps(sys.argv[1:]))\nsys.exit(3 * sys.argv[1].endswith('finetune.py'))\n"
    python.write_text(f"#!{PYTHON}\n{stub}")
    python.chmod(0o755)
    script = ["bash", str(ROOT / "examples/finetune_folder.sh")]

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        environment = {**os.environ, "TAM_VENV": str(tmp_path / "venv")}
        return subprocess.run([*script, *arguments], cwd=tmp_path, capture_output=True, text=True, env=environment)

    shown = run("--help")
    assert shown.returncode == 0 and "bash examples/finetune_folder.sh DATA CKPT" in shown.stdout
    done = run("my clips", "w.pth", "--epochs", "3")
    assert done.returncode == 3
    assert json.loads(done.stdout.splitlines()[-1])[1:] == ["my clips", "--weights", "w.pth", "--epochs", "3"]
    assert json.loads(run("a", "--weights", "b").stdout.splitlines()[-1])[1:] == ["a", "--weights", "b"]
    assert run().returncode == 2 and run().stderr.startswith("error: videos and a checkpoint are needed")
