"""If saving a checkpoint is interrupted at any point, the previous or the new checkpoint can be loaded."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import media
import pytest
import torch
from conftest import ROOT, Call

from ops.common import storage, tensor_files
from ops.common.errors import InputError
from ops.training import checkpoint_saver
from ops.training.checkpoint_saver import BEST, LAST, SAVED, CheckpointSaver, is_replaced, older_checkpoints

STAGES = {
    "made": (storage.tempfile, "mkstemp"),
    "written": (tensor_files.torch, "save"),
    "synced": (os, "fsync"),  # called for the file first and later for the folder
    "readable": (os, "chmod"),
    "renamed": (os, "replace"),
    "linked": (checkpoint_saver.os, "link"),
    "pruned": (Path, "unlink"),
}
"""The stages of saving a checkpoint, in order, with the function that each of them calls."""


def save(folder: Path, step: int) -> None:
    content = {"step": step, "weights": torch.full((1000,), float(step))}
    CheckpointSaver(folder, keep=1).save(lambda path: tensor_files.write_tensors(path, content), step, is_best=True)


def loaded_step(path: Path) -> int:
    content = tensor_files.load_tensors(path)
    assert (content["weights"] == content["step"]).all()
    return int(content["step"])


def kill_in(stage: str, folder: Path, call_number: int) -> bool:
    """Save step 4 in a process that is killed at the `call_number`th call of `stage`; True if it was killed."""
    child = os.fork()
    if child == 0:
        place, name = STAGES[stage]
        original, calls = getattr(place, name), [0]

        def die(*args: Any, **options: Any) -> Any:
            calls[0] += 1
            if calls[0] < call_number:
                return original(*args, **options)
            if stage == "written":  # killed when half of the file is written
                args[1].write(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
            return None

        setattr(place, name, die)
        save(folder, 4)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.mark.parametrize("stage", STAGES)
def test_a_kill_in_any_stage_of_saving_leaves_the_old_or_the_new_one(stage: str, tmp_path: Path) -> None:
    kills = 0
    while True:
        folder = tmp_path / str(kills)
        folder.mkdir()
        for step in (1, 2, 3):
            save(folder, step)
        if not kill_in(stage, folder, kills + 1):
            break
        kills += 1
        left = [folder / LAST, folder / BEST, *older_checkpoints(folder)]
        steps = [loaded_step(path) for path in left]
        assert not any(map(is_replaced, left)), "a run that goes on takes none of them for another's"
        assert steps[0] in (3, 4) and steps[1] in (3, 4) and steps[1] >= steps[0] and set(steps) <= {2, 3, 4}
        save(folder, 5)  # leftover files do not disturb the next save
        assert loaded_step(folder / LAST) == loaded_step(folder / BEST) == 5
        assert not list(folder.glob(".*"))
    assert kills >= 1


def put(source: Path, target: Path) -> None:
    """Replace `target` by a copy of `source`; `target` is unlinked first, because other names may be linked to it."""
    target.unlink()
    shutil.copy(source, target)


def test_checkpoints_that_a_run_did_not_save_are_known(tmp_path: Path) -> None:
    """A checkpoint is recognised by its content, not by its name or time."""
    run, other = tmp_path / "run", tmp_path / "other"
    for folder, steps in ((run, (1, 2, 3)), (other, (3, 4))):
        folder.mkdir()
        for step in steps:
            save(folder, step)
    own = [run / LAST, run / BEST, *older_checkpoints(run)]
    assert len(own) == 4 and not any(map(is_replaced, own))
    shutil.copytree(run, tmp_path / "moved", copy_function=shutil.copyfile)  # with new times, as on another machine
    assert not any(is_replaced(tmp_path / "moved" / path.name) for path in own)
    put(own[-1], run / LAST)  # the user went back to an older checkpoint of this run
    assert not is_replaced(run / LAST)
    put(other / LAST, run / LAST)
    assert is_replaced(run / LAST) and not is_replaced(run / BEST)
    content = tensor_files.load_tensors(run / BEST)
    content["weights"][7] += 1e-6
    torch.save(content, run / BEST)
    assert is_replaced(run / BEST)
    save(run, 5)  # this must not record the foreign checkpoint as saved by the run
    put(other / LAST, run / LAST)
    assert is_replaced(run / LAST)


def test_checkpoints_of_runs_without_a_record_are_accepted(tmp_path: Path) -> None:
    save(tmp_path, 1)
    (tmp_path / SAVED).unlink()
    assert not is_replaced(tmp_path / LAST)
    CheckpointSaver(tmp_path, 1).save(lambda path: tensor_files.write_tensors(path, {"step": 2}), 2, is_best=False)
    assert not is_replaced(tmp_path / BEST) and not is_replaced(tmp_path / LAST)
    for broken in ("{}", "[", '{"a": [1]}'):
        (tmp_path / SAVED).write_text(broken)
        assert not is_replaced(tmp_path / LAST)


def full_disk(*args: Any, **options: Any) -> NoReturn:
    raise OSError(errno.ENOSPC, "No space left on device")


def half_then_full(content: Any, file: Any) -> NoReturn:
    file.write(b"half")
    raise RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed\nmore")


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "pruned"])
def test_an_error_in_any_stage_of_saving_is_one_line_and_costs_nothing(
    stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, 3)
    place, name = STAGES[stage]
    failing: Callable[..., NoReturn] = half_then_full if stage == "written" else full_disk
    monkeypatch.setattr(place, name, failing)
    if stage == "linked":  # file systems without links get a copy instead
        save(tmp_path, 4)
    else:
        with pytest.raises(
            InputError, match=r"(best\.pth\.tar|saved\.json): cannot be written \((No space|PytorchStreamWriter)"
        ):
            save(tmp_path, 4)
    monkeypatch.undo()
    expected = 4 if stage == "linked" else 3
    assert loaded_step(tmp_path / LAST) == expected
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".tmp")]


def test_a_full_disk_ends_training_in_one_line_and_it_goes_on_later(call: Call, tmp_path: Path) -> None:
    """A limit on the size of files simulates the full disk."""
    media.write_video(tmp_path / "a.mp4", 8)
    (tmp_path / "l.txt").write_text("a.mp4 8 0\na.mp4 8 1\n" * 2)
    train = ["online_main.py", "custom", "RGB", "--train_list", "l.txt", "--val_list", "l.txt", "--root_path", "."]
    train += ["--num_class", "2", "--arch", "resnet18", "--pretrain", "none", "--num_segments", "3", "--tam", "-b", "2"]
    train += ["--input_size", "32", "--device", "cpu", "-j", "0", "--store_name", "run", "--resume", "auto", "--npb"]
    call(*train, "--epochs", "1", "--lr", "0.01")
    folder = tmp_path / "checkpoints" / "run"
    before = {path.name: path.read_bytes() for path in folder.glob("ckpt*")}
    command = [sys.executable, str(ROOT / train[0]), *train[1:], "--epochs", "2", "--lr", "0.01"]
    script = "import resource, os, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (10**7, 10**7)); "
    script += "os.execv(sys.argv[1], sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", script, *command], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=120,
    )  # fmt: skip
    assert done.returncode == 3 and "pth.tar: cannot be written" in done.stderr.splitlines()[-1], done.stderr
    assert {path.name: path.read_bytes() for path in folder.glob("ckpt*")} == before
    assert not list(folder.glob(".*"))
    assert "1 epoch and 0 steps are done" in call(*train, "--epochs", "2", "--lr", "0.01").out
