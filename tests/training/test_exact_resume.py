"""Interrupted runs continue bit for bit in the middle of an epoch, with every option that has its own state."""

from pathlib import Path

import pytest
import torch
from conftest import Call
from small_runs import TRAINING, write_two_classes

OPTIONS = {
    "freeze": ["--freeze", "stages", "1", "--tam"],
    "adamw": ["--optimizer", "adamw", "--lr", "1e-4", "--label_smoothing", "0.1", "--class_weights", "balanced"],
    "mixup": ["--mixup", "0.4", "--cutmix", "1", "--accumulate", "2", "--label_smoothing", "0.1"],
    "randaugment": ["--augment", "randaugment"],
}


@pytest.mark.parametrize("name", OPTIONS)
def test_an_interrupted_run_equals_an_uninterrupted_one(name: str, tmp_path: Path, call: Call) -> None:
    write_two_classes(tmp_path)
    train = ["online_main.py", *TRAINING, "--resume", "auto", "--epochs", "2", "--eval-freq", "2", "--keep_last_batch"]
    train += ["--balance", *OPTIONS[name], "--store_name"]
    call(*train, "whole")
    call(*train, "parts", "--max_steps", "2")
    resumed = call(*train, "parts")
    assert "0 epochs and 2 steps are done" in resumed.out and "not as in the run so far" not in resumed.err
    whole, parts = (
        torch.load(tmp_path / "checkpoints" / run / "ckpt.pth.tar", weights_only=True) for run in ("whole", "parts")
    )
    assert whole["epoch_steps"] == 3 and whole["state_dict"].keys() == parts["state_dict"].keys()
    if "--mixup" in train:
        assert whole["meta"]["recipe"]["mixup"] == 0.4 and whole["meta"]["recipe"]["cutmix"] == 1
        changed = call(*train, "parts", "--mixup", "0.5", "--epochs", "3", "--max_steps", "1").err
        assert "mixup 0.5, before 0.4" in changed
    assert all(torch.equal(value, parts["state_dict"][key]) for key, value in whole["state_dict"].items())
