"""Half an hour of training with random kills, bad files and changing numbers of workers gives the normal result.

Run it with `python -m pytest -m soak -s`. SOAK_MINUTES=5 makes it shorter, and SOAK_SEED changes the random kills.
"""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import NamedTuple

import media
import pytest
import torch
from conftest import ROOT

from ops.models.recognizer import build_model

MINUTES = float(os.environ.get("SOAK_MINUTES", "30"))
SEED = int(os.environ.get("SOAK_SEED", "0"))
VIDEOS = 40
GROWTH = 32.0
"""MiB by which the memory of a process may differ between the first and the last third of its run."""

TRAIN = ["custom", "RGB", "--train_list", "l.txt", "--val_list", "l.txt", "--root_path", ".", "--num_class", "4"]
TRAIN += ["--arch", "resnet18", "--pretrain", "none", "--num_segments", "4", "--input_size", "32", "--npb", "--tam"]
TRAIN += ["--device", "cpu", "-b", "4", "--epochs", "1000000", "--eval-freq", "3", "--lr", "0.001", "--dropout", "0.3"]
TRAIN += ["--max_bad_fraction", "0.9", "--deterministic", "--resume", "auto"]


def make_videos(folder: Path, rng: random.Random) -> None:
    """Write videos of many lengths, some of which are cut short, not videos at all, empty, or missing."""
    lines = []
    for number in range(VIDEOS):
        path = media.write_video(folder / f"{number}.mp4", rng.randint(2, 40), seed=number)
        match rng.randint(0, 11):
            case 0:
                path.write_bytes(rng.randbytes(2000))
            case 1:
                media.truncate(path, 0.6)
            case 2:
                path.unlink()
            case 3:
                path.write_bytes(b"")
        lines.append(f"{number}.mp4 {rng.randint(0, 3)}\n")
    (folder / "l.txt").write_text("".join(lines))


def intrude(folder: Path, flags: Sequence[str]) -> None:
    """Start a second run in the folder of a running one; it must be refused."""
    second = start(folder, "soak", flags)
    printed = end_of(second)
    assert second.returncode == 2 and "soak: in use by process" in printed, printed


def change_list(folder: Path, flags: Sequence[str]) -> bool:
    """Continue with another list, which is refused within an epoch and reported between two, and restore the list.

    Returns whether there was a run to continue.
    """
    path, checkpoint = folder / "l.txt", folder / "checkpoints/soak/ckpt.pth.tar"
    if not checkpoint.exists():
        return False
    whole, saved = path.read_text(), checkpoint.read_bytes()
    path.write_text("".join(whole.splitlines(keepends=True)[:-8]))
    within = bool(load(folder, "soak")["step"])
    process = start(folder, "soak", flags if within else [*flags, "--evaluate"])
    printed = end_of(process)
    path.write_text(whole)
    if within:
        assert process.returncode == 2 and "the list l.txt changed" in printed, printed
    else:
        assert "the content of the lists l.txt" in printed, printed
    assert checkpoint.read_bytes() == saved
    return True


def holds_lock(folder: Path, process: "subprocess.Popen[str]") -> bool:
    """Wait until the run holds the lock on its folder; False if this does not happen."""
    path, end = folder / "checkpoints/soak/.lock", time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        if path.exists() and f'"pid": {process.pid},' in path.read_text():
            return True
        time.sleep(0.1)
    return False


def heed_interrupts() -> None:
    """Restore the default action of SIGINT, which background processes of a shell ignore."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(folder: Path, name: str, flags: Sequence[str]) -> "subprocess.Popen[str]":
    command = [sys.executable, "-X", "faulthandler", str(ROOT / "online_main.py"), *TRAIN, "--store_name", name, *flags]
    return subprocess.Popen(
        command, cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, preexec_fn=heed_interrupts,
    )  # fmt: skip


def end_of(process: "subprocess.Popen[str]") -> str:
    """Wait for the end of a process and return its output; if it does not end, fail with its stacks."""
    try:
        return process.communicate(timeout=600)[0]
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)  # lets Python print the stacks of all threads
        pytest.fail(f"does not end: {process.communicate(timeout=60)[0]}")


def load(folder: Path, name: str, file: str = "ckpt.pth.tar") -> dict[str, object]:
    loaded: dict[str, object] = torch.load(folder / "checkpoints" / name / file, weights_only=True)
    return loaded


def equal(one: object, other: object) -> bool:
    """Whether two values are bit-identical, including nested dictionaries and lists."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return torch.equal(one, other)
    return type(one) is type(other) and one == other


def watch_memory(process: "subprocess.Popen[str]", memory: list[float]) -> None:
    """Append the resident memory of a process in MiB to `memory` every second."""
    while process.poll() is None:
        text = Path(f"/proc/{process.pid}/status").read_text()
        if "VmRSS:" in text:  # a process that has ended and was not waited for has none
            memory.append(int(text.split("VmRSS:")[1].split()[0]) / 1024)
        time.sleep(1)


@pytest.mark.soak
def test_a_run_with_random_kills_ends_like_an_undisturbed_one(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    make_videos(tmp_path, rng)
    end = time.monotonic() + 60 * MINUTES
    kills: dict[str, int] = {}
    intruders = lists = 0
    while time.monotonic() < end:
        flags = ["-j", str(rng.randint(0, 3)), "--ckpt_interval", rng.choice(["1", "3", "0.02m"])]
        if rng.random() < 0.2:
            lists += change_list(tmp_path, flags)
        process = start(tmp_path, "soak", [*flags, "--keep", str(rng.randint(0, 2))])
        number = rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
        patience = rng.uniform(2, 40)
        if rng.random() < 0.2 and holds_lock(tmp_path, process):
            intrude(tmp_path, flags)
            intruders += 1
        try:
            printed = process.communicate(timeout=patience)[0]
        except subprocess.TimeoutExpired:
            process.send_signal(number)
            printed = end_of(process)
        else:
            pytest.fail(f"ended by itself: {printed}")
        kills[number.name] = kills.get(number.name, 0) + 1
        assert "was replaced or changed" not in printed, printed  # it must recognise its own checkpoint
        assert "Traceback" not in printed or "KeyboardInterrupt" in printed, printed  # interrupted during the imports
    process = start(tmp_path, "soak", ["-j", "2", "--max_steps", "1"])  # one more step from where it is now
    printed = process.communicate(timeout=600)[0]
    assert process.returncode == 0, printed
    soaked = load(tmp_path, "soak")
    steps = VIDEOS // 4 * int(str(soaked["epoch"])) + int(str(soaked["step"]))
    calm = start(tmp_path, "calm", ["-j", "1", "--max_steps", str(steps)])
    memory: list[float] = []
    watching = threading.Thread(target=watch_memory, args=(calm, memory))
    watching.start()
    printed = calm.communicate()[0]
    watching.join()
    assert calm.returncode == 0, printed
    expected = load(tmp_path, "calm")
    for part in ("state_dict", "optimizer", "epoch", "step", "best_prec1"):
        assert equal(soaked[part], expected[part]), part
    best, expected_best = (load(tmp_path, name, "ckpt.best.pth.tar") for name in ("soak", "calm"))
    assert equal(best["state_dict"], expected_best["state_dict"]) and best["epoch"] == expected_best["epoch"]
    quarter = len(memory) // 4
    early, late = median(memory[quarter : 2 * quarter]), median(memory[-quarter - 1 : -1])
    sys.stdout.write(
        f"\nsoak: {steps} steps, ended by {kills}, {intruders} second runs refused, "
        f"{lists} other lists named, resume differences 0, memory {early:.0f} → {late:.0f} MiB\n"
    )
    assert late < 1.1 * early


class Sample(NamedTuple):
    """The resources of a run at one moment: open files, and resident memory in MiB."""

    files: float
    memory: float
    loaders: float
    loader_files: float
    """The maximum over all loaders, as in `loader_memory`."""
    loader_memory: float


def held_by(pid: int) -> tuple[int, float]:
    """The number of open files of a process, and its resident memory in MiB.

    Private memory would be misleading: a fork shares all pages at first, and writing makes them private one by one.
    """
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return len(os.listdir(f"/proc/{pid}/fd")), int(rollup.split("Rss:")[1].split()[0]) / 1024


def watch_holdings(process: "subprocess.Popen[str]", samples: list[Sample]) -> None:
    """Sample a process and its children about thirty times a second, as long as it has children."""
    while process.poll() is None:
        with suppress(OSError):  # one of them may just have ended
            lists = Path(f"/proc/{process.pid}/task").glob("*/children")
            children = [held_by(int(pid)) for path in lists for pid in path.read_text().split()]
            if children:
                loader_files, loader_memory = map(max, zip(*children, strict=True))
                samples.append(Sample(*held_by(process.pid), len(children), loader_files, loader_memory))
        time.sleep(0.03)


def make_many(folder: Path, count: int) -> None:
    """Make `count` names for ten small videos, one of which is cut short and one is not a video."""
    (folder / "made").mkdir()
    made = [
        media.write_video(folder / "made" / f"{number}.{'mkv' if number % 2 else 'mp4'}", 4 + 3 * number, seed=number)
        for number in range(10)
    ]
    media.truncate(made[3], 0.6)
    made[7].write_bytes(b"no video" * 100)
    for number in range(count):
        source = made[number % 10]
        os.link(source, folder / f"{number}{source.suffix}")
    names = [f"{number}{made[number % 10].suffix} {number % 4}\n" for number in range(count)]
    (folder / "l.txt").write_text("".join(names))


TEST_MANY = ["online_test_models.py", "custom", "--weights", "w.pth.tar", "--test_list", "l.txt", "--root_path", "."]
TEST_MANY += ["--input_size", "32", "--device", "cpu", "-j", "2", "--output", "out", "--allow_missing"]
TRAIN_LONG = ["online_main.py", *TRAIN[: TRAIN.index("-b")], "-b", "4", "-j", "2", "--epochs", "20", "--eval-freq", "1"]
TRAIN_LONG += ["--lr", "0.001", "--max_bad_fraction", "0.9", "--store_name", "long"]


@pytest.mark.soak
@pytest.mark.parametrize(("command", "videos"), [(TEST_MANY, 500), (TRAIN_LONG, 50)], ids=["test", "training"])
def test_open_files_and_memory_do_not_grow(command: list[str], videos: int, tmp_path: Path) -> None:
    """A test of 500 videos and a training of 20 epochs, each with some videos that cannot be read."""
    make_many(tmp_path, videos)
    torch.save({"state_dict": build_model("resnet18", 4, 8).state_dict()}, tmp_path / "w.pth.tar")
    process = subprocess.Popen(
        [sys.executable, str(ROOT / command[0]), *command[1:]], cwd=tmp_path, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    samples: list[Sample] = []
    watching = threading.Thread(target=watch_holdings, args=(process, samples))
    watching.start()
    printed = end_of(process)
    watching.join()
    assert process.returncode == 0, printed
    third = len(samples) // 3
    first, last = (Sample(*map(median, zip(*part, strict=True))) for part in (samples[:third], samples[-third:]))
    sys.stdout.write(f"\n{len(samples)} samples, median of the first third {first}, of the last {last}\n")
    assert third > 20
    assert last.files <= first.files + 1 and last.loader_files <= first.loader_files + 1
    assert last.loaders <= first.loaders
    assert last.memory < first.memory + GROWTH and last.loader_memory < first.loader_memory + GROWTH
