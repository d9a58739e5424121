"""Several processes give the same scores and gradients as one; a process that dies is started again."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import media
import numpy as np
import pytest
import ranks
import torch
from conftest import ROOT
from devices import on_gpu

from ops.data.collate import ClipBatch
from ops.data.decoders import DECODERS, video_reader
from ops.models.recognizer import build_model
from ops.training.options import train_parser
from ops.training.train import run_training


def torchrun(folder: Path, processes: int, *command: object, options: tuple[str, ...] = ()) -> "subprocess.Popen[str]":
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return subprocess.Popen(
        [*launcher, *options, *map(str, command)], cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def finish(process: "subprocess.Popen[str]") -> str:
    printed = process.communicate(timeout=600)[0]
    assert process.returncode == 0, printed
    return printed


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    """Lists of 1, 2, 3, 5 and 7 videos of different lengths; the third video is broken."""
    torch.save({"state_dict": build_model("resnet18", 5, 4).state_dict()}, tmp_path / "w.pth.tar")
    lines = []
    for number in range(7):
        media.write_video(tmp_path / f"{number}.mp4", 6 + number, seed=number)
        lines.append(f"{number}.mp4 {6 + number} {number % 5}\n")
    (tmp_path / "2.mp4").write_bytes(b"broken")
    for count in ranks.COUNTS:
        (tmp_path / f"{count}.txt").write_text("".join(lines[:count]))
    return tmp_path


def test_any_number_of_processes_gives_the_same_scores_file(lists: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(lists)
    ranks.score_lists(lists)
    for processes in (2, 3):
        ranks.start("score_lists", lists, processes)
        for count in ranks.COUNTS:
            one, several = lists / f"{count}_by_1", lists / f"{count}_by_{processes}"
            assert one.with_suffix(".npz").read_bytes() == several.with_suffix(".npz").read_bytes()
            for name in ("predictions.csv", "per_class.csv"):
                assert (one / name).read_bytes() == (several / name).read_bytes()
    scores = np.load(lists / "7_by_3.npz")
    assert scores["ok"].tolist() == [True, True, False, True, True, True, True]
    assert np.isfinite(scores["scores"]).all(axis=1).tolist() == scores["ok"].tolist()


def test_all_processes_compute_in_the_same_runtime(lists: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    ranks.start("score_automatically", lists, 1)
    ranks.start("score_automatically", lists, 2)
    found = {
        path.parent.name: json.loads(path.read_text())["runtime"].split()[0] for path in lists.glob("*/metrics.json")
    }
    assert found == {"everywhere_by_1": "onnxruntime", "everywhere_by_2": "onnxruntime", "missing_by_2": "torch",
                     "failing_by_2": "torch"}  # fmt: skip
    assert (lists / "everywhere_by_1.npz").read_bytes() == (lists / "everywhere_by_2.npz").read_bytes()
    assert (lists / "missing_by_2.npz").read_bytes() == (lists / "failing_by_2.npz").read_bytes()


@pytest.mark.parametrize("what", ["save_gradients", on_gpu("save_gradients_by_nccl", count=2)])
def test_gradients_of_two_processes_are_those_of_one_with_all_clips(what: str, tmp_path: Path) -> None:
    """Double precision is used, so that rounding hides no mistake. With several parts, gradients are exchanged once."""
    ranks.start(what, tmp_path, 2)
    model = ranks.network()
    expected = ranks.gradients(model, model, ranks.batch(0, 1), 1)
    assert len(expected) == len(list(model.parameters())) and all(value.any() for value in expected.values())
    found = torch.load(tmp_path / "gradients.pt")
    for grads, _ in found.values():
        for name, value in expected.items():
            torch.testing.assert_close(grads[name], value, rtol=1e-9, atol=1e-12)
    exchanged = {parts: count for parts, (_, count) in found.items()}
    assert exchanged[1] == exchanged[2] == exchanged[4] >= 1
    whole = ranks.batch(0, 1)
    for length, last in torch.load(tmp_path / "last.pt").items():
        first = ClipBatch(whole.pixels[:length], whole.labels[:length], list(range(length)), length)
        for name, value in ranks.gradients(model, model, first, 1).items():
            for grads in last:
                torch.testing.assert_close(grads[name], value, rtol=1e-9, atol=1e-12)


def test_processes_that_were_given_other_files_are_told_before_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoints are from the same epoch and differ only in the momentum."""
    monkeypatch.chdir(tmp_path)
    for number in range(2):
        media.write_video(tmp_path / f"{number}.mp4", 8, seed=number)
        (tmp_path / f"l{number}.txt").write_text(f"0.mp4 8 0\n1.mp4 8 {number}\n")
    flags = [*ranks.TRAIN, "--train_list", "l0.txt", "--max_steps", "1", "--store_name", "first"]
    run_training(train_parser(None, tuple(DECODERS)).parse_args(flags), video_reader)
    saved = torch.load(tmp_path / "checkpoints/first/ckpt.pth.tar", weights_only=True)
    for number in range(2):
        saved["optimizer"]["state"][0]["momentum_buffer"].fill_(number)
        torch.save(saved, tmp_path / f"c{number}.pth.tar")
    ranks.start("train_on_other_files", tmp_path, 2)
    for what, named in {"lists": "the lists", "checkpoint": "the checkpoint", "lr": "--lr"}.items():
        said = [(tmp_path / f"{what}.{rank}").read_text() for rank in range(2)]
        assert said == [f"process 1 and process 0 were given different settings: {named}"] * 2
        assert not list((tmp_path / "checkpoints" / what).glob("ckpt*"))


TRAIN = ["custom", "RGB", "--train_list", "l.txt", "--val_list", "v.txt", "--root_path", ".", "--num_class", "2"]
TRAIN += ["--arch", "resnet18", "--pretrain", "none", "--num_segments", "3", "--input_size", "32", "--npb", "--tam"]
TRAIN += ["--device", "cpu", "-b", "4", "--epochs", "2", "--eval-freq", "1", "--lr", "0.01", "-j", "1"]
TRAIN += ["--resume", "auto", "--ckpt_interval", "1", "--deterministic"]


def test_a_process_that_dies_is_started_again_and_nothing_is_lost(tmp_path: Path) -> None:
    lines = []
    for number in range(8):
        media.write_video(tmp_path / f"{number}.mp4", 8, seed=number)
        lines.append(f"{number}.mp4 8 {number % 2}\n")
    (tmp_path / "l.txt").write_text("".join(lines))
    (tmp_path / "v.txt").write_text("".join(lines[:4]) + "gone.mp4 8 0\n")  # must not end the training
    script = [ROOT / "online_main.py", *TRAIN, "--store_name"]
    process = torchrun(tmp_path, 2, *script, "killed", options=("--max-restarts=2",))
    checkpoint = tmp_path / "checkpoints/killed/ckpt.pth.tar"
    end = time.monotonic() + 600
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    victims = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()
    assert len(victims) == 2, finish(process)
    os.kill(int(victims[1]), signal.SIGKILL)
    printed = finish(process)
    assert "resumed" in printed and printed.count("done: best validation") == 1, printed
    finish(torchrun(tmp_path, 2, *script, "calm"))
    one, other = (
        torch.load(tmp_path / "checkpoints" / name / "ckpt.pth.tar", weights_only=True) for name in ("killed", "calm")
    )
    assert one["epoch"] == other["epoch"] == 2
    assert all(torch.equal(value, other["state_dict"][name]) for name, value in one["state_dict"].items())
    assert "not as in the run so far" not in printed and "4 of 5 videos scored" in printed
    with (tmp_path / "checkpoints/killed/log.csv").open(newline="") as file:
        assert [(row["val_scored"], row["val_failed"]) for row in csv.DictReader(file)] == [("4", "1")] * 2


def test_other_processes_wait_for_one_that_is_suspended(tmp_path: Path) -> None:
    for number in range(4):
        media.write_video(tmp_path / f"{number}.mp4", 8, seed=number)
    lines = "".join(f"{number}.mp4 8 {number % 2}\n" for number in range(4))
    (tmp_path / "l.txt").write_text(lines * 10)
    (tmp_path / "v.txt").write_text(lines)
    process = torchrun(tmp_path, 2, ROOT / "online_main.py", *TRAIN, "--epochs", "1", "--store_name", "run")
    checkpoint, end = tmp_path / "checkpoints/run/ckpt.pth.tar", time.monotonic() + 600
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    ranks_of_it = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()
    assert len(ranks_of_it) == 2, finish(process)
    os.kill(int(ranks_of_it[1]), signal.SIGSTOP)
    time.sleep(3)
    seen = checkpoint.stat().st_mtime_ns
    time.sleep(1)
    assert checkpoint.stat().st_mtime_ns == seen and process.poll() is None, "the first one does not go on alone"
    os.kill(int(ranks_of_it[1]), signal.SIGCONT)
    printed = finish(process)
    assert "Traceback" not in printed and printed.count("done: best validation") == 1, printed
