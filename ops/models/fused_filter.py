"""TAM's coefficients and filter on a GPU in one kernel, instead of one for every operation.

The kernels are in `triton_kernels.py`. Triton comes with PyTorch for CUDA on Linux. Before a GPU uses the kernels, a
check compares their results with those of the ordinary operations. If they differ, or if the kernels cannot be
compiled, one warning says so, and the ordinary operations are used. TAM_TRITON=0 turns the kernels off.
"""

import functools
import importlib.util
import os
import warnings
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from ops.common.text import first_line
from ops.models.plain_operations import wants_plain_operations
from ops.models.temporal_filter import taps_inside, temporal_filter

TYPES = (torch.float32, torch.bfloat16, torch.float16)
OPTIONS = {"enable_fp_fusion": True}
"""Multiplications and additions are fused whatever Triton's default is, which differs between its releases."""

TILE = 2048
"""Elements that a program of a kernel computes per frame."""


def can_fuse(x: Tensor) -> bool:
    """Whether `filter_by_logits` computes `x`: dense features on a GPU where the kernels work."""
    if not x.is_cuda or x.dtype not in TYPES or wants_plain_operations() or torch.compiler.is_compiling():
        return False
    return isinstance(x, FakeTensor) or _works_on(x.device)


def filter_by_logits(x: Tensor, kernel: Tensor | None, importance: Tensor | None, t: int) -> Tensor:
    """TAM's filter, from the outputs of its branches before softmax and sigmoid; differentiable.

    `x [N·T, C, H, W]`, `kernel [N, K, C]` and `importance [N, C, T]`, one of them possibly None, `t` = T → the shape,
    type and memory format of `x`.
    """
    kernel = None if kernel is None else kernel.float()
    importance = None if importance is None else importance.float()
    out: Tensor = FusedFilter.apply(x, kernel, importance, t)
    return out


class FusedFilter(torch.autograd.Function):
    """`filter_by_logits` with its gradients: one kernel forward, two backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor | None, importance: Tensor | None, t: int) -> Tensor:
        """See `filter_by_logits`."""
        x = _dense(x)
        ctx.save_for_backward(x, kernel, importance)
        ctx.t = t
        out: Tensor = _filter(x, kernel, importance, t)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None, None]:
        """The gradients of `x`, `kernel` and `importance`."""
        x, kernel, importance = ctx.saved_tensors
        grad_x, dots = _filter_gradient(x, _like(grad, x), kernel, importance, ctx.t)
        grad_kernel, grad_importance = _logit_gradients(dots, kernel, importance)
        return (
            grad_x,
            None if kernel is None else grad_kernel,
            None if importance is None else grad_importance,
            None,
        )


@torch.library.custom_op("tam::filter", mutates_args=())
def _filter(x: Tensor, kernel: Tensor | None, importance: Tensor | None, t: int) -> Tensor:
    """One launch of `filter_forward`; `x` is dense."""
    return launch_filter(x, kernel, importance, t)


@_filter.register_fake
def _(x: Tensor, kernel: Tensor | None, importance: Tensor | None, t: int) -> Tensor:
    return torch.empty_like(x)


@torch.library.custom_op("tam::filter_gradient", mutates_args=())
def _filter_gradient(
    x: Tensor, grad: Tensor, kernel: Tensor | None, importance: Tensor | None, t: int
) -> tuple[Tensor, Tensor]:
    """One launch of `filter_backward`; `x` and `grad` have the same dense format."""
    return launch_filter_gradient(x, grad, kernel, importance, t)


@_filter_gradient.register_fake
def _(x: Tensor, grad: Tensor, kernel: Tensor | None, importance: Tensor | None, t: int) -> tuple[Tensor, Tensor]:
    return torch.empty_like(x), _new_dots(x, kernel, t)


@torch.library.custom_op("tam::logit_gradients", mutates_args=())
def _logit_gradients(dots: Tensor, kernel: Tensor | None, importance: Tensor | None) -> tuple[Tensor, Tensor]:
    """One launch of `logits_backward`; the gradient of a branch that is None is empty."""
    return launch_logit_gradients(dots, kernel, importance)


@_logit_gradients.register_fake
def _(dots: Tensor, kernel: Tensor | None, importance: Tensor | None) -> tuple[Tensor, Tensor]:
    return _new_gradient(dots, kernel), _new_gradient(dots, importance)


def launch_filter(x: Tensor, kernel: Tensor | None, importance: Tensor | None, t: int) -> Tensor:
    """Launch `filter_forward` on the device of `x`; see `filter_by_logits`."""
    from ops.models.triton_kernels import filter_forward

    out = torch.empty_like(x)
    maps, tile = _strides_of_maps(x), _tile(x)
    with _current(x):
        filter_forward[_grid(x, t)](
            x, *_pointers(x, kernel, importance), out, x.shape[1], _pixels(x), *maps,
            *_shapes(kernel, importance, t), *tile, **OPTIONS,
        )  # fmt: skip
    return out


def launch_filter_gradient(
    x: Tensor, grad: Tensor, kernel: Tensor | None, importance: Tensor | None, t: int
) -> tuple[Tensor, Tensor]:
    """Launch `filter_backward` on the device of `x`: the gradient of `x`, and `dots [tiles, N, T, K, C]` in float32."""
    from ops.models.triton_kernels import filter_backward

    grad_x, dots = torch.empty_like(x), _new_dots(x, kernel, t)
    maps, tile = _strides_of_maps(x), _tile(x)
    with _current(x):
        filter_backward[_grid(x, t)](
            x, grad, *_pointers(x, kernel, importance), grad_x, dots, len(x) // t, x.shape[1], _pixels(x), *maps,
            *_shapes(kernel, importance, t), *tile, **OPTIONS,
        )  # fmt: skip
    return grad_x, dots


def launch_logit_gradients(dots: Tensor, kernel: Tensor | None, importance: Tensor | None) -> tuple[Tensor, Tensor]:
    """Launch `logits_backward` on the device of `dots`; the gradient of a branch that is None is empty."""
    from ops.models.triton_kernels import logits_backward

    tiles, n, t, _, c = dots.shape
    grad_kernel, grad_importance = _new_gradient(dots, kernel), _new_gradient(dots, importance)
    block = min(64, _power_of_two(c))
    with _current(dots):
        logits_backward[(-(-c // block), n)](
            dots, *_pointers(dots, kernel, importance), grad_kernel, grad_importance, n, c, tiles,
            *_shapes(kernel, importance, t), block, **OPTIONS,
        )  # fmt: skip
    return grad_kernel, grad_importance


def _dense(x: Tensor) -> Tensor:
    """`x`, copied if it has none of the two dense memory formats."""
    return x if x.is_contiguous(memory_format=torch.channels_last) else x.contiguous()


def _like(grad: Tensor, x: Tensor) -> Tensor:
    """`grad` in the memory format of `x`."""
    return grad if grad.stride() == x.stride() else torch.empty_like(x).copy_(grad)


def _pixels(x: Tensor) -> int:
    return x.shape[2] * x.shape[3]


def _strides_of_maps(x: Tensor) -> tuple[int, int, int]:
    """The strides of frames, channels and pixels of `x`, which is dense."""
    channels, pixels = x.shape[1], _pixels(x)
    return (channels * pixels, pixels, 1) if x.is_contiguous() else (channels * pixels, 1, channels)


def _tile(x: Tensor) -> tuple[int, int]:
    """How many channels and pixels one program computes: more of those that are neighbours in memory."""
    channels, pixels = _power_of_two(x.shape[1]), _power_of_two(_pixels(x))
    if x.is_contiguous():
        across = min(pixels, TILE // 2)
        return min(channels, TILE // across), across
    across = min(channels, 64)
    return across, min(pixels, TILE // across)


def _power_of_two(size: int) -> int:
    """The smallest power of two that is not below `size`."""
    return 1 << (size - 1).bit_length()


def _grid(x: Tensor, t: int) -> tuple[int, int, int]:
    channels, pixels = _tile(x)
    return -(-_pixels(x) // pixels), -(-x.shape[1] // channels), len(x) // t


def _pointers(unused: Tensor, kernel: Tensor | None, importance: Tensor | None) -> tuple[Tensor, Tensor]:
    """The logits; `unused` in place of those of a branch that does not exist, because a kernel needs some pointer."""
    return unused if kernel is None else kernel, unused if importance is None else importance


def _shapes(kernel: Tensor | None, importance: Tensor | None, t: int) -> tuple[int, ...]:
    """What every kernel is told of the logits: their strides, T, K, and whether each branch exists."""
    strides = (
        size for logits in (kernel, importance) for size in (logits.stride() if logits is not None else (0, 0, 0))
    )
    return (*strides, t, _taps(kernel), kernel is not None, importance is not None)


def _taps(kernel: Tensor | None) -> int:
    """K, which is 1 without a global branch."""
    return 1 if kernel is None else kernel.shape[1]


def _new_dots(x: Tensor, kernel: Tensor | None, t: int) -> Tensor:
    return x.new_empty((_grid(x, t)[0], len(x) // t, t, _taps(kernel), x.shape[1]), dtype=torch.float32)


def _new_gradient(dots: Tensor, logits: Tensor | None) -> Tensor:
    return dots.new_empty(0 if logits is None else logits.shape)


def _current(x: Tensor) -> AbstractContextManager[object]:
    """Makes the GPU of `x` the one on which Triton launches."""
    return torch.cuda.device(x.device) if x.is_cuda else nullcontext()


@functools.cache
def _works_on(device: torch.device) -> bool:
    """Whether the kernels give the results of the ordinary operations on `device`; warns once if not."""
    if os.environ.get("TAM_TRITON") == "0" or importlib.util.find_spec("triton") is None:
        return False
    try:
        wrong = largest_difference(device)
    except Exception as err:  # compiling needs a C compiler and a folder to write to, and knows not every GPU
        problem = f"{type(err).__name__}: {first_line(err)}"
    else:
        if wrong < 1e-4:
            return True
        problem = f"a result differs by {wrong:.1e}"
    warnings.warn(
        f"TAM runs without its Triton kernels on {device} and is slower ({problem}); TAM_TRITON=0 hides this warning",
        stacklevel=2,
    )
    return False


@torch.inference_mode(False)
@torch.enable_grad()
def largest_difference(device: torch.device) -> float:
    """The largest difference between results of the kernels on `device` and of the ordinary operations on the CPU.

    Of the output and of all gradients, for a small input with values around 1, in both memory formats.
    """
    clips, t, channels, taps = 2, 3, 5, 3
    generator = torch.Generator().manual_seed(0)
    shapes = (clips * t, channels, 3, 4), (clips * t, channels, 3, 4), (clips, taps, channels), (clips, channels, t)
    x, change, *logits = (torch.randn(shape, generator=generator) for shape in shapes)
    inputs = [tensor.requires_grad_() for tensor in (x, *logits)]
    out = by_ordinary_operations(inputs[0], inputs[1], inputs[2], t)
    expected = [out.detach(), *torch.autograd.grad(out, inputs, change)]
    worst = 0.0
    for memory_format in (torch.contiguous_format, torch.channels_last):
        features, gradient, kernel, importance = (part.detach().to(device) for part in (x, change, *logits))
        features, gradient = (part.contiguous(memory_format=memory_format) for part in (features, gradient))
        got = [launch_filter(features, kernel, importance, t)]
        grad_x, dots = launch_filter_gradient(features, gradient, kernel, importance, t)
        got += [grad_x, *launch_logit_gradients(dots, kernel, importance)]
        worst = max(worst, *(float((a.cpu() - b).abs().max()) for a, b in zip(got, expected, strict=True)))
    return worst


def by_ordinary_operations(x: Tensor, kernel: Tensor | None, importance: Tensor | None, t: int) -> Tensor:
    """`filter_by_logits` by PyTorch's own operations, to compare it with; on any device."""
    clips, channels = len(x) // t, x.shape[1]
    theta = x.new_ones(clips, 1, channels) if kernel is None else F.softmax(kernel, dim=1)
    a = x.new_ones(clips, channels, t) if importance is None else importance.sigmoid()
    taps = theta.transpose(0, 1)[:, :, None] * a.transpose(1, 2)  # [K, N, T, C]
    return temporal_filter(x, taps, taps_inside(len(theta[0]), t).to(x.device))
