"""The Temporal Adaptive Module (Liu et al., TAM, ICCV 2021, section 3)."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


class TemporalFilter(torch.autograd.Function):
    """A three-tap filter over time whose taps differ for every clip, frame and channel.

    Autograd alone would keep a copy of x for every tap and sum their gradients one by one; this keeps x and the taps.
    Frames of all clips are taken in one row, with taps of zero where one clip ends and the next begins: so every
    operand is one piece of memory. Works in any memory format, and in half precision.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, taps: Tensor) -> Tensor:
        """`x [F, C, H, W]`; `taps [3, F, C]`: the weight of frame f for frame f + 1, f and f - 1."""
        ctx.save_for_backward(x, taps)
        to_next, to_self, to_previous = taps[..., None, None].unbind()
        out = x * to_self
        out[1:].addcmul_(x[:-1], to_next[:-1])
        out[:-1].addcmul_(x[1:], to_previous[1:])
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        """The same filter run the other way, and the dot product of each frame with the gradient it met."""
        x, taps = ctx.saved_tensors
        to_next, to_self, to_previous = taps[..., None, None].unbind()
        grad_taps = torch.zeros_like(taps)
        product = x * grad  # one piece of memory for all products, and for the result
        grad_taps[1] = product.sum(dim=(2, 3))
        grad_taps[0, :-1] = torch.mul(x[:-1], grad[1:], out=product[1:]).sum(dim=(2, 3))
        grad_taps[2, 1:] = torch.mul(x[1:], grad[:-1], out=product[1:]).sum(dim=(2, 3))
        grad_x = torch.mul(grad, to_self, out=product)
        grad_x[:-1].addcmul_(grad[1:], to_next[:-1])
        grad_x[1:].addcmul_(grad[:-1], to_previous[1:])
        return grad_x, grad_taps


class SpatialMean(torch.autograd.Function):
    """The mean over height and width, whose gradient is one number per map until it is added to another's."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, dtype: torch.dtype) -> Tensor:
        """`x [F, C, H, W]` → `[F, C]` of type `dtype`."""
        ctx.shape, ctx.dtype = x.shape, x.dtype
        if x.dtype == dtype or torch.compiler.is_exporting():  # exporters do not all know a mean of another type
            return x.to(dtype).mean(dim=(2, 3))
        return x.mean(dim=(2, 3), dtype=dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        """`[F, C]` → a view of shape `[F, C, H, W]`."""
        h, w = ctx.shape[2:]
        return (grad / (h * w)).to(ctx.dtype)[..., None, None].expand(ctx.shape), None


def temporal_filter(x: Tensor, taps: Tensor) -> Tensor:
    """`y[:, t] = taps[0, :, t-1] · x[:, t-1] + taps[1, :, t] · x[:, t] + taps[2, :, t+1] · x[:, t+1]`, per channel.

    `x [N·T, C, H, W]` and `taps [3, N, T, C]` → `[N·T, C, H, W]`; outside a clip there is nothing.
    """
    if torch.compiler.is_exporting():
        return _filter_in_plain_operations(x, taps)
    inside = taps.new_ones(3, 1, taps.shape[2], 1)
    inside[0, :, -1] = inside[2, :, 0] = 0
    out: Tensor = TemporalFilter.apply(x, (taps * inside).flatten(1, 2).to(x.dtype))
    return out


def _filter_in_plain_operations(x: Tensor, taps: Tensor) -> Tensor:
    """`temporal_filter` for exported graphs, where writing in place would become scattering."""
    n, t, c = taps.shape[1:]
    frames = x.view(n, t, c, *x.shape[2:])
    taps = taps.to(x.dtype)
    around = F.pad(frames, (0, 0, 0, 0, 0, 0, 1, 1))  # [N, T + 2, C, H, W]: a frame of zeros at either end
    to_next, to_self, to_previous = F.pad(taps, (0, 0, 1, 1))[..., None, None].unbind()  # [N, T + 2, C, 1, 1] each
    out = around[:, :-2] * to_next[:, :-2] + frames * to_self[:, 1:-1] + around[:, 2:] * to_previous[:, 2:]
    return out.flatten(0, 1)


class TAM(nn.Module):
    """Mixes each frame's features with its neighbours' by a kernel made from the video itself.

    For `x[n, t, c]` with spatial mean `p[n, c, t]`, the local branch L gives an importance `a = L(p)` in (0, 1)
    for every place in time (eq. 3–4), the global branch G a kernel `θ = G(p)` of three taps that sum to one, the
    same for all of a video (eq. 5–6), and

        y[n, t, c] = Σ_k θ[n, c, k] · a[n, c, t+k-1] · x[n, t+k-1, c]        (zero outside the clip).

    Args:
        in_channels: C, at least 4.
        num_segments: T, the frames of a clip. G's layers have this size, so it is fixed in the weights.
    """

    def __init__(self, in_channels: int, num_segments: int) -> None:
        super().__init__()
        if in_channels < 4 or num_segments < 1:
            raise ValueError(f"in_channels ({in_channels}) must be ≥ 4 and num_segments ({num_segments}) ≥ 1")
        self.in_channels, self.num_segments = in_channels, num_segments
        hidden = in_channels // 4
        self.G = nn.Sequential(  # over time, shared by all channels
            nn.Linear(num_segments, 2 * num_segments, bias=False),
            nn.BatchNorm1d(2 * num_segments),
            nn.ReLU(inplace=True),
            nn.Linear(2 * num_segments, 3, bias=False),
            nn.Softmax(dim=-1),
        )
        self.L = nn.Sequential(
            nn.Conv1d(in_channels, hidden, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
            nn.Conv1d(hidden, in_channels, kernel_size=1, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """`x [N·T, C, H, W]`, the frames of a clip one after another → the same shape."""
        frames, c = x.shape[:2]
        t = self.num_segments
        if frames % t or c != self.in_channels:
            raise ValueError(
                f"input of shape {list(x.shape)} must fold into clips of {t} frames with {self.in_channels} channels"
            )
        with torch.autocast(x.device.type, enabled=False):  # the coefficients are small: full precision costs nothing
            pooled = SpatialMean.apply(x, self.G[0].weight.dtype).view(-1, t, c)
            kernel, importance = self.coefficients(pooled)  # [N, C, 3], [N, C, T]
            taps = kernel[..., None] * importance[:, :, None]  # [N, C, 3, T]
            return temporal_filter(x, taps.permute(2, 0, 3, 1))

    def coefficients(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Spatial means `[N, T, C]` → the global branch's kernels `[N, C, 3]`, the local one's `[N, C, T]`."""
        n, t, c = pooled.shape
        kernel: Tensor = self.G(pooled.transpose(1, 2).reshape(n * c, t)).view(n, c, 3)
        return kernel, self._importance(pooled).transpose(1, 2)

    def _importance(self, pooled: Tensor) -> Tensor:
        """L, its convolutions over so few places written as products of matrices: `[N, T, C]` → the same shape."""
        n, t, c = pooled.shape
        narrow, norm, relu, wide, gate = self.L.children()
        assert isinstance(narrow, nn.Conv1d) and isinstance(wide, nn.Conv1d)
        padded = F.pad(pooled, (0, 0, 1, 1))
        windows = torch.stack([padded[:, :-2], pooled, padded[:, 2:]], dim=3).view(n * t, c * 3)
        hidden = F.linear(windows, narrow.weight.flatten(1), narrow.bias)  # [C / 4, C, 3] → [C / 4, C · 3]
        importance: Tensor = gate(F.linear(relu(norm(hidden)), wide.weight.squeeze(2)))
        return importance.view(n, t, c)

    def extra_repr(self) -> str:
        """What `print(model)` shows."""
        return f"in_channels={self.in_channels}, num_segments={self.num_segments}"
