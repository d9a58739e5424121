"""A training on trial: what it says, and that it leaves nothing."""

import re
from pathlib import Path

import media
import pytest
from conftest import Call

TRAIN = [
    *("custom", "RGB", "--train_list", "l.txt", "--val_list", "l.txt", "--root_path", ".", "--num_class", "2"),
    *("--arch", "resnet18", "--pretrain", "none", "--num_segments", "2", "-b", "2", "--npb", "--input_size", "32"),
    *("--device", "cpu", "-j", "0", "--epochs", "3", "--lr", "1e-3", "--store_name", "run", "--dry_run"),
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Four short videos, the same as folders of frames, and their lists."""
    for number in range(4):
        media.write_video(tmp_path / f"{number}.mp4", 8, seed=number)
        media.write_frames(tmp_path / f"f{number}", 8)
    for name, ending in (("l", ".mp4"), ("f", "")):
        lines = [f"{'' if ending else 'f'}{number}{ending} 8 {number // 2}\n" for number in range(4)]
        (tmp_path / f"{name}.txt").write_text("".join(lines))
    return tmp_path


def files_in(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


@pytest.mark.parametrize("script", ["main.py", "online_main.py"])
def test_it_computes_a_batch_and_writes_nothing(script: str, data: Path, call: Call) -> None:
    before = files_in(data)
    lists = ["--train_list", "f.txt", "--val_list", "f.txt"] if script == "main.py" else []
    said = call(script, *TRAIN, *lists, "--tam", "--ema", "0.9", "--log_every", "1").out
    assert files_in(data) == before
    assert "training: 2 clips per step, 2 steps per epoch, 3 epochs" in said and "run folder:" not in said
    seconds = r"[\d.e+-]+ s"
    assert re.search(
        rf"dry run: a batch of 2 clips was read after {seconds} and computed in {seconds} \(the first time in "
        rf"{seconds}\); loss \d+\.\d+, peak memory \d+\.\d\d GiB\n", said,
    )  # fmt: skip
    assert re.search(rf"{seconds} per step: \w+ to the end \([\d: -]+\) without validations\n", said)
    assert said.endswith("no step was saved and nothing was written\n")


def test_it_fails_where_the_training_would(data: Path, call: Call) -> None:
    before = files_in(data)
    said = call("online_main.py", *TRAIN, "--tune_from", "none.pth.tar", status=2).err
    assert "none.pth.tar" in said
    said = call("online_main.py", *TRAIN, "--evaluate", "--resume", "auto", status=2).err
    assert "leave out --dry_run" in said
    assert files_in(data) == before
    for number in range(4):
        (data / f"{number}.mp4").write_bytes(b"broken")
    said = call("online_main.py", *TRAIN, status=2).err
    assert re.match(r"error: \d\.mp4: .*training cannot go on", said.splitlines()[-1])
    assert files_in(data) == before


def test_a_run_that_goes_on_is_left_as_it_is(data: Path, call: Call) -> None:
    train = [flag for flag in TRAIN if flag != "--dry_run"]
    call("online_main.py", *train, "--max_steps", "3")
    before = {path: path.stat().st_mtime_ns for path in files_in(data)}
    assert "belongs to an earlier run" in call("online_main.py", *TRAIN, status=2).err
    said = call("online_main.py", *TRAIN, "--resume", "auto").out
    assert "1 epoch and 1 step are done" in said and "dry run: a batch of 2 clips" in said
    assert "nothing is left to do" in call("online_main.py", *TRAIN, "--resume", "auto", "--epochs", "1").out
    failed = call("online_main.py", *TRAIN, "--resume", "auto", "--lr", "1e30", status=3).err
    assert "epoch 2, step 2: " in failed.splitlines()[-1]
    assert {path: path.stat().st_mtime_ns for path in files_in(data)} == before
