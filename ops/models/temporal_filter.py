"""A filter over time whose weights differ for every clip, frame and channel: the last operation of TAM and TIM."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from ops.models.plain_operations import wants_plain_operations


class TemporalFilter(torch.autograd.Function):
    """A filter of K taps over time whose taps differ for every clip, frame and channel.

    Autograd alone would keep a copy of x for every tap and sum their gradients one by one; this keeps only x and the
    taps. The frames of all clips form one sequence, with taps of zero where one clip ends and the next begins, so that
    every operand is contiguous. Works in any memory format, and in half precision.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, taps: Tensor) -> Tensor:
        """`x [F, C, H, W]`; `taps [K, F, C]`: `taps[k, f]` is the weight of frame f for frame f + K // 2 - k."""
        ctx.save_for_backward(x, taps)
        spread = taps[..., None, None].unbind()
        out = x * spread[len(spread) // 2]
        for shift, tap in _around(spread):
            _later(out, shift).addcmul_(_earlier(x, shift), _earlier(tap, shift))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        """The same filter in the opposite direction, and for each tap the dot product of its frame and its gradient."""
        x, taps = ctx.saved_tensors
        spread = taps[..., None, None].unbind()
        middle = len(spread) // 2
        grad_taps = torch.zeros_like(taps)
        product = x * grad  # one buffer for all products and for the result
        torch.sum(product, dim=(2, 3), out=grad_taps[middle])
        for shift, _ in _around(spread):
            met = torch.mul(_earlier(x, shift), _later(grad, shift), out=product[abs(shift) :])
            torch.sum(met, dim=(2, 3), out=_earlier(grad_taps[middle - shift], shift))
        grad_x = torch.mul(grad, spread[middle], out=product)
        for shift, tap in _around(spread):
            _earlier(grad_x, shift).addcmul_(_later(grad, shift), _earlier(tap, shift))
        return grad_x, grad_taps


def _around(taps: tuple[Tensor, ...]) -> list[tuple[int, Tensor]]:
    """Every tap except the middle one, and by how many frames it shifts a frame forward in time."""
    middle = len(taps) // 2
    shifts = [(middle - k, tap) for k, tap in enumerate(taps) if k != middle]
    return [(shift, tap) for shift, tap in shifts if abs(shift) < len(tap)]


def _earlier(x: Tensor, shift: int) -> Tensor:
    """The frames of `x` that have a frame `shift` places later (earlier, if it is negative)."""
    return x[:-shift] if shift > 0 else x[-shift:]


def _later(x: Tensor, shift: int) -> Tensor:
    """The frames that lie `shift` places after those of `_earlier`."""
    return x[shift:] if shift > 0 else x[:shift]


def temporal_filter(x: Tensor, taps: Tensor, inside: Tensor) -> Tensor:
    """`y[:, t] = Σ_k taps[k, :, s] · x[:, s]` with `s = t + k - K // 2`, per channel; zero outside a clip.

    `x [N·T, C, H, W]`, `taps [K, N, T, C]`, K odd, and `inside [K, 1, T, 1]` from `taps_inside` → `[N·T, C, H, W]`.
    """
    if wants_plain_operations():
        return _filter_in_plain_operations(x, taps * inside)
    out: Tensor = TemporalFilter.apply(x, (taps * inside).flatten(1, 2).to(x.dtype))
    return out


def taps_inside(kernel: int, t: int) -> Tensor:
    """1 where one of the K taps of a frame leads to a frame of the same clip of T, else 0: `[K, 1, T, 1]`.

    Modules compute it once, as a buffer, because computing it takes as many kernels as the filter itself.
    """
    inside = torch.ones(kernel, 1, t, 1)
    for k in range(kernel):
        shift = kernel // 2 - k
        if shift > 0:
            inside[k, :, max(t - shift, 0) :] = 0
        elif shift < 0:
            inside[k, :, :-shift] = 0
    return inside


def _filter_in_plain_operations(x: Tensor, taps: Tensor) -> Tensor:
    """`temporal_filter` without writing in place, on tensors of at most four dimensions, for translated networks.

    `taps` are 0 where they lead out of a clip.
    """
    kernel = taps.shape[0]
    reach = kernel // 2
    around = F.pad(x, (0, 0, 0, 0, 0, 0, reach, reach))  # frames of zeros at either end
    weights = F.pad(taps.flatten(1, 2).to(x.dtype), (0, 0, reach, reach))  # [K, F, C]
    frames = x.shape[0]
    terms = [around[k : k + frames] * weights[k, k : k + frames, :, None, None] for k in range(kernel)]
    return sum(terms[1:], start=terms[0])
