"""The fused optimizer for GPUs takes the same steps as the published one; this is tested with the fused one for CPUs.

AdamW takes the same steps as a plain one with a learning rate and a weight decay for each parameter.
"""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from ops.common.errors import InputError
from ops.models.checkpoint import read_checkpoint, save_checkpoint
from ops.models.recognizer import Recognizer, build_model
from ops.training import eager_optimizers
from ops.training.optimizer import make_optimizer
from ops.training.options import train_parser
from ops.training.resume import restore

ARGS = train_parser(None).parse_args(["kinetics", "RGB", "--lr", "0.1", "--wd", "0.001"])
STEPS = 3


def start(channels_last: bool = False, fused: bool = True) -> tuple[Recognizer, Optimizer]:
    torch.manual_seed(1)
    model = build_model("resnet18", 4, 3)
    if channels_last:
        model.to(memory_format=torch.channels_last)
    return model, make_optimizer(ARGS, model, 0.1, fast_head=True, fused=fused)


def step(model: nn.Module, optimizer: Optimizer, number: int, scaler: torch.amp.GradScaler | None = None) -> None:
    """Take a step with gradients that depend on the weights and on `number`; they are infinite if it is negative."""
    for parameter in model.parameters():
        parameter.grad = (parameter.detach() + number).cos() * (torch.inf if number < 0 else 1)
    if not scaler:
        optimizer.step()
        return
    scaler.scale(torch.zeros(()))  # the scaler creates its scale only at this call
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()


def numbers(model: nn.Module, optimizer: Optimizer) -> list[Tensor]:
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


def test_a_first_step_that_fp16_skips_changes_nothing() -> None:
    """Without `complete_momentum`, the momentum would be uninitialised memory after the skipped step."""
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
def test_a_resumed_momentum_has_the_memory_format_of_its_parameters(before: tuple[bool, bool], tmp_path: Path) -> None:
    """The checkpoint is from the same kind of run, from one in channels last, or from one with an unfused optimizer."""
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


ADAMW = train_parser(None).parse_args(["kinetics", "RGB", "--wd", "0.1", "--optimizer", "adamw"])


def adamw(fused: bool = False, channels_last: bool = False) -> tuple[Recognizer, Optimizer]:
    model = start(channels_last)[0]
    return model, make_optimizer(ADAMW, model, 1e-3, fast_head=True, fused=fused)


@pytest.mark.parametrize("fused", [False, True])
def test_adamw_keeps_the_factors_of_parameter_groups(fused: bool) -> None:
    """The head has 5 and 10 times the learning rate; biases and batch norms have no weight decay."""
    (model, optimizer), plain = adamw(fused), start()[0]
    named = dict(plain.named_parameters())
    norms = {id(p) for m in plain.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) for p in m.parameters()}
    linear = {id(p) for m in plain.modules() if isinstance(m, nn.Linear) for p in m.parameters()}
    groups = []
    for name, parameter in named.items():
        bias = name.endswith("bias") and id(parameter) not in norms
        factor = (10 if bias else 5) if id(parameter) in linear else 2 if bias else 1
        decays = id(parameter) not in norms and not bias
        groups.append({"params": [parameter], "lr": 1e-3 * factor, "weight_decay": 0.1 * decays})
    theirs = AdamW(groups)
    for number in range(STEPS):
        step(model, optimizer, number)
        step(plain, theirs, number)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter, named[name], rtol=1e-5, atol=1e-6)
    assert isinstance(optimizer, AdamW) and not torch.equal(model.head.weight, start()[0].head.weight)


def test_resumed_adamw_has_the_memory_format_of_its_parameters(tmp_path: Path) -> None:
    """A fused optimizer in another memory format continues the run of an unfused one; SGD refuses to do so."""
    model, optimizer = adamw(channels_last=True)
    step(model, optimizer, 0)
    save_checkpoint(tmp_path / "c.pth.tar", model, {}, epoch=1, step=0, optimizer=optimizer.state_dict())
    origin = read_checkpoint(tmp_path / "c.pth.tar")
    again, its_optimizer = adamw(fused=True)
    again.load_state_dict(origin.state)
    restore(origin, its_optimizer)
    for number in range(1, STEPS):
        step(model, optimizer, number)
        step(again, its_optimizer, number)
    for one, other in zip(model.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
        state = its_optimizer.state[other]
        assert state["exp_avg"].stride() == state["exp_avg_sq"].stride() == other.stride()
    with pytest.raises(InputError, match="--optimizer is adamw in the checkpoint, sgd here"):
        restore(origin, start()[1])


@pytest.mark.parametrize("plain", [SGD, AdamW])
def test_optimizers_without_the_compiler_are_those_of_pytorch(plain: type[Optimizer]) -> None:
    """The same bits and the same state, in which either can go on."""
    options = {"momentum": 0.9} if plain is SGD else {}
    states = []
    for makes in ((plain, plain), (getattr(eager_optimizers, plain.__name__),) * 2):
        torch.manual_seed(0)
        model, state = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4)), None
        for make in makes:
            groups = [{"params": layer.parameters(), "weight_decay": 0.1 * n} for n, layer in enumerate(model)]
            optimizer = make(groups, lr=0.1, **options)  # type: ignore[call-arg]
            if state:
                optimizer.load_state_dict(state)
            for number in range(STEPS):
                optimizer.zero_grad()
                assert all(parameter.grad is None for parameter in model.parameters())
                step(model, optimizer, number)
            state = optimizer.state_dict()
        states.append((model.state_dict(), state))
    (weights, state), (ours, our_state) = states
    assert all(torch.equal(value, ours[name]) for name, value in weights.items())
    assert state and our_state and state["param_groups"] == our_state["param_groups"]
    assert state["state"].keys() == our_state["state"].keys()
    for number, values in state["state"].items():
        assert all(torch.equal(value, our_state["state"][number][name]) for name, value in values.items())
