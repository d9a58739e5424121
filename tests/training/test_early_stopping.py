"""A run whose validation no longer improves ends early, at the same epoch no matter how often it was interrupted."""

import csv
from pathlib import Path

import media
import pytest
import torch
from conftest import Call

from ops.training.early_stopping import EarlyStopping


@pytest.mark.parametrize(
    ("patience", "top1", "ends"),
    [
        (1, [50.0, 50.0, 60.0], 2),
        (2, [0.0, 0.0, 0.0], 3),  # the first validation always counts as the best
        (2, [10.0, 5.0, 20.0, 20.0, 19.0, 90.0], 5),
        (1, [10.0, None, 20.0], 2),  # None: too few videos could be read
        (1, [None, 10.0, 20.0, 30.0], None),
        (3, [50.0, 50.0, 50.0], None),
        (None, [50.0, 40.0, 30.0, 20.0], None),
    ],
)
def test_patience_counts_validations_without_a_better_result(
    patience: int | None, top1: list[float | None], ends: int | None
) -> None:
    stopping, over = EarlyStopping(patience), None
    for number, value in enumerate(top1, 1):
        stopping.add(value)
        restored = EarlyStopping(patience)
        restored.restore(stopping.state())
        assert restored == stopping
        over = over or (number if stopping.is_over else None)
    assert over == ends


def epochs(folder: Path) -> list[str]:
    with (folder / "log.csv").open(newline="") as file:
        return [row["epoch"] for row in csv.DictReader(file)]


def test_a_run_in_parts_ends_at_the_same_epoch(tmp_path: Path, call: Call) -> None:
    """The learning rate is too small to improve anything; the validation at the end of each part does not count."""
    for number in range(4):
        media.write_video(tmp_path / f"{number}.mp4", 8, seed=number)
    (tmp_path / "l.txt").write_text("".join(f"{number}.mp4 8 {number % 2}\n" for number in range(4)))
    train = ["online_main.py", "custom", "RGB", "--train_list", "l.txt", "--val_list", "l.txt", "--root_path", "."]
    train += ["--num_class", "2", "--arch", "resnet18", "--pretrain", "none", "--num_segments", "2", "-b", "2"]
    train += ["--input_size", "32", "--device", "cpu", "-j", "0", "--resume", "auto", "--lr", "1e-9", "--epochs", "9"]
    train += ["--eval-freq", "1", "--patience", "2", "--store_name"]
    assert "stopped after epoch 3 of 9: no better validation in 2" in call(*train, "whole").out
    for steps in (1, 4):
        call(*train, "parts", "--max_steps", steps)
    assert "stopped after epoch 3 of 9" in call(*train, "parts").out
    whole, parts = (tmp_path / "checkpoints" / name for name in ("whole", "parts"))
    assert epochs(whole) == ["0", "1", "2"] == list(dict.fromkeys(epochs(parts)))
    weights = [torch.load(folder / "ckpt.pth.tar", weights_only=True)["state_dict"] for folder in (whole, parts)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert "epoch 4/9" in call(*train, "parts", "--patience", "3").out
