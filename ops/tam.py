"""The Temporal Adaptive Module (Liu et al., TAM, ICCV 2021, section 3)."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class TemporalFilter(torch.autograd.Function):
    """A three-tap filter over time whose taps differ for every clip, frame and channel.

    Autograd alone would keep a copy of x for every tap and sum their gradients one by one; this keeps x and the taps,
    and is several times faster on a CPU.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, taps: Tensor) -> Tensor:
        """`x [N, T, C, H, W]`; `taps [3, N, T, C]`: the weight of frame t for frame t + 1, t and t - 1."""
        ctx.save_for_backward(x, taps)
        to_next, to_self, to_previous = taps[..., None, None].unbind()
        out = x * to_self
        out[:, 1:].addcmul_(x[:, :-1], to_next[:, :-1])
        out[:, :-1].addcmul_(x[:, 1:], to_previous[:, 1:])
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        """The same filter run the other way, and the dot product of each frame with the gradient it met."""
        x, taps = ctx.saved_tensors
        to_next, to_self, to_previous = taps[..., None, None].unbind()
        grad_x = grad * to_self
        grad_x[:, :-1].addcmul_(grad[:, 1:], to_next[:, :-1])
        grad_x[:, 1:].addcmul_(grad[:, :-1], to_previous[:, 1:])
        grad_taps = torch.zeros_like(taps)
        grad_taps[0, :, :-1] = (x[:, :-1] * grad[:, 1:]).sum(dim=(3, 4))
        grad_taps[1] = (x * grad).sum(dim=(3, 4))
        grad_taps[2, :, 1:] = (x[:, 1:] * grad[:, :-1]).sum(dim=(3, 4))
        return grad_x, grad_taps


def temporal_filter(x: Tensor, taps: Tensor) -> Tensor:
    """`y[:, t] = taps[0, :, t-1] · x[:, t-1] + taps[1, :, t] · x[:, t] + taps[2, :, t+1] · x[:, t+1]`, per channel.

    `x [N, T, C, H, W]` and `taps [3, N, T, C]` → `[N, T, C, H, W]`; outside the clip there is nothing.
    """
    out: Tensor = TemporalFilter.apply(x, taps)
    return out


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
        frames, c, h, w = x.shape
        t = self.num_segments
        if frames % t or c != self.in_channels:
            raise ValueError(
                f"input of shape {list(x.shape)} must fold into clips of {t} frames with {self.in_channels} channels"
            )
        n = frames // t
        x = x.view(n, t, c, h, w)
        kernel, importance = self.coefficients(x.mean(dim=(3, 4)))  # [N, C, 3], [N, C, T]
        taps = kernel[..., None] * importance[:, :, None]  # [N, C, 3, T]
        out = temporal_filter(x, taps.permute(2, 0, 3, 1))
        return out.view(frames, c, h, w)

    def coefficients(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Spatial means `[N, T, C]` → the global branch's kernels `[N, C, 3]`, the local one's `[N, C, T]`."""
        n, t, c = pooled.shape
        series = pooled.transpose(1, 2)  # [N, C, T]
        kernel: Tensor = self.G(series.reshape(n * c, t)).view(n, c, 3)
        importance: Tensor = self.L(series)
        return kernel, importance

    def extra_repr(self) -> str:
        """What `print(model)` shows."""
        return f"in_channels={self.in_channels}, num_segments={self.num_segments}"
