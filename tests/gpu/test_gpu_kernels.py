"""TAM's Triton kernels on a real GPU: their numbers, their determinism, and that they are used."""

import warnings

import pytest
import torch
from devices import gpus, on_gpu
from torch import Tensor

from benchmarks.published import UnfusedTAM
from ops.models.fused_filter import can_fuse, largest_difference
from ops.models.tam import TAM

pytestmark = [*gpus(), pytest.mark.usefixtures("float32_is_float32")]
GPU = torch.device("cuda", 0)
WITHIN = {torch.float32: 1e-4, torch.bfloat16: 2e-2, torch.float16: 3e-3}
"""The largest error, relative to the norm of all values; that of half precision is due to the ordinary operations."""


def test_the_kernels_work_here() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert can_fuse(torch.empty(1, device=GPU))
    assert largest_difference(GPU) < 1e-5


def computed(module: TAM, x: Tensor, change: Tensor) -> list[Tensor]:
    """The output of `module`, and the gradients of its input and parameters."""
    leaf = x.detach().requires_grad_()
    out = module(leaf)
    return [out.detach(), *torch.autograd.grad(out, [leaf, *module.parameters()], change)]


@pytest.mark.parametrize("dtype", list(WITHIN))
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=["NCHW", "NHWC"])
@pytest.mark.parametrize(("channels", "size", "branches"), [(64, 56, "both"), (512, 7, "both"), (128, 28, "global")])
def test_a_tam_gives_the_same_numbers(
    channels: int, size: int, branches: str, memory_format: torch.memory_format, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    fused, ordinary = TAM(channels, 8, branches=branches).to(GPU), UnfusedTAM(channels, 8, branches=branches).to(GPU)
    ordinary.load_state_dict(fused.state_dict())
    x, change = (
        torch.randn(16, channels, size, size, device=GPU).to(dtype, memory_format=memory_format) for _ in range(2)
    )
    results = computed(fused, x, change)
    for got, wanted in zip(results, computed(ordinary, x, change), strict=True):
        assert got.dtype == wanted.dtype and got.stride() == wanted.stride()
        difference = (got.double() - wanted.double()).norm() / wanted.double().norm()
        assert difference < WITHIN[dtype]
    for got, again in zip(results[:2], computed(fused, x, change)[:2], strict=True):
        assert torch.equal(got, again)


@pytest.mark.parametrize("device", [on_gpu("cuda:1", count=2)])
def test_the_kernels_run_on_the_gpu_of_their_input(device: str) -> None:
    x = torch.randn(8, 16, 4, 4)
    module = TAM(16, 8).eval()
    expected = module(x)
    assert torch.allclose(module.to(device)(x.to(device)).cpu(), expected, atol=1e-5)
