"""The fused optimizer of GPUs takes the same steps as the published one; a CPU has one too, which shows it here."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD

from ops.models.checkpoint import read_checkpoint, save_checkpoint
from ops.models.recognizer import Recognizer, build_model
from ops.training.optimizer import make_optimizer
from ops.training.options import train_parser
from ops.training.resume import restore

ARGS = train_parser(None).parse_args(["kinetics", "RGB", "--lr", "0.1", "--wd", "0.001"])
STEPS = 3


def start(channels_last: bool = False, fused: bool = True) -> tuple[Recognizer, SGD]:
    torch.manual_seed(1)
    model = build_model("resnet18", 4, 3)
    if channels_last:
        model.to(memory_format=torch.channels_last)
    return model, make_optimizer(ARGS, model, 0.1, fast_head=True, fused=fused)


def step(model: nn.Module, optimizer: SGD, number: int, scaler: torch.amp.GradScaler | None = None) -> None:
    """A step with gradients that depend on the weights and its `number`; with infinite ones where that is negative."""
    for parameter in model.parameters():
        parameter.grad = (parameter.detach() + number).cos() * (torch.inf if number < 0 else 1)
    if not scaler:
        optimizer.step()
        return
    scaler.scale(torch.zeros(()))  # only now does it know its scale
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()


def numbers(model: nn.Module, optimizer: SGD) -> list[Tensor]:
    momentum = [optimizer.state[parameter]["momentum_buffer"] for parameter in model.parameters()]
    return [*(parameter.detach() for parameter in model.parameters()), *momentum]


def equal(one: list[Tensor], other: list[Tensor]) -> bool:
    return len(one) == len(other) and all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("channels_last", [False, True])
def test_fused_steps_are_the_published_ones(channels_last: bool) -> None:
    runs = [start(channels_last, fused) for fused in (False, True)]
    for number in range(STEPS):
        for model, optimizer in runs:
            step(model, optimizer, number)
    assert not runs[0][1].param_groups[0]["fused"] and runs[1][1].param_groups[0]["fused"]
    for one, other in zip(*(numbers(*run) for run in runs), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


def test_a_first_step_that_fp16_skips_leaves_no_trace() -> None:
    """Without `complete_momentum` the momentum is whatever was in that memory before."""
    blank = [torch.full((4096,), torch.nan) for _ in range(64)]
    del blank
    skipped, plain = start(), start()
    scaler = torch.amp.GradScaler("cpu", init_scale=1.0)
    step(*skipped, -1, scaler)
    assert equal(numbers(*skipped), numbers(*plain)) and scaler.get_scale() == 0.5
    scaler = torch.amp.GradScaler("cpu", init_scale=1.0)
    for number in range(STEPS):
        step(*skipped, number, scaler)
        step(*plain, number)
    assert equal(numbers(*skipped), numbers(*plain))


@pytest.mark.parametrize("before", [(False, True), (True, True), (False, False)], ids=["same", "format", "kind"])
def test_a_run_goes_on_in_the_format_of_its_parameters(before: tuple[bool, bool], tmp_path: Path) -> None:
    """From a checkpoint of the same kind of run, of one in channels last, and of one whose optimizer was not fused."""
    model, optimizer = start(*before)
    for number in range(2):
        step(model, optimizer, number)
    rest = {"epoch": 1, "step": 0, "optimizer": optimizer.state_dict()}
    save_checkpoint(tmp_path / "c.pth.tar", model, {}, **rest)
    again, its_optimizer = start()
    origin = read_checkpoint(tmp_path / "c.pth.tar")
    again.load_state_dict(origin.state)
    restore(origin, its_optimizer)
    assert its_optimizer.param_groups[0]["fused"]
    for parameter in again.parameters():
        assert its_optimizer.state[parameter]["momentum_buffer"].stride() == parameter.stride()
    for number in range(2, STEPS):
        step(model, optimizer, number)
        step(again, its_optimizer, number)
    for one, other in zip(numbers(model, optimizer), numbers(again, its_optimizer), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)
