"""TAM's Triton kernels compute what PyTorch's operations do: run by Triton's interpreter, on a CPU.

Triton decides when it is imported whether it interprets, so `test_fused_filter.py` runs these tests in another process.
By hand: `TRITON_INTERPRET=1 python -m pytest tests/models/fused_filter_numbers.py`.
"""

import importlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from ops.models import fused_filter, tam
from ops.models.fused_filter import by_ordinary_operations, filter_by_logits, largest_difference
from ops.models.tam import TAM


def drawn(clips: int, t: int, channels: int, taps: int, *size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Features, and the logits of both branches."""
    generator = torch.Generator().manual_seed(0)
    shapes = (clips * t, channels, *size), (clips, taps, channels), (clips, channels, t)
    x, kernel, importance = (torch.randn(shape, generator=generator).requires_grad_() for shape in shapes)
    return x, kernel, importance


def gradients(out: Tensor, inputs: list[Tensor]) -> tuple[Tensor, ...]:
    change = torch.linspace(-1, 1, out.numel()).view(out.shape).to(out.dtype)
    return torch.autograd.grad(out, inputs, change)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=["NCHW", "NHWC"])
@pytest.mark.parametrize(
    ("clips", "t", "channels", "taps", "size", "branches"),
    [
        (2, 4, 6, 3, (3, 5), "both"),
        (1, 8, 3, 3, (7, 7), "both"),
        (2, 3, 5, 5, (2, 3), "both"),  # taps that reach beyond the clip
        (1, 1, 4, 3, (2, 2), "both"),
        (2, 4, 6, 3, (3, 5), "global"),
        (2, 4, 6, 1, (3, 5), "local"),
        (1, 2, 80, 3, (1, 1), "both"),  # more channels than one program computes
    ],
)
def test_the_kernels_compute_what_the_ordinary_operations_do(
    clips: int, t: int, channels: int, taps: int, size: tuple[int, int], branches: str,
    memory_format: torch.memory_format, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(fused_filter, "TILE", 16)  # so that a map has several tiles
    x, *logits = drawn(clips, t, channels, taps, *size)
    kernel, importance = (None if branches == "local" else logits[0]), (None if branches == "global" else logits[1])
    inputs = [tensor for tensor in (x, kernel, importance) if tensor is not None]
    expected = by_ordinary_operations(x, kernel, importance, t)
    out = filter_by_logits(x.contiguous(memory_format=memory_format), kernel, importance, t)
    assert out.is_contiguous(memory_format=memory_format) and torch.allclose(out, expected, atol=1e-6)
    for got, wanted in zip(gradients(out, inputs), gradients(expected, inputs), strict=True):
        assert got.shape == wanted.shape and torch.allclose(got, wanted, atol=5e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_rounded_once(dtype: torch.dtype) -> None:
    x, kernel, importance = drawn(1, 4, 6, 3, 3, 5)
    half = x.detach().to(dtype).requires_grad_()
    expected = by_ordinary_operations(half.detach().float().requires_grad_(), kernel, importance, 4)
    out = filter_by_logits(half, kernel, importance, 4)
    assert out.dtype == dtype and torch.allclose(out.float(), expected, rtol=torch.finfo(dtype).eps, atol=1e-7)
    grad_x, grad_kernel, _ = gradients(out, [half, kernel, importance])
    assert (grad_x.dtype, grad_kernel.dtype) == (dtype, torch.float32)


def test_features_in_no_dense_format_are_copied() -> None:
    x, kernel, importance = drawn(1, 4, 6, 3, 3, 10)
    strided = x[..., ::2]
    expected = by_ordinary_operations(strided, kernel, importance, 4)
    assert torch.allclose(filter_by_logits(strided, kernel, importance, 4), expected, atol=1e-6)
    out = filter_by_logits(x, kernel, importance, 4)
    transposed = torch.ones(4, 6, 10, 3).transpose(2, 3)  # a gradient in another format than the features
    expected = by_ordinary_operations(x, kernel, importance, 4)
    got, wanted = (torch.autograd.grad(result, [x], transposed)[0] for result in (out, expected))
    assert torch.allclose(got, wanted, atol=1e-6)


@pytest.mark.parametrize("branches", ["both", "global", "local"])
@pytest.mark.parametrize("training", [True, False])
def test_a_tam_gives_the_same_numbers(branches: str, training: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    module = TAM(8, 4, branches=branches).train(training)
    fused = TAM(8, 4, branches=branches).train(training)
    fused.load_state_dict(module.state_dict())
    x = torch.randn(8, 8, 3, 3, requires_grad=True)
    expected = module(x)
    with monkeypatch.context() as patch:
        patch.setattr(tam, "can_fuse", lambda _: True)
        out = fused(x)
    assert torch.allclose(out, expected, atol=1e-6)
    pairs = zip(gradients(out, [x, *fused.parameters()]), gradients(expected, [x, *module.parameters()]), strict=True)
    assert all(torch.allclose(got, wanted, atol=2e-5) for got, wanted in pairs)
    for name, tensor in module.state_dict().items():  # running statistics
        assert torch.allclose(fused.state_dict()[name], tensor, atol=1e-6), name


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_the_kernels_are_checked_before_they_are_used(mode: Callable[[], Any]) -> None:
    with mode():
        assert largest_difference(torch.device("cpu")) < 1e-6


def test_each_operation_launches_one_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    kernels = importlib.import_module("ops.models.triton_kernels")
    launched: list[str] = []

    def launcher(name: str, kernel: Any) -> Any:
        def launch(grid: Any) -> Any:
            launched.append(name)
            return kernel[grid]

        return type("Kernel", (), {"__getitem__": staticmethod(launch)})()

    for name in ("filter_forward", "filter_backward", "logits_backward"):
        monkeypatch.setattr(kernels, name, launcher(name, getattr(kernels, name)))
    x, kernel, importance = drawn(1, 4, 6, 3, 3, 5)
    out = filter_by_logits(x, kernel, importance, 4)
    assert launched == ["filter_forward"]
    gradients(out, [x, kernel, importance])
    assert launched[1:] == ["filter_backward", "logits_backward"]
