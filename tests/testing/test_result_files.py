"""Result files are consistent: all come from one test, and hashes describe exactly the bytes that were read."""

import hashlib
import json
import os
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import media
import numpy as np
import pytest
import ranks
import torch
from conftest import Call, modes_count

from ops.common import tensor_files
from ops.common.errors import InputError, RunStoppedError
from ops.common.storage import stamp_of
from ops.models.checkpoint import read_checkpoint
from ops.models.recognizer import build_model
from ops.testing import evaluate
from ops.testing.partial_scores import PartialScores
from ops.testing.result_files import FILES, METRICS, check_results_replaceable, whole_results

TEST = ["online_test_models.py", "custom", "--weights", "w.pth.tar", "--root_path", ".", "--output", "out"]
TEST += ["--input_size", "32", "--device", "cpu", "-j", "0"]


def save_weights(path: Path, seed: int = 0) -> bytes:
    torch.manual_seed(seed)
    model = build_model("resnet18", 3, 3)
    model.head.weight.data.normal_()
    torch.save({"state_dict": model.state_dict()}, path)
    return path.read_bytes()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    save_weights(tmp_path / "w.pth.tar")
    for number in range(3):
        media.write_video(tmp_path / f"{number}.mp4", 8, seed=number)
    (tmp_path / "labels.txt").write_text("0.mp4 0\n1.mp4 1\n2.mp4 2\n")
    (tmp_path / "none.txt").write_text("0.mp4\n1.mp4\n2.mp4\n")
    return tmp_path


def test_nothing_of_an_earlier_test_stays_beside_a_later_one(data: Path, call: Call) -> None:
    call(*TEST, "--test_list", "labels.txt")
    assert {path.name for path in (data / "out").iterdir()} == set(FILES)
    (data / "out" / "notes.txt").write_text("mine")
    call(*TEST, "--test_list", "none.txt")
    assert {path.name for path in (data / "out").iterdir()} == {METRICS, "predictions.csv", "notes.txt"}
    call(*TEST, "--test_list", "labels.txt")
    assert {path.name for path in (data / "out").iterdir()} == {*FILES, "notes.txt"}


def fill(folder: Path, content: str, names: tuple[str, ...] = FILES) -> None:
    with whole_results(folder) as staged:
        for name in names:
            (staged / name).write_text(content)


def killed_at(folder: Path, place: Any, name: str, call: int) -> bool:
    """Replace results in a child process that kills itself at its `call`-th call of `place.name`.

    Returns whether it was killed, that is, whether there were that many calls.
    """
    child = os.fork()
    if not child:
        original, calls = getattr(place, name), 0

        def die(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == call:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*arguments, **options)

        setattr(place, name, die)
        fill(folder, "new", FILES[:3] + FILES[-1:])
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.mark.parametrize(("place", "name"), [(os, "replace"), (Path, "unlink")])
def test_a_kill_never_leaves_metrics_beside_results_of_another_test(place: Any, name: str, tmp_path: Path) -> None:
    kills = 0
    while True:
        folder = tmp_path / str(kills)
        folder.mkdir()
        fill(folder, "old")
        if not killed_at(folder, place, name, kills + 1):
            break
        kills += 1
        there = {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}
        assert METRICS not in there or len(set(there.values())) == 1
        fill(folder, "newest", FILES[-1:])
        assert [path.name for path in folder.iterdir()] == [METRICS], "all that was left over is gone"
    assert kills >= 4
    assert {path.name for path in folder.iterdir()} == {*FILES[:3], METRICS}


def test_an_error_while_results_are_written_leaves_the_old_ones(tmp_path: Path) -> None:
    fill(tmp_path, "old")
    with pytest.raises(ZeroDivisionError), whole_results(tmp_path) as staged:
        (staged / METRICS).write_text("new")
        _ = 1 / 0
    with (
        pytest.raises(RunStoppedError, match=r"metrics\.json: cannot be written") as error,
        whole_results(tmp_path) as staged,
    ):
        raise InputError(f"{staged / METRICS}: cannot be written (No space left on device)")
    assert ".results" not in str(error.value)
    assert {path.read_text() for path in tmp_path.iterdir()} == {"old"}


@pytest.mark.parametrize("name", FILES)
def test_files_that_were_not_written_by_a_test_are_not_overwritten(name: str, data: Path, call: Call) -> None:
    (data / "out").mkdir()
    (data / "out" / name).write_text('{"mine": 1}')
    done = call(*TEST, "--test_list", "labels.txt", status=2)
    assert done.err.startswith(f"error: out/{name}: already exists and was not written by a test;")
    assert (data / "out" / name).read_text() == '{"mine": 1}'
    assert [path.name for path in (data / "out").iterdir()] == [name]


def test_results_of_a_test_are_known_as_such(data: Path, call: Call) -> None:
    call(*TEST, "--test_list", "labels.txt")
    check_results_replaceable(data / "out")
    (data / "out" / METRICS).unlink()  # as after a test that was killed
    check_results_replaceable(data / "out")
    (data / "elsewhere.csv").write_text("mine")
    (data / "out" / "mistakes.csv").unlink()
    (data / "out" / "mistakes.csv").symlink_to(data / "elsewhere.csv")
    with pytest.raises(InputError, match=r"mistakes\.csv: already exists"):
        check_results_replaceable(data / "out")


def test_results_of_earlier_versions_with_fewer_columns_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "predictions.csv").write_bytes(b"path,label,prediction,score,top5,ok,reason\r\na,1,1,0.5,1,True,\r\n")
    (tmp_path / "per_class.csv").write_bytes(b"class,name,videos,top1,top5,taken_for,times\r\n0,a,1,100,100,,0\r\n")
    (tmp_path / "confusion.npy").write_bytes(b"numbers")
    check_results_replaceable(tmp_path)
    (tmp_path / "per_class.csv").write_bytes(b"class,name,videos\r\n")
    with pytest.raises(InputError, match=r"per_class\.csv: already exists"):
        check_results_replaceable(tmp_path)


def test_the_hash_is_that_of_the_bytes_that_were_read(data: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checkpoint is replaced after it was read and before the videos are scored."""
    before = (data / "w.pth.tar").read_bytes()
    original = PartialScores.read

    def replaced(self: PartialScores, *arguments: Any) -> Any:
        save_weights(data / "w.pth.tar", seed=1)
        return original(self, *arguments)

    monkeypatch.setattr(PartialScores, "read", replaced)
    call(*TEST, "--test_list", "labels.txt")
    named = json.loads((data / "out" / METRICS).read_text())["checkpoints_sha256"]
    assert (data / "w.pth.tar").read_bytes() != before
    assert named == {"w.pth.tar": hashlib.sha256(before).hexdigest()}


@pytest.mark.parametrize("how", ["replaced", "changed"])
def test_a_checkpoint_that_changes_while_it_is_read_is_refused(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "w.pth.tar"
    save_weights(path)
    original = torch.load

    def load(*arguments: Any, **options: Any) -> Any:
        content = original(*arguments, **options)
        if how == "replaced":
            save_weights(tmp_path / "new", seed=1)
            os.replace(tmp_path / "new", path)
        else:
            with path.open("ab") as file:
                file.write(b"more")
        return content

    monkeypatch.setattr(tensor_files.torch, "load", load)
    with pytest.raises(InputError, match=r"w\.pth\.tar: was replaced or changed while being read"):
        read_checkpoint(path, hashed=True)


def test_a_video_that_was_replaced_is_scored_again(data: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    test = [*TEST, "--test_list", "labels.txt", "--save_scores", "s.npz"]
    with monkeypatch.context() as patched:
        patched.setattr(PartialScores, "remove", lambda self: None)  # as if it was killed just before the removal
        call(*test)
    media.write_video(data / "1.mp4", 8, seed=7)
    done = call(*test)
    assert "going on with a test that was interrupted: 2 of 3 videos scored" in done.out
    found = np.load(data / "s.npz")["scores"]
    call(*test, "--output", "anew")
    assert np.array_equal(found, np.load(data / "s.npz")["scores"])


def after_two_videos(action: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Call `action` during a test, once the scores of two videos are stored."""
    original, calls = PartialScores.add, 0

    def add(self: PartialScores, *arguments: Any) -> None:
        nonlocal calls
        original(self, *arguments)
        calls += 1
        if calls == 2:
            action()

    monkeypatch.setattr(PartialScores, "add", add)


@pytest.mark.parametrize("how", ["removed", "moved away"])
def test_an_output_folder_that_is_lost_during_a_test_is_created_again(
    how: str, data: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new folder gets the scores stored so far at once, and the results at the end."""
    kept: list[int] = []
    with monkeypatch.context() as patched:
        patched.setattr(PartialScores, "remove", lambda self: kept.append(len(self.read(lambda index: stamps[index]))))
        stamps = [stamp_of(data / f"{number}.mp4") for number in range(3)]
        out = data / "out"
        after_two_videos(lambda: shutil.rmtree(out) if how == "removed" else out.rename(data / "away"), patched)
        call(*TEST, "--test_list", "labels.txt")
    assert kept == [3]
    assert json.loads((data / "out" / METRICS).read_text())["scored"] == 3


def test_a_folder_that_becomes_a_file_ends_a_test(data: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test ends at the next video with one line. Once the folder is moved back, the same test continues."""

    def replace() -> None:
        (data / "out").rename(data / "away")
        (data / "out").write_text("mine")

    with monkeypatch.context() as patched:
        after_two_videos(replace, patched)
        done = call(*TEST, "--test_list", "labels.txt", status=3)
    last = done.err.splitlines()[-1]
    assert re.fullmatch(r"error: out/partial\..*: scores cannot be written \(out: cannot write .*\)", last)
    assert (data / "out").read_text() == "mine"
    (data / "out").unlink()
    (data / "away").rename(data / "out")
    assert "3 of 3 videos scored" in call(*TEST, "--test_list", "labels.txt").out


def test_a_folder_that_becomes_read_only_keeps_the_scores(
    data: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = data / "out"
    with monkeypatch.context() as patched, modes_count():
        after_two_videos(lambda: out.chmod(0o555), patched)
        done = call(*TEST, "--test_list", "labels.txt", status=3)
    error = done.err.splitlines()[-1]
    assert error.startswith("error: out: ") and "Permission denied" in error, error
    assert error.endswith("scores are kept: run the same command again to continue")
    out.chmod(0o755)
    assert "3 of 3 videos scored" in call(*TEST, "--test_list", "labels.txt").out


@pytest.mark.parametrize("last", [True, False])
def test_a_file_that_cannot_be_written_does_not_prevent_the_others(last: bool, data: Path, call: Call) -> None:
    """After the last video, the folder of the results or of the scores file is replaced by a file."""
    (data / "s").mkdir()
    flags = ("--test_list", "labels.txt", "--save_scores", "s/s.npz", "--csv_file", "p.csv", "--class_names", "c.txt")
    (data / "c.txt").write_text("a\nb\nc\n")

    def replace() -> None:
        place = data / ("out" if last else "s")
        shutil.rmtree(place)
        place.write_text("")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(evaluate, "summarise", lambda *_: replace())
        done = call(*TEST, *flags, status=3)
    error = done.err.splitlines()[-1]
    assert error.startswith("error: out: cannot write" if last else "error: s/s.npz: cannot be written")
    assert (data / "p.csv").read_text().count("\n") == 3
    assert (data / "s/s.npz").exists() == last and (data / "out" / METRICS).exists() != last
    assert ("scores are kept: run the same command again to continue" in done.err) != last
    if not last:
        (data / "s").unlink()
        assert "3 of 3 videos scored" in call(*TEST, *flags).out


def test_processes_that_were_given_other_files_are_told_before_anything_is_scored(data: Path) -> None:
    for rank in range(2):
        save_weights(data / f"w{rank}.pth.tar", rank)
        (data / f"l{rank}.txt").write_text(f"0.mp4 0\n1.mp4 {rank}\n2.mp4 2\n")
    ranks.start("test_other_files", data, 2)
    for what in ("list", "checkpoint"):
        said = [(data / f"{what}.{rank}").read_text() for rank in range(2)]
        assert said[0] == said[1] and said[0].startswith(f"process 1 reads another {what} than process 0"), said
        assert not list((data / what).iterdir())
