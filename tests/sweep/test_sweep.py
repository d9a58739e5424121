"""Sweeps: their command lines, how they go on after failures and signals, and what their table says."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import media
import pytest
from conftest import ROOT, Call

from ops.common.errors import InputError
from ops.sweep.options import parse_sweep
from ops.sweep.processes import Sweep
from ops.sweep.run_sweep import run_all
from ops.sweep.runs import Run, runs_of
from ops.sweep.sweep_table import read_settings, write_results

TRAIN = ["custom", "RGB", "--train_list", "l.txt", "--val_list", "l.txt", "--root_path", ".", "--num_class", "2"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with two videos and their list."""
    monkeypatch.chdir(tmp_path)
    for number in range(2):
        media.write_video(tmp_path / f"{number}.mp4", 8, seed=number)
    (tmp_path / "l.txt").write_text("0.mp4 8 0\n1.mp4 8 1\n")
    return tmp_path


def runs(*words: str) -> list[Run]:
    return runs_of(*parse_sweep(None, words))


def test_every_combination_has_a_run_for_each_seed(folder: Path) -> None:
    found = runs(
        *("--out", "o", "--set", "lr=0.1,1e-2", "--set", "lr_steps=3,4 5", "--set", "tam=true,false"),
        *("--seeds", "0", "7", "--", "python", "x/online_main.py", *TRAIN, "--device", "cpu"),
    )
    assert len(found) == 2 * 2 * 2 * 2 and len({run.name for run in found}) == 16
    assert [run.seed for run in found] == [0] * 8 + [7] * 8
    run = found[-2]
    assert run.name == "lr-1e-2_lr_steps-4-5_tam-true_seed7" and run.device == "cpu"
    assert run.setting == {"lr": "1e-2", "lr_steps": "4 5", "tam": "true"}
    own = ["--lr=1e-2", "--lr_steps", "4", "5", "--tam", "--seed", "7", "--root_log", str(folder / "o")]
    own += ["--root_model", str(folder / "o"), "--store_name", run.name, "--resume", "auto"]
    assert list(run.words) == ["online_main.py", *TRAIN, "--device", "cpu", *own]
    assert run.command[:3] == [sys.executable, "-u", str(ROOT / "online_main.py")]
    assert "--tam" not in found[-1].words


MISTAKES = {
    "no command": (["--out", "o"], "give the training command after --"),
    "another command": (["--out", "o", "--", "test_models.py"], "must be main.py or online_main.py"),
    "no values": (["--out", "o", "--set", "lr", "--", "main.py"], "'lr' must be a flag and its values"),
    "a value twice": (["--out", "o", "--set", "lr=1,1", "--", "main.py"], "has a value twice"),
    "no flag": (["--out", "o", "--set", "lrr=1", "--", "main.py"], "--set lrr: main.py has no such flag"),
    "seeds": (["--out", "o", "--set", "seed=1,2", "--", "main.py"], r"\(seeds: --seeds\)"),
    "a flag twice": (["--out", "o", "--set", "wd=1", "--set", "weight-decay=2", "--", "main.py"], "is given twice"),
    "no switch": (["--out", "o", "--set", "tam=1", "--", "main.py"], "--tam is a switch: give true or false"),
    "a bad value": (["--out", "o", "--set", "lr=x", "--", "main.py", "custom", "RGB"], "argument --lr.*: 'x' must be"),
    "own flags": (["--out", "o", "--", "main.py", *TRAIN, "--store_name=x"], "--store_name: leave it out"),
    "own short flags": (["--out", "o", "--", "main.py", *TRAIN, "-e"], "-e: leave it out"),
    "a seed twice": (["--out", "o", "--seeds", "1", "1", "--", "main.py", *TRAIN], "would have the folder seed1"),
    "one name": (["--out", "o", "--set", "suffix=a,b", "--", "main.py", *TRAIN], "no such flag that a sweep could set"),
    "names alike": (["--out", "o", "--set", "arch=a b,a-b", "--", "main.py", *TRAIN], "would have the folder arch-a-b"),
    "a long name": (["--out", "o", "--set", f"arch={'a' * 200}", "--", "main.py", *TRAIN], "too long a name"),
    "a device": (["--out", "o", "--", "main.py", *TRAIN, "--device", "cuda:1"], "chooses the GPUs itself"),
    "no list": (["--out", "o", "--", "main.py", *TRAIN, "--val_list", "none.txt"], "none.txt: cannot read the list"),
    "a flag misspelt": (["--out", "o", "--set", "lr_step=1", "--", "main.py"], r"\(did you mean lr_steps\?\)"),
    "always on": (["--out", "o", "--set", "tam=false", "--", "main.py", *TRAIN, "--tam"], "tam=false: the command or"),
    "two modules": (["--out", "o", "--set", "shift=true", "--", "main.py", *TRAIN, "--tam"], "ask for different temp"),
    "the same": (["--out", "o", "--set", "lr=0.1,1e-1", "--", "main.py", *TRAIN], "lr-1e-1_seed0 would be the same tr"),
    "no weights": (["--out", "o", "--set", "tune_from=no.pth", "--", "main.py", *TRAIN], "no.pth"),
    "no run": (["--out", "o", "--", "main.py", "--config", "c.json"], "c.json: evaluate: leave it out"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_are_one_line_before_anything_is_done(
    case: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, message = MISTAKES[case]
    monkeypatch.setattr(sys, "argv", ["sweep.py", *words])
    (folder / "c.json").write_text('{"dataset": "custom", "modality": "RGB", "evaluate": true}')
    with pytest.raises(InputError, match=message) as caught:
        runs(*words)
    assert "\n" not in str(caught.value) and not (folder / "o").exists()
    assert "are not read as flags" not in str(caught.value), "the -- is where it belongs"


def test_a_switch_with_an_opposite_is_turned_off_by_it(folder: Path) -> None:
    for name, on, off in (
        ("multi_label", "--multi_label", "--no-multi_label"),
        ("no-multi_label", "--no-multi_label", "--multi_label"),
    ):
        command = ["--", "main.py", *TRAIN, "--multi_label"]
        for value, flag in (("true", on), ("false", off)):
            (run,) = runs("--out", "o", "--set", f"--{name}={value}", *command)
            assert run.words[len(command) - 1] == flag and run.setting == {name: value}


def test_gpus_that_cannot_be_used_are_one_line(folder: Path) -> None:
    for run, message in (
        (Run({}, 0, "seed0", []), "GPU 999 does not exist"),
        (Run({}, 0, "seed0", [], "cpu"), "--gpus 999 cannot be combined with --device cpu"),
    ):
        with pytest.raises(InputError, match=message):
            run_all(folder / "o", [run], [999], None)
        assert not (folder / "o").exists()


def test_there_are_no_more_jobs_than_runs(folder: Path) -> None:
    """Each job would otherwise get only its share of the cores."""
    (folder / "o").mkdir()
    assert Sweep(folder / "o", stand_ins(folder, 1, 2), [], 10**15).jobs == 2


def test_a_sweep_of_trainings_names_what_failed_and_goes_on(folder: Path, call: Call) -> None:
    train = [*TRAIN, "--arch", "resnet18", "--pretrain", "none", "--dense_sample", "-b", "2", "--npb", "-j", "0"]
    train += ["--input_size", "32", "--device", "cpu", "--epochs", "2", "--eval-freq", "1"]
    command = ["--out", "o", "--set", "num_segments=99,2", "--", "online_main.py", *train]
    shown = call("tools/sweep.py", "--dry_run", *command).out.splitlines()
    assert len(shown) == 2 and "--num_segments=99" in shown[0] and not (folder / "o").exists()
    ended = call("tools/sweep.py", *command, status=1)
    assert "num_segments-99_seed0: failed with status 2: error: --num_segments (99) must be at most 64" in ended.err
    assert ended.out.count("| num_segments | val top-1 % |") == 1 and "| 2 | " in ended.out
    log = list(csv.DictReader((folder / "o/num_segments-2_seed0/log.csv").open(newline="")))
    (row,) = csv.DictReader((folder / "o/sweep.csv").open(newline=""))
    assert row["num_segments"] == "2" and row["seeds"] == "0" and row["val_top1_std"] == ""
    assert float(row["val_top1_mean"]) == pytest.approx(float(log[-1]["val_top1"]))
    assert float(row["best_top1_mean"]) == pytest.approx(max(float(line["val_top1"]) for line in log))
    assert "num_segments-2_seed0" in (folder / "o/report.html").read_text()
    before = (folder / "o/output/num_segments-2_seed0.txt").read_text()
    assert "1 of 2 runs finished already" in call("tools/sweep.py", *command, status=1).out
    assert (folder / "o/output/num_segments-2_seed0.txt").read_text() == before
    changed = call("tools/sweep.py", *command, "--wd", "0.1", status=2).err
    assert "was made by another command" in changed and len(changed.splitlines()) == 1


STAND_IN = """
import os, signal, sys, time
from pathlib import Path
folder, seconds = Path(sys.argv[1]), float(sys.argv[2])
folder.mkdir(exist_ok=True)
(folder / "preempted").unlink(missing_ok=True)
def stop(*_):
    (folder / "preempted").write_text("signal")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print("on", os.environ.get("CUDA_VISIBLE_DEVICES"), "from", time.time(), flush=True)
time.sleep(seconds)
(folder / "log.csv").write_text("epoch,lr,train_loss,val_top1,seconds\\n0,1,1,90,1\\n1,1,1," + sys.argv[3] + ",1\\n")
(folder / "ckpt.pth.tar").touch()
print("to", time.time())
"""
"""As long as a training, and with the same files, but without PyTorch."""


def stand_ins(folder: Path, *figures: float, seconds: float = 0.0) -> list[Run]:
    """A run for each figure, the validation top-1 after its last epoch: two seeds for each setting."""
    (folder / "train.py").write_text(STAND_IN)
    found = []
    for number, figure in enumerate(figures):
        name = f"lr-{number // 2}_seed{number % 2}"
        words = [str(folder / "train.py"), str(folder / "o" / name), str(seconds), str(figure)]
        found.append(Run({"lr": str(number // 2)}, number % 2, name, words))
    return found


def test_the_table_has_mean_and_spread_of_each_setting(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_all(folder / "o", stand_ins(folder, 40, 60, 80, 100, 70), [], 3) == 0
    rows = list(csv.DictReader((folder / "o/sweep.csv").open(newline="")))
    assert [row["lr"] for row in rows] == ["1", "2", "0"], "best first"
    assert [float(row["val_top1_mean"]) for row in rows] == [90, 70, 50]
    assert float(rows[0]["val_top1_std"]) == pytest.approx(200**0.5, 1e-4) and rows[1]["val_top1_std"] == ""
    assert [float(row["best_top1_mean"]) for row in rows] == [95, 90, 90]
    lines = capsys.readouterr().out.splitlines()
    assert "| 1 | 90.0 | ± 14.1 | 80.0 100.0 | 95.0 | ± 7.1 | 2 |" in lines
    assert (folder / "o/sweep.md").read_text() in "\n".join([*lines, ""])


def test_the_table_of_trainings_with_several_labels_has_their_map(folder: Path) -> None:
    (folder / "r").mkdir()
    (folder / "r/log.csv").write_text("epoch,lr,train_loss,val_top1,val_mAP,seconds\n0,1,1,90,30,1\n1,1,1,80,20,1\n")
    (folder / "r/args.json").write_text('{"arguments": {"multi_label": true}}')
    write_results(folder, read_settings(folder, [Run({"lr": "1"}, 0, "r", [])]))
    (row,) = csv.DictReader((folder / "sweep.csv").open(newline=""))
    assert (row["val_mAP_mean"], row["best_mAP_mean"]) == ("20", "30") and "val_top1_mean" not in row
    assert "| lr | val mAP % |" in (folder / "sweep.md").read_text()


def test_runs_share_the_gpus_and_no_more_than_jobs_go_on(folder: Path) -> None:
    sweep_runs = stand_ins(folder, 1, 2, 3, 4, seconds=0.5)
    (folder / "o/output").mkdir(parents=True)
    sweep = Sweep(folder / "o", sweep_runs, [2, 5], 2)
    sweep.run()
    assert all(map(sweep.finished, sweep_runs)) and not sweep.failures()
    said = [(folder / "o/output" / f"{run.name}.txt").read_text().split() for run in sweep_runs]
    assert sorted(words[1] for words in said) == ["2", "2", "5", "5"]
    spans = [(float(words[3]), float(words[5])) for words in said]
    together = [sum(one[0] < other[1] and other[0] < one[1] for other in spans) for one in spans]
    assert max(together) == 2


def test_a_signal_reaches_the_runs_and_the_sweep_goes_on_later(folder: Path) -> None:
    sweep_runs = stand_ins(folder, 1, 2, seconds=30)
    code = f"""
import sys
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}, {str(ROOT / "tests/sweep")!r}]
from pathlib import Path
from ops.common.errors import run
from test_sweep import stand_ins, run_all
folder = Path({str(folder)!r})
run(lambda: run_all(folder / "o", stand_ins(folder, 1, 2, seconds=30), [], 1))
"""
    sweep = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, env={**os.environ})
    output = folder / "o/output" / f"{sweep_runs[0].name}.txt"
    while not (output.exists() and "on" in output.read_text()) and sweep.poll() is None:
        time.sleep(0.05)
    sweep.send_signal(signal.SIGTERM)
    said = sweep.communicate(timeout=60)[1]
    assert sweep.returncode == 3 and "stopped by a signal, everything is saved; the same command continues" in said
    state = json.loads((folder / "o/sweep.json").read_text())
    assert state[sweep_runs[0].name]["status"] == 3 and sweep_runs[1].name not in state
    state[sweep_runs[0].name]["words"][2] = "0.0"
    (folder / "o/sweep.json").write_text(json.dumps(state))
    assert run_all(folder / "o", stand_ins(folder, 1, 2), [], 1) == 0


def test_a_state_that_cannot_be_read_is_one_line(folder: Path) -> None:
    (folder / "o").mkdir()
    (folder / "o/sweep.json").write_text("[1]")
    with pytest.raises(InputError, match=r"sweep.json: cannot be read; use another --out"):
        run_all(folder / "o", stand_ins(folder, 1), [], 1)


def test_ray_tune_that_is_not_installed_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r'^--engine tune needs Ray Tune \(.*\): python -m pip install "ray\[tune\]"$'):
        run_all(folder / "o", stand_ins(folder, 1), None, None, "tune")
    with pytest.raises(InputError, match="--gpus cannot be combined with --engine tune"):
        run_all(folder / "o", stand_ins(folder, 1), [0], None, "tune")


def test_ray_tune_trains_the_same_runs(folder: Path) -> None:
    pytest.importorskip("ray.tune")
    sweep_runs = [*stand_ins(folder, 40, 60), Run({"lr": "1"}, 0, "lr-1_seed0", ["none.py"])]
    assert run_all(folder / "o", sweep_runs, None, 2, "tune") == 1
    (row,) = csv.DictReader((folder / "o/sweep.csv").open(newline=""))
    assert float(row["val_top1_mean"]) == 50 and row["seeds"] == "0 1"
    state = json.loads((folder / "o/sweep.json").read_text())
    assert [state[run.name]["status"] for run in sweep_runs] == [0, 0, 2]
    before = (folder / "o/output/lr-0_seed0.txt").read_text()
    assert run_all(folder / "o", sweep_runs, None, 2, "tune") == 1, "only the one that failed is tried again"
    assert (folder / "o/output/lr-0_seed0.txt").read_text() == before
