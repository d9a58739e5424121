"""Loader processes that are killed or cannot deliver their batches end the run with one line and status 3."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import media
import pytest
import torch
from conftest import ROOT
from torch.utils.data import Dataset

from ops.common.errors import RunStoppedError
from ops.data.dataloaders import make_loader, workers_of
from ops.data.worker_failures import why_workers_failed

CPU = torch.device("cpu")


class Numbers(Dataset[torch.Tensor]):
    """A dataset of tensors, which workers pass through shared memory."""

    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.full((1000,), index)


def kill_a_worker(loader: object) -> None:
    """Kill a worker and wait until it is dead, without reaping it, so that PyTorch can notice its death."""
    worker = loader._iterator._workers[0]  # type: ignore[attr-defined]
    worker.kill()
    os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)


def test_a_killed_loader_is_noticed_at_the_next_batch_and_not_before() -> None:
    loader = make_loader(Numbers(), 2, torch.stack, CPU, batch_size=4)
    with workers_of(loader), pytest.raises(RunStoppedError, match="a loader process has died: DataLoader"):
        for number, _ in enumerate(loader):
            if number == 1:
                kill_a_worker(loader)
                time.sleep(0.2)  # as during the saving of a checkpoint, where nothing may be raised
                saved = True
    assert saved


def test_a_loader_that_is_killed_during_a_wait_for_a_batch_is_noticed_at_once() -> None:
    loader = make_loader(Slow(), 1, torch.stack, CPU, batch_size=1)
    with workers_of(loader), pytest.raises(RunStoppedError, match="a loader process has died"):
        batches = iter(loader)
        next(batches)
        os.system(f"(sleep 0.3; kill -9 {loader._iterator._workers[0].pid}) &")  # type: ignore[union-attr]
        began = time.monotonic()
        next(batches)
    assert time.monotonic() - began < 60


class Slow(Numbers):
    """Every item except the first takes very long."""

    def __getitem__(self, index: int) -> torch.Tensor:
        time.sleep(100 if index else 0)
        return super().__getitem__(index)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "),
            "has died: DataLoader worker (pid 7)",
        ),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Bus error. It is possible"), "/dev/shm"),
        (RuntimeError("Too many open files. Communication with the workers is no longer"), "ulimit -n"),
        (RuntimeError("received 0 items of ancdata"), "ulimit -n"),
        (OSError(24, "Too many open files"), "ulimit -n"),
        (OSError(11, "Resource temporarily unavailable"), "cannot be started (Resource temporarily"),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ""),
        (ValueError("anything else"), ""),
    ],
)
def test_why_loaders_failed_is_one_line(error: Exception, said: str) -> None:
    stopped = why_workers_failed(error, None)
    assert bool(stopped) == bool(said) and said in str(stopped) and "\n" not in str(stopped)


class Undeliverable(Numbers):
    """Tensors that cannot be delivered, because there is no shared memory or file descriptor left."""

    def __init__(self, error: OSError) -> None:
        self.error = error

    def __getitem__(self, index: int) -> torch.Tensor:
        def refuse(*args: object) -> None:
            raise self.error

        torch.UntypedStorage._share_fd_cpu_ = refuse  # type: ignore[method-assign]  # in this loader process alone
        return super().__getitem__(index)


@pytest.mark.parametrize(("number", "said"), [(errno.ENOSPC, "/dev/shm is too small"), (errno.EMFILE, "ulimit -n")])
def test_a_batch_that_cannot_be_handed_over_ends_in_one_line(
    number: int, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    loader = make_loader(Undeliverable(OSError(number, os.strerror(number))), 1, torch.stack, CPU, batch_size=4)
    with workers_of(loader), pytest.raises(RunStoppedError, match=said):
        list(loader)
    assert "Traceback" not in capfd.readouterr().err


TRAIN = ["custom", "RGB", "--train_list", "l.txt", "--val_list", "l.txt", "--root_path", ".", "--num_class", "2"]
TRAIN += ["--arch", "resnet18", "--pretrain", "none", "--num_segments", "3", "--input_size", "32", "--tam", "-j", "1"]
TRAIN += ["--device", "cpu", "-b", "2", "--epochs", "100000", "--store_name", "run", "--ckpt_interval", "1"]


STARTED: list["subprocess.Popen[str]"] = []
"""Trainings that would run forever and are killed after the test."""


@pytest.fixture
def clips(tmp_path: Path) -> Iterator[Path]:
    for number in range(4):
        media.write_video(tmp_path / f"{number}.mp4", 8, seed=number)
    (tmp_path / "l.txt").write_text("".join(f"{number}.mp4 8 {number % 2}\n" for number in range(4)) * 4)
    yield tmp_path
    while STARTED:
        process = STARTED.pop()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def start(folder: Path, *flags: str) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "online_main.py"), *TRAIN, *flags], cwd=folder, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, start_new_session=True,
    )  # fmt: skip
    STARTED.append(process)
    return process


def wait_for(path: Path, process: "subprocess.Popen[str]") -> None:
    end = time.monotonic() + 600
    while not path.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)


def children_of(process: "subprocess.Popen[str]") -> list[int]:
    return list(map(int, subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True).stdout.split()))


def test_a_training_whose_loader_is_killed_ends_in_one_line(clips: Path) -> None:
    process = start(clips)
    wait_for(clips / "checkpoints/run/ckpt.pth.tar", process)
    os.kill(children_of(process)[0], signal.SIGKILL)
    printed = process.communicate(timeout=600)[0]
    assert process.returncode == 3 and printed.count("error: a loader process has died") == 1, printed
    assert "Traceback" not in printed and torch.load(clips / "checkpoints/run/ckpt.pth.tar", weights_only=True)


def start_and_save(clips: Path, *flags: str) -> "tuple[subprocess.Popen[str], Path]":
    """Start a training and return it, and its checkpoint, as soon as the first one is saved."""
    process = start(clips, *flags)
    checkpoint = clips / "checkpoints/run/ckpt.pth.tar"
    wait_for(checkpoint, process)
    return process, checkpoint


def stop_after_another_save(checkpoint: Path, process: "subprocess.Popen[str]") -> None:
    """Send SIGTERM after the training has saved again, which shows that it continues."""
    seen = checkpoint.stat().st_mtime_ns
    end = time.monotonic() + 600
    while checkpoint.stat().st_mtime_ns == seen and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)


@pytest.mark.parametrize("ignored", [False, True])
def test_a_training_whose_terminal_is_gone_saves_and_ends(ignored: bool, clips: Path) -> None:
    """SIGHUP is sent to the loaders, too. Under nohup it is ignored and the run continues."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
    try:
        process, checkpoint = start_and_save(clips)
    finally:
        signal.signal(signal.SIGHUP, before)
    os.killpg(process.pid, signal.SIGHUP)
    if ignored:
        stop_after_another_save(checkpoint, process)
    printed = process.communicate(timeout=600)[0]
    assert process.returncode == 0 and "Traceback" not in printed, printed
    text = (clips / "checkpoints/run/preempted").read_text()
    assert text.startswith("signal 15" if ignored else "signal 1:")


def test_a_training_that_was_suspended_goes_on(clips: Path) -> None:
    """Ctrl-Z and fg send SIGTSTP and SIGCONT; no video may be reported as hanging afterwards."""
    process, checkpoint = start_and_save(clips, "--decode_timeout", "8")  # long enough for a busy machine
    assert process.poll() is None, process.communicate()[0]
    os.killpg(process.pid, signal.SIGTSTP)
    time.sleep(10)
    os.killpg(process.pid, signal.SIGCONT)
    stop_after_another_save(checkpoint, process)
    printed = process.communicate(timeout=600)[0]
    assert process.returncode == 0 and "not read within" not in printed, printed
