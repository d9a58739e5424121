"""An interrupted test continues from its stored scores."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import media
import numpy as np
import pytest
from conftest import ROOT, Call
from small_runs import save_weights

from ops.common.errors import InputError
from ops.testing.partial_scores import PartialScores


def now(index: int) -> str:
    """Return the same stamp for every video."""
    return "now"


def test_scores_come_back_bit_for_bit_also_of_a_file_that_was_cut_off(tmp_path: Path) -> None:
    scores = np.random.default_rng(0).normal(size=(20_000, 400)).astype(np.float32)
    scores[1, :3] = np.nan, np.inf, -0.0
    partial = PartialScores(tmp_path, {"checkpoint": "a"}, 20_000, 400)
    for rank in range(2):
        with partial.writing(rank):
            for index in range(rank, 20_000, 2):
                partial.add(index, scores[index], "ü;\n" if index == 7 else "", "now")
    files = sorted(tmp_path.iterdir())
    media.truncate(files[1], 0.99999)
    done = partial.read(now)
    assert len(done) == 19_999 and 19_999 not in done and done[7][1] == "ü;\n"
    assert all(row.tobytes() == scores[index].tobytes() for index, (row, _) in done.items())
    partial.remove()
    assert not list(tmp_path.iterdir()) and not partial.read(now)


LINE = '[0, "", "AAAAAAAAAAA=", "now"]\n'  # the scores are two zeros


@pytest.mark.parametrize(
    ("line", "counts"),
    [
        (LINE, True),
        (LINE.strip(), False),  # without the line feed: the line may be cut off
        ('[5, "", "AAAAAAAAAAA=", "now"]\n', False),  # there are only 5 videos
        ('[0, "", "AAAAAA==", "now"]\n', False),  # one score instead of two
        ('[0, "", "@AAAAAAAAAA=", "now"]\n', False),
        ('[0, 1, "AAAAAAAAAAA=", "now"]\n', False),
        ('[0, "", "AAAAAAAAAAA=", "before"]\n', False),  # the video has been replaced
        ('[0, "", "AAAAAAAAAAA=", 1]\n', False),
        ('[0, "", "AAAAAAAAAAA="]\n', False),  # written by a version that stored no stamp
        ("[0]\n", False),
        ("\0\0\0\0\n", False),
        ("[" * 100_000 + "\n", False),
    ],
)
def test_incomplete_or_invalid_lines_are_ignored(line: str, counts: bool, tmp_path: Path) -> None:
    partial = PartialScores(tmp_path, {}, videos=5, classes=2)
    (tmp_path / f"{partial.prefix}1.0.jsonl").write_text(line)
    assert (0 in partial.read(now)) == counts


def test_scores_of_other_settings_are_left_alone(tmp_path: Path) -> None:
    one, other = (PartialScores(tmp_path, {"crops": crops}, 3, 2) for crops in (1, 3))
    with one.writing(0):
        one.add(2, np.zeros(2, np.float32), "", "now")
    assert list(one.read(now)) == [2] and not other.read(now)
    other.remove()
    assert list(one.read(now)) == [2]


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"), PartialScores(tmp_path / "no", {}, 1, 2).writing(0):
        pass


STOPPING = f"""
import runpy, sys, time
sys.path[:0] = [{str(ROOT)!r}]
from ops.testing.partial_scores import PartialScores
add, added = PartialScores.add, []
def slow(self, *scores):
    add(self, *scores)
    added.append(scores)
    time.sleep(600 if len(added) == 5 else 0)
PartialScores.add = slow
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""A test that waits after its fifth video, so that it can be killed before its last."""


def test_a_test_that_was_killed_goes_on(call: Call, tmp_path: Path) -> None:
    save_weights(tmp_path / "w.pth.tar", 3, 4)
    for number in range(3):
        media.write_video(tmp_path / f"{number}.mp4", 10 + number, seed=number)
    lines = [f"{n % 3}.mp4 {n % 3}\n" for n in range(40)] + ["gone.mp4 0\n"]
    (tmp_path / "l.txt").write_text("".join(lines))
    command = ["online_test_models.py", "custom", "--weights", "w.pth.tar", "--test_list", "l.txt", "--root_path", "."]
    command += ["--input_size", "32", "--device", "cpu", "-j", "1"]
    whole = call(*command, "--output", "whole", "--save_scores", "whole.npz", status=1)
    assert "going on with a test" not in whole.out and not list((tmp_path / "whole").glob("partial*"))
    command += ["--output", "parts", "--save_scores", "parts.npz"]
    process = subprocess.Popen(
        [sys.executable, "-c", STOPPING, str(ROOT / command[0]), *command[1:]], cwd=tmp_path, stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    end = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < end:
        if any(path.read_bytes().count(b"\n") >= 2 for path in tmp_path.glob("parts/partial*")):
            process.send_signal(signal.SIGKILL)
        time.sleep(0.01)
    assert process.returncode == -signal.SIGKILL
    again = call(*command, status=1)
    (told,) = [line for line in again.out.splitlines() if line.startswith("going on with a test")]
    assert 2 <= int(told.split(": ")[1].split(" of ")[0]) <= 5
    assert (tmp_path / "whole.npz").read_bytes() == (tmp_path / "parts.npz").read_bytes()
    assert "41 expected, 40 scored, 1 failed" in again.out and not list((tmp_path / "parts").glob("partial*"))


@pytest.mark.parametrize(
    ("then", "goes_on"),
    [([], True), (["--input_size", "36"], False), (["--max_num", "1"], False), (["--softmax"], False)],
)
def test_scores_of_another_protocol_are_not_used(
    then: list[str], goes_on: bool, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--full_res with a size of 32 gives views of 36 pixels, as --input_size 36 does, but resizes them differently."""
    save_weights(tmp_path / "w.pth.tar", 3, 4)
    media.write_video(tmp_path / "a.mp4", 8)
    (tmp_path / "l.txt").write_text("a.mp4 0\na.mp4 1\n")
    test = ["online_test_models.py", "custom", "--weights", "w.pth.tar", "--test_list", "l.txt", "--root_path", "."]
    test += ["--device", "cpu", "-j", "0"]
    with monkeypatch.context() as patched:
        patched.setattr(PartialScores, "remove", lambda self: None)  # as if it was killed just before the removal
        call(*test, "--input_size", "32", "--full_res")
    flags = then if "--input_size" in then else ["--input_size", "32", "--full_res", *then]
    done = call(*test, *flags)
    assert ("going on with a test that was interrupted: 2 of 2" in done.out) == goes_on
    assert bool(list((tmp_path / "test").glob("partial*"))) != goes_on  # the scores of the other test stay
