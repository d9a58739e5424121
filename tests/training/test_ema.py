"""The moving average of the weights agrees with a plain computation, also in a run that is interrupted."""

import math
from pathlib import Path

import pytest
import torch
from conftest import Call
from small_runs import TRAINING, write_two_classes

from ops.common.errors import InputError
from ops.models.recognizer import build_model
from ops.training.ema import ModelEma


def state(path: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["state_dict"]
    return found


@pytest.fixture
def train(tmp_path: Path) -> list[str]:
    write_two_classes(tmp_path, lambda number: number % 2)
    return ["online_main.py", *TRAINING, "--resume", "auto", "--epochs", "2", "--eval-freq", "1", "--store_name"]


def test_ema_is_the_moving_average_of_the_weights_after_each_step(tmp_path: Path, call: Call, train: list[str]) -> None:
    """A run without --ema trains the same weights and saves them after each step; the average is taken over these."""
    call(*train, "plain", "--ckpt_interval", "1", "--keep", "9")
    call(*train, "whole", "--ema", "0.7")
    call(*train, "parts", "--ema", "0.7", "--max_steps", "3")  # ends in the middle of the second epoch
    call(*train, "parts", "--ema", "0.7")
    plain, whole, parts = (tmp_path / "checkpoints" / name for name in ("plain", "whole", "parts"))
    steps = [state(plain / f"ckpt.{step:08d}.pth.tar") for step in (1, 2, 3, 4)]
    average = {name: value for name, value in steps[0].items() if value.is_floating_point()}
    for step in steps[1:]:
        average = {name: 0.7 * value + 0.3 * step[name] for name, value in average.items()}
    saved = torch.load(whole / "ckpt.pth.tar", weights_only=True)
    for name, value in average.items():
        torch.testing.assert_close(saved["state_dict"][name], value, rtol=1e-5, atol=1e-6)
        assert torch.equal(saved["ema"]["trained"][name], steps[-1][name])
    again = torch.load(parts / "ckpt.pth.tar", weights_only=True)
    assert all(torch.equal(value, again["state_dict"][name]) for name, value in saved["state_dict"].items())
    assert saved["ema"]["updates"] == again["ema"]["updates"] == 4 and "ema" not in torch.load(plain / "ckpt.pth.tar")
    assert saved["meta"]["recipe"]["ema"] == 0.7
    refused = call(*train, "plain", "--ema", "0.7", status=2).err
    assert "cannot be resumed: --ema is not set in the checkpoint, but 0.7 here" in refused
    evaluated = call(*train, "whole", "--evaluate").out  # evaluates the average, even without --ema
    assert f"{saved['meta']['results']['val_loss']:.4f}" in evaluated


def test_steps_that_a_scaler_skips_add_nothing_to_the_average() -> None:
    """A fused optimizer is called for them, and skips them on the device."""
    model = build_model("resnet18", 2, 2)
    average = ModelEma(model, 0.5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, fused=True)
    optimizer.register_step_post_hook(lambda optimizer, *_: average.update(optimizer))
    scaler = torch.amp.GradScaler("cpu")
    for gradient, updates in ((1.0, 1), (math.inf, 1), (1.0, 2)):
        for weight in model.parameters():
            weight.grad = torch.zeros_like(weight)
        model.head.weight.grad = scaler.scale(torch.full_like(model.head.weight, gradient))
        before = average.averaged.head.weight.clone()
        scaler.step(optimizer)
        scaler.update()
        assert average.state()["ema"]["updates"] == updates
        assert torch.equal(before, average.averaged.head.weight) == (gradient == math.inf)


def test_a_checkpoint_without_the_trained_weights_is_refused() -> None:
    model = build_model("resnet18", 2, 2)
    for rest in ({}, {"ema": 1}, {"ema": {"updates": 1, "trained": {}}}):
        with pytest.raises(InputError, match=r"c\.pth: cannot be resumed with --ema"):
            ModelEma(model, 0.9).restore(rest, "c.pth")
    assert ModelEma(model).averaged is model and not ModelEma(model).state()
