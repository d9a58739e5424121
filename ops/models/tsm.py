"""The Temporal Shift Module (Lin et al., TSM, ICCV 2019)."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ops.models.plain_operations import wants_plain_operations
from ops.models.temporal_block import Block
from ops.models.temporal_options import TemporalOptions


class _Shift(torch.autograd.Function):
    """Shifts some channels to the previous frame and some to the next; the gradient is shifted the opposite way."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, segments: int, fold: int) -> Tensor:
        """`x [N·T, C, H, W]` → the same shape and memory format."""
        ctx.segments, ctx.fold = segments, fold
        return _shifted(x, segments, fold, forwards=True)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        """The gradient, shifted back."""
        return _shifted(grad, ctx.segments, ctx.fold, forwards=False), None, None


def _shifted(x: Tensor, segments: int, fold: int, forwards: bool) -> Tensor:
    out = torch.empty_like(x)
    clips, frames = x.view(-1, segments, *x.shape[1:]), out.view(-1, segments, *x.shape[1:])  # [N, T, C, H, W]
    from_next, from_previous = slice(0, fold), slice(fold, 2 * fold)
    if not forwards:
        from_next, from_previous = from_previous, from_next
    frames[:, :, 2 * fold :] = clips[:, :, 2 * fold :]
    frames[:, :-1, from_next] = clips[:, 1:, from_next]
    frames[:, -1, from_next] = 0
    frames[:, 1:, from_previous] = clips[:, :-1, from_previous]
    frames[:, 0, from_previous] = 0
    return out


def temporal_shift(x: Tensor, segments: int, fold: int) -> Tensor:
    """The first `fold` channels of a frame come from the next frame, the next `fold` from the one before.

    `x [N·T, C, H, W]` → the same shape; zeros come from outside a clip of T = `segments` frames.
    """
    if not wants_plain_operations():
        out: Tensor = _Shift.apply(x, segments, fold)
        return out
    clips = x.view(-1, segments, *x.shape[1:])
    ahead = F.pad(clips[:, 1:, :fold], (0, 0, 0, 0, 0, 0, 0, 1))
    behind = F.pad(clips[:, :-1, fold : 2 * fold], (0, 0, 0, 0, 0, 0, 1, 0))
    return torch.cat([ahead, behind, clips[:, :, 2 * fold :]], dim=2).flatten(0, 1)


class TemporalShift(nn.Module):
    """Shifts part of the channels by one frame in each direction, and passes the result to `net`.

    Args:
        net: a convolution (the shift is in the residual branch) or a whole block; its name in published checkpoints.
        num_segments: T, the frames of a clip.
        shift_div: C // shift_div channels are shifted each way.
    """

    def __init__(self, net: nn.Module, num_segments: int, shift_div: int = 8) -> None:
        super().__init__()
        self.net = net
        self.num_segments, self.shift_div = num_segments, shift_div

    def forward(self, x: Tensor) -> Tensor:
        """`x [N·T, C, H, W]` → the output of `net`."""
        out: Tensor = self.net(temporal_shift(x, self.num_segments, x.shape[1] // self.shift_div))
        return out

    def extra_repr(self) -> str:
        """What `print(model)` shows."""
        return f"num_segments={self.num_segments}, shift_div={self.shift_div}"


def insert(block: Block, num_segments: int, options: TemporalOptions) -> nn.Module:
    """Shift the input of the residual branch of `block` or, with `shift_place` "block", of the shortcut as well."""
    if options.shift_place == "block":
        return TemporalShift(block, num_segments, options.shift_div)
    block.conv1 = TemporalShift(block.conv1, num_segments, options.shift_div)  # type: ignore[assignment]
    return block
