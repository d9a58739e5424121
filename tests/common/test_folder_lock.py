"""Of two runs in one folder, the second is refused with the name of the first; no lock outlives its process."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import media
import pytest
from conftest import ROOT, Call
from small_runs import save_weights

from ops.common.errors import InputError, RunStoppedError
from ops.common.folder_lock import LOCK, locked_folder

HOLD = """
import os, sys, time
sys.path.insert(0, {root!r})
from ops.common.folder_lock import locked_folder
with locked_folder(sys.argv[1], share=sys.argv[2]):
    if os.fork() == 0:  # as a loader, which lives on for a while when its parent is killed
        time.sleep(5)
        os._exit(0)
    print("locked", flush=True)
    time.sleep(60)
"""


def hold(folder: Path, share: str = "") -> "subprocess.Popen[str]":
    """Start a process that holds the lock on `folder` and has a child process."""
    command = [sys.executable, "-c", HOLD.format(root=str(ROOT)), str(folder), share]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout and process.stdout.readline() == "locked\n"
    return process


def test_the_second_is_refused_and_a_kill_leaves_no_lock(tmp_path: Path) -> None:
    first = hold(tmp_path)
    said = rf"{tmp_path}: in use by process {first.pid} on .* since 20.*; wait for it to end, or give another --output"
    with pytest.raises(InputError, match=said), locked_folder(tmp_path, "give another --output"):
        pytest.fail("two at a time")
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert (tmp_path / LOCK).exists()
    with locked_folder(tmp_path):
        assert str(os.getpid()) in (tmp_path / LOCK).read_text()
    assert not list(tmp_path.iterdir())


def test_a_lock_file_that_was_just_removed_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The holder removes the file after it was opened and before it is locked; a lock on it would be useless."""
    flock, removed = fcntl.flock, []

    def late(handle: int, kind: int) -> None:
        if not removed:
            removed.append((tmp_path / LOCK).unlink())
        flock(handle, kind)

    monkeypatch.setattr(fcntl, "flock", late)
    with locked_folder(tmp_path):
        assert removed and str(os.getpid()) in (tmp_path / LOCK).read_text()
        with pytest.raises(InputError, match="in use by"), locked_folder(tmp_path):
            pytest.fail("two at a time")


@pytest.mark.parametrize("put_there", ["nothing", "a file", "another folder"])
def test_a_lost_folder_does_not_hide_the_error_of_the_work(put_there: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with pytest.raises(RunStoppedError, match="cannot be written"), locked_folder(folder):
        folder.rename(tmp_path / "moved")
        if put_there == "a file":
            folder.touch()
        elif put_there == "another folder":
            folder.mkdir()
        raise RunStoppedError("run/ckpt.pth.tar: cannot be written")
    assert folder.exists() == (put_there != "nothing")
    with locked_folder(tmp_path / "moved"):  # the leftover lock file there does not prevent a new lock
        pass


def test_one_process_can_lock_a_folder_again_but_not_twice_at_once(tmp_path: Path) -> None:
    for _ in range(2):
        with (
            locked_folder(tmp_path),
            pytest.raises(InputError, match=f"process {os.getpid()}"),
            locked_folder(tmp_path),
        ):
            pytest.fail("two at a time")
    assert not list(tmp_path.iterdir())


def test_the_same_work_is_shared_and_other_work_refused(tmp_path: Path) -> None:
    first = hold(tmp_path, "work")
    with locked_folder(tmp_path, share="work"):
        for other in ("", "other work"):
            with pytest.raises(InputError, match=f"process {first.pid}"), locked_folder(tmp_path, share=other):
                pytest.fail("two at a time")
        first.kill()
        first.wait()
        with locked_folder(tmp_path, share="work"):
            pass
        with pytest.raises(InputError, match="in use by"), locked_folder(tmp_path):
            pytest.fail("one is still there")
    with locked_folder(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_a_link_is_not_followed_and_its_target_not_emptied(tmp_path: Path) -> None:
    (tmp_path / "thesis").write_text("years of work")
    (tmp_path / LOCK).symlink_to(tmp_path / "thesis")
    with pytest.raises(InputError, match=r"it is a symbolic link.*remove it"), locked_folder(tmp_path):
        pytest.fail("taken for a lock")
    assert (tmp_path / "thesis").read_text() == "years of work"
    (tmp_path / LOCK).unlink()
    os.mkfifo(tmp_path / LOCK)
    with pytest.raises(InputError, match="not a regular file"), locked_folder(tmp_path):
        pytest.fail("taken for a lock")


def test_file_systems_without_locks_are_warned_of_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_locks(handle: int, kind: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    for _ in range(2):
        with locked_folder(tmp_path), locked_folder(tmp_path):
            pass
    assert caplog.text.count("this file system has no locks") == 1 and not list(tmp_path.iterdir())


DATA = ["--num_class", "2", "--root_path", ".", "--input_size", "32", "--device", "cpu", "-j", "0"]
TRAIN = ["online_main.py", "custom", "RGB", "--train_list", "l.txt", "--val_list", "l.txt", *DATA, "--arch", "resnet18"]
TRAIN += ["--pretrain", "none", "--num_segments", "3", "-b", "2", "--epochs", "1", "--store_name", "run"]
TEST = ["online_test_models.py", "custom", "--weights", "w.pth.tar", "--test_list", "l.txt", *DATA, "--output", "test"]
EXTRACT = ["tools/extract_frames.py", "videos", "-o", "frames", "-j", "1"]


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    (tmp_path / "videos").mkdir()
    media.write_video(tmp_path / "videos" / "a.mp4", 8)
    (tmp_path / "l.txt").write_text("videos/a.mp4 8 0\nvideos/a.mp4 8 1\n")
    save_weights(tmp_path / "w.pth.tar")
    return tmp_path


@pytest.mark.parametrize(
    ("command", "folder", "advice"),
    [
        (TRAIN, "checkpoints/run", "--store_name"),
        ([*TRAIN, "--resume", "auto"], "checkpoints/run", "--store_name"),
        ([*TRAIN, "--root_log", "logs"], "logs/run", "--store_name"),
        (TEST, "test", "--output"),
        (EXTRACT, "frames", "another output folder"),
        ([*EXTRACT, "--shard", "1/2"], "frames", "another output folder"),
    ],
)
def test_nothing_is_touched_in_a_folder_that_is_in_use(
    command: list[str], folder: str, advice: str, clips: Path, call: Call
) -> None:
    place = clips / folder
    place.mkdir(parents=True)
    (place / ".ckpt.pth.tar.1234.tmp").write_text("what the other one is just saving")
    with locked_folder(place):
        before = {path: path.stat().st_mtime_ns for path in clips.rglob("*")}
        done = call(*command, status=2)
        assert f"in use by process {os.getpid()}" in done.err and advice in done.err
        assert len(done.err.strip().splitlines()) == 1
        after = {path: path.stat().st_mtime_ns for path in clips.rglob("*")}
        # checking whether a folder is writable changes only its modification time
        assert after.keys() - {clips / "checkpoints", clips / "checkpoints/run"} == before.keys() - {
            clips / "checkpoints", clips / "checkpoints/run"
        }  # fmt: skip
        assert all(after[path] == time for path, time in before.items() if path.is_file())
    call(*command)
    assert not list(clips.rglob(LOCK))


def test_a_second_training_is_refused_while_the_first_goes_on(clips: Path, call: Call) -> None:
    command = [sys.executable, str(ROOT / TRAIN[0]), *TRAIN[1:], "--epochs", "100000"]
    first = subprocess.Popen(
        command, cwd=clips, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    try:
        end = time.monotonic() + 600
        while not (clips / "checkpoints/run/log.csv").exists() and time.monotonic() < end:
            time.sleep(0.02)
        for resume in ([], ["--resume", "auto"]):
            assert f"in use by process {first.pid} on " in call(*TRAIN, *resume, status=2).err
        first.send_signal(signal.SIGTERM)
        printed = first.communicate(timeout=600)[0]
    finally:
        first.kill()
    assert first.returncode == 0 and b"stopped by a signal" in printed, printed
    assert "resumed" in call(*TRAIN, "--resume", "auto").out
