"""Runs that are asked to stop, or are killed, can be resumed as if nothing had happened."""

import csv
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import media
import pytest
import torch
from conftest import ROOT, Call

from benchmarks.kernels import count_kernels
from ops.common.errors import InputError
from ops.common.preemption import Preemption
from ops.common.stop_signals import WITH_PARENT, ChildProcesses
from ops.data.decoders import DECODERS
from ops.models.checkpoint import Checkpoint
from ops.training.checkpoint_saver import CheckpointSaver, older_checkpoints, read_first
from ops.training.options import train_parser
from ops.training.resume import find_resume
from ops.training.save_interval import Interval, parse_interval
from ops.training.train import run_training

TRAIN = ["custom", "RGB", "--train_list", "l.txt", "--val_list", "l.txt", "--root_path", ".", "--num_class", "2"]
TRAIN += ["--arch", "resnet18", "--pretrain", "none", "--num_segments", "3", "--input_size", "32", "--npb", "--tam"]
TRAIN += ["--device", "cpu", "-b", "2", "--epochs", "2", "--eval-freq", "1", "--lr", "0.01", "--root_log", "runs"]
TRAIN += ["--root_model", "runs", "--resume", "auto"]


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    lines = []
    for number in range(8):
        media.write_video(tmp_path / f"{number}.mp4", 8 + number, seed=number)
        lines.append(f"{number}.mp4 {8 + number} {number % 2}\n")
    lines[3] = "gone.mp4 8 1\n"
    (tmp_path / "l.txt").write_text("".join(lines) * 2)
    return tmp_path


LAUNCH = "import sys; from ops.common.distributed import launch; sys.exit(launch(2, sys.argv[1], sys.argv[2:]))"
LAUNCHERS = {
    "none": [],
    "torchrun": ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"],
    "ours": ["-c", LAUNCH],  # what --gpus calls; the flag itself needs GPUs
}


def start(folder: Path, name: str, *flags: str, launcher: str = "none", threads: int = 1) -> "subprocess.Popen[str]":
    command = [sys.executable, *LAUNCHERS[launcher], str(ROOT / "online_main.py"), *TRAIN, "--store_name", name]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [*command, "-j", "1", *flags], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip


def wait_for(path: Path, process: "subprocess.Popen[str]") -> None:
    end = time.monotonic() + 600  # this long only if the machine is busy
    while not path.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    assert path.exists(), process.communicate()[0]


def state(folder: Path, name: str) -> dict[str, torch.Tensor]:
    loaded: dict[str, torch.Tensor] = torch.load(folder / "runs" / name / "ckpt.pth.tar", weights_only=True)
    return loaded


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def rows(folder: Path, name: str) -> list[list[str]]:
    """The rows of the log without the columns that hold times."""
    with (folder / "runs" / name / "log.csv").open(newline="") as file:
        return [[value for key, value in row.items() if "seconds" not in key] for row in csv.DictReader(file)]


def test_a_missing_run_is_not_confused_with_one_of_a_similar_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    for name in ("kinetics_r50", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "ckpt.pth.tar").touch()
    (tmp_path / "kinetics_r5").mkdir()
    assert find_resume("auto", tmp_path / "kinetcs_r50", evaluate=False) is None
    assert "starting a new run; runs with similar names: kinetics_r50 (see --store_name" in caplog.messages[-1]
    assert find_resume("auto", tmp_path / "ucf101", evaluate=False) is None
    assert caplog.messages[-1].endswith("ucf101: no checkpoint to resume, starting a new run")


def test_a_child_is_told_to_stop_when_its_parent_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    code = f"import os, sys; sys.exit('{WITH_PARENT}' not in os.environ or 'A' not in os.environ)"
    assert ChildProcesses().start([sys.executable, "-c", code], env={"A": "1"}).wait() == 0
    cpu, watched = torch.device("cpu"), Preemption()
    watched.parent = -1  # as if it had died
    assert not watched.everywhere(cpu), "a training that a user started goes on, as under nohup"
    monkeypatch.setenv(WITH_PARENT, "1")
    assert not Preemption().everywhere(cpu) and watched.everywhere(cpu)


def test_a_run_that_was_ended_and_killed_goes_on_bit_for_bit(clips: Path, call: Call) -> None:
    """Each part uses the number of threads that the run started with, even if its environment asks for another one."""
    torch.set_num_threads(1)  # as in the first part; this process may have another number
    call("online_main.py", *TRAIN, "--store_name", "whole", "-j", "1")
    checkpoint = clips / "runs/parts/ckpt.pth.tar"
    for threads, number in enumerate((signal.SIGTERM, signal.SIGKILL), 1):
        process = start(clips, "parts", "--ckpt_interval", "1", threads=threads)
        wait_for(checkpoint, process)
        before = checkpoint.stat().st_mtime_ns
        while checkpoint.stat().st_mtime_ns == before and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(number)
        printed = process.communicate(timeout=600)[0]
        assert "not as in the run so far" not in printed
        assert ("using 1 thread as in the run so far, not 2" in printed) == (threads == 2) or not printed
        if number == signal.SIGTERM:
            assert process.returncode == 0 and "to continue, add --resume auto to the command" in printed, printed
            assert (clips / "runs/parts/preempted").read_text().startswith("signal 15: epoch")
        assert torch.load(checkpoint, weights_only=True)["epoch"] in (0, 1, 2)
    torch.set_num_threads(2)
    assert "using 1 thread" in call("online_main.py", *TRAIN, "--store_name", "parts", "-j", "0").out
    assert not (clips / "runs/parts/preempted").exists()
    whole, parts = state(clips, "whole"), state(clips, "parts")
    assert same(whole["state_dict"], parts["state_dict"])  # type: ignore[arg-type]
    assert rows(clips, "whole") == rows(clips, "parts")
    named = [(clips / "runs" / name / "bad_samples.csv").read_text() for name in ("whole", "parts")]
    assert sorted(set(named[0].splitlines())) == sorted(set(named[1].splitlines()))
    assert named[0].count("gone.mp4") >= 8


@pytest.mark.parametrize(
    ("launcher", "target", "number", "status"),
    [
        ("torchrun", "a process", signal.SIGTERM, 0),
        ("torchrun", "torchrun", signal.SIGUSR1, -signal.SIGUSR1),  # torchrun has no handler for it and dies at once
        ("ours", "torchrun", signal.SIGUSR1, 128 + signal.SIGUSR1),  # training turns it into 0, because of the marker
    ],
)
def test_all_processes_of_torchrun_end_together(
    launcher: str, target: str, number: signal.Signals, status: int, clips: Path
) -> None:
    process = start(clips, "two", "--ckpt_interval", "1", "--epochs", "500", launcher=launcher)
    wait_for(clips / "runs/two/ckpt.pth.tar", process)
    children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()
    os.kill(process.pid if target == "torchrun" else int(children[0]), number)
    printed = process.communicate(timeout=600)[0]
    assert process.returncode == status and printed.count("to continue, add --resume auto to the command") == 1, printed
    assert (clips / "runs/two/preempted").exists() and "Traceback" not in printed


def test_several_processes_may_learn_of_a_signal_a_step_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that none waits for its GPU; of one process it is known without asking the device."""
    preemption, device = Preemption(), torch.device("cpu")
    monkeypatch.setenv("WORLD_SIZE", "2")
    preemption.everywhere(device, deferred=True)  # the first one reserves memory
    with count_kernels() as counts:
        before = preemption.everywhere(device, deferred=True)
        preemption.signal = signal.SIGTERM
        seen = [preemption.everywhere(device, deferred=True) for _ in range(3)]
    assert not before and seen == [False, True, True] and not counts.reads, counts.reads
    preemption.signal = 0
    assert preemption.everywhere(device) and not preemption.everywhere(device), "what was under way counts too"
    monkeypatch.setenv("WORLD_SIZE", "1")
    preemption.signal = signal.SIGTERM
    with count_kernels() as counts:
        assert preemption.everywhere(device, deferred=True) and preemption.everywhere(device)
    assert not counts.kernels


@pytest.mark.parametrize(
    ("launched", "marked", "status"), [(138, True, 0), (138, False, 138), (1, True, 1), (0, False, 0)]
)
def test_the_exit_status_of_a_training_that_was_stopped_by_a_signal(
    launched: int, marked: bool, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--gpus` derives its exit status from that of its processes and from the marker that they leave."""
    monkeypatch.setattr("ops.training.train.wants_launch", lambda gpus, device: True)
    monkeypatch.setattr("ops.common.distributed.launch", lambda processes, script, arguments: launched)
    (tmp_path / "run").mkdir()
    if marked:
        (tmp_path / "run" / "preempted").write_text("signal 10")
    flags = ["custom", "RGB", "--gpus", "0", "1", "--root_model", str(tmp_path), "--store_name", "run"]
    assert run_training(train_parser(None, ("pyav",)).parse_args(flags), pytest.fail) == status


def test_older_checkpoints_are_kept_and_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from ops.models.checkpoint import write_checkpoint
    from ops.models.recognizer import build_model

    saver, model = CheckpointSaver(tmp_path, 2), build_model("resnet18", 2, 3)
    for step in (1, 2, 3, 4, 5):
        saver.save(lambda path, step=step: write_checkpoint(path, model, {}, epoch=step), step, is_best=step == 2)
    names = [path.name for path in older_checkpoints(tmp_path)]
    assert names == ["ckpt.00000005.pth.tar", "ckpt.00000004.pth.tar", "ckpt.00000003.pth.tar"]
    assert (tmp_path / "ckpt.best.pth.tar").exists()
    saver.save(lambda path: write_checkpoint(path, model, {}, epoch=4), 4, is_best=False)  # after going back to step 3
    names = [path.name for path in older_checkpoints(tmp_path)]
    assert names == ["ckpt.00000004.pth.tar", "ckpt.00000003.pth.tar"]
    saver.save(lambda path: write_checkpoint(path, model, {}, epoch=5), 5, is_best=False)
    paths = [tmp_path / "ckpt.pth.tar", *older_checkpoints(tmp_path)]
    media.truncate(paths[0], 0.5)  # a hard link to that of step 5
    found: Checkpoint = read_first(paths)
    assert found.rest["epoch"] == 4
    for path in paths[2:]:
        path.write_text("nothing")
    best = tmp_path / "ckpt.best.pth.tar"
    found = find_resume(str(paths[0]), tmp_path / "another run", evaluate=False)
    assert found and found.path == str(best), "the last one was asked for by its name"
    with pytest.raises(InputError, match="not a readable checkpoint"):
        find_resume(str(paths[0]), tmp_path, evaluate=True)
    best.write_text("nothing")
    for resume in ("auto", str(paths[0])):
        with pytest.raises(InputError, match="none of its checkpoints can be read"):
            find_resume(resume, tmp_path, evaluate=False)


@pytest.mark.parametrize(
    ("text", "interval"), [("500", Interval(500)), ("15m", Interval(0, 15)), ("0.5m", Interval(0, 0.5))]
)
def test_intervals_are_steps_or_minutes(text: str, interval: Interval) -> None:
    assert parse_interval(text) == interval
    assert interval.is_due(500, 0) == bool(interval.steps) and interval.is_due(3, 3600) == bool(interval.minutes)


@pytest.mark.parametrize("text", ["0", "m", "1.5", "-3", "5s", ""])
def test_other_intervals_are_refused(text: str) -> None:
    with pytest.raises(Exception, match="must be a number of steps"):
        parse_interval(text)


def test_the_example_of_the_slurm_script_parses() -> None:
    text = re.sub(r"\\\n#\s*", " ", (ROOT / "scripts" / "slurm_train.sh").read_text())
    (example,) = re.findall(r"#\s+sbatch .*scripts/slurm_train.sh online_main.py (.*)", text)
    args = train_parser(None, tuple(DECODERS)).parse_args([*shlex.split(example), "--resume", "auto"])
    assert args.batch_size == 128 and parse_interval(args.ckpt_interval) == Interval(minutes=15) and args.keep == 1


STUB = "#!/usr/bin/env bash\n"


@pytest.mark.parametrize("ends_early", [False, True])
def test_the_slurm_script_starts_torchrun_and_queues_again(tmp_path: Path, ends_early: bool) -> None:
    """A stub stands in for Slurm and logs its arguments."""
    hostnames = '[ "$1" = show ] && printf "node1\\nnode2\\n" || echo "scontrol $*" >> log\n'
    (tmp_path / "scontrol").write_text(STUB + hostnames)
    (tmp_path / "srun").write_text(STUB + 'trap "exit 0" TERM\necho "srun $*" >> log\nsleep 0.5 & wait\nexit 7\n')
    for name in ("scontrol", "srun"):
        (tmp_path / name).chmod(0o755)
    environment = {
        **os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_SUBMIT_DIR": str(ROOT), "SLURM_JOB_ID": "42",
        "SLURM_JOB_NODELIST": "node[1-2]", "SLURM_JOB_NUM_NODES": "2", "SLURM_GPUS_ON_NODE": "8", "PYTHON": "python",
    }  # fmt: skip
    command = ["bash", str(ROOT / "scripts" / "slurm_train.sh"), "online_main.py", "kinetics", "RGB", "--tam"]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment)
    wait_for(tmp_path / "log", process)  # type: ignore[arg-type]
    if ends_early:
        process.send_signal(signal.SIGUSR1)
    assert process.wait(30) == (0 if ends_early else 7)
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines[0].endswith(f"{ROOT}/online_main.py kinetics RGB --tam --resume auto")
    assert "--nnodes 2 --nproc-per-node 8 --rdzv-id 42 --rdzv-backend c10d --rdzv-endpoint node1:29500" in lines[0]
    assert lines[1:] == (["scontrol requeue 42"] if ends_early else [])


def stop_within_an_epoch(call: Call) -> None:
    """Train for 5 of the 8 steps of an epoch."""
    call("online_main.py", *TRAIN, "--store_name", "run", "-j", "0", "--max_steps", "5")


@pytest.mark.parametrize(
    ("flags", "lines", "named"),
    [
        (["-b", "4"], 16, "--batch_size (was 2, now 4)"),
        (["--seed", "1"], 16, "--seed (was 0, now 1)"),
        ([], 6, "the list l.txt"),  # fewer steps than were done
        ([], 15, "the list l.txt"),
    ],
)
def test_an_epoch_does_not_go_on_with_other_videos(
    flags: list[str], lines: int, named: str, clips: Path, call: Call
) -> None:
    stop_within_an_epoch(call)
    before = (clips / "runs/run/ckpt.pth.tar").read_bytes()
    whole = (clips / "l.txt").read_text()
    (clips / "l.txt").write_text("".join(whole.splitlines(keepends=True)[:lines]))
    train = ["online_main.py", *TRAIN, "--store_name", "run", "-j", "0", *flags]
    said = call(*train, status=2).err
    assert f"saved after 5 of 8 steps of epoch 1; since then {named} changed" in said and "Traceback" not in said
    assert (clips / "runs/run/ckpt.pth.tar").read_bytes() == before
    done = call(*train, "--start-epoch", "1")  # starts with the next epoch
    assert "epoch 2/2: loss" in done.out and "epoch 1/2" not in done.out


def test_a_class_file_that_was_replaced_is_refused(clips: Path, call: Call) -> None:
    train = ["online_main.py", *TRAIN, "--store_name", "run", "-j", "0", "--class_names", "c.txt"]
    (clips / "c.txt").write_text("one\ntwo\n")
    call(*train, "--max_steps", "5")
    (clips / "c.txt").write_text("two\none\n")
    assert "its class names, or their order, differ from those given here" in call(*train, status=2).err


def test_an_epoch_that_is_begun_anew_is_logged_as_one(clips: Path, call: Call) -> None:
    stop_within_an_epoch(call)
    call("online_main.py", *TRAIN, "--store_name", "run", "-j", "0", "--start-epoch", "0", "--epochs", "1")
    call("online_main.py", *TRAIN, "--store_name", "fresh", "-j", "0", "--epochs", "1")
    bad = [row[-1] for name in ("run", "fresh") for row in rows(clips, name)]
    assert bad[0] == bad[1], "broken videos of the five steps are not counted twice"
