"""The Temporal Adaptive Module (Liu et al., TAM, ICCV 2021, section 3)."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from ops.models.fused_filter import can_fuse, filter_by_logits
from ops.models.plain_operations import wants_plain_operations
from ops.models.temporal_block import on_features
from ops.models.temporal_filter import taps_inside, temporal_filter
from ops.models.temporal_options import TemporalOptions


class SpatialMean(torch.autograd.Function):
    """The mean over height and width; its gradient stays one number per map until it is added to another gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, dtype: torch.dtype) -> Tensor:
        """`x [F, C, H, W]` → `[F, C]` of type `dtype`."""
        ctx.shape, ctx.dtype = x.shape, x.dtype
        if x.dtype == dtype or wants_plain_operations():  # not every exporter supports a mean of another type
            return x.to(dtype).mean(dim=(2, 3))
        return x.mean(dim=(2, 3), dtype=dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        """`[F, C]` → a view of shape `[F, C, H, W]`."""
        h, w = ctx.shape[2:]
        return (grad / (h * w)).to(ctx.dtype)[..., None, None].expand(ctx.shape), None


class TAM(nn.Module):
    """Mixes each frame's features with those of its neighbours, by a kernel that it computes from the video itself.

    For `x[n, t, c]` with spatial mean `p[n, c, t]`, the local branch L gives an importance `a = L(p)` in (0, 1)
    for every place in time (eq. 3–4), the global branch G a kernel `θ = G(p)` of three taps that sum to one, the
    same for the whole video (eq. 5–6), and

        y[n, t, c] = Σ_k θ[n, c, k] · a[n, c, t+k-1] · x[n, t+k-1, c]        (zero outside the clip).

    With one branch only (paper, table 2), θ is 1 for the frame itself and 0 for the others, or a is 1.

    Args:
        in_channels: C, at least `beta`.
        num_segments: T, the frames of a clip. G's layers have this size, so the weights depend on it.
        kernel_size: K, taps of the adaptive kernel, an odd number (3 in the formula above).
        alpha: G has alpha · T hidden units.
        beta: L has C / beta hidden channels.
        branches: "both", "global" or "local".
    """

    def __init__(
        self,
        in_channels: int,
        num_segments: int,
        kernel_size: int = 3,
        alpha: int = 2,
        beta: int = 4,
        branches: str = "both",
    ) -> None:
        super().__init__()
        if in_channels < beta or num_segments < 1:
            raise ValueError(f"in_channels ({in_channels}) must be ≥ {beta} and num_segments ({num_segments}) ≥ 1")
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size ({kernel_size}) must be odd")
        self.in_channels, self.num_segments, self.kernel_size = in_channels, num_segments, kernel_size
        hidden, units = in_channels // beta, alpha * num_segments
        self.inside: Tensor
        taps = 1 if branches == "local" else kernel_size
        self.register_buffer("inside", taps_inside(taps, num_segments), persistent=False)
        self.G = self.L = None
        if branches != "local":
            self.G = nn.Sequential(  # over time, shared by all channels: `[channels, T]` → `[channels, K]`
                nn.Linear(num_segments, units, bias=False),
                nn.BatchNorm1d(units),
                nn.ReLU(inplace=True),
                nn.Linear(units, kernel_size, bias=False),
                nn.Softmax(dim=1),
            )
        if branches != "global":
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
        with torch.autocast(x.device.type, enabled=False):  # coefficients are small, so full precision is cheap
            weight = next(self.parameters())
            pooled = SpatialMean.apply(x, weight.dtype).view(-1, t, c)
            if self._fuses(x):
                kernel = None if self.G is None else self._kernel_logits(self.G, pooled)
                importance = None if self.L is None else self.L[:-1](pooled.transpose(1, 2))
                return filter_by_logits(x, kernel, importance, t)
            return temporal_filter(x, self._taps(pooled), self.inside)

    def _fuses(self, x: Tensor) -> bool:
        """Whether one kernel computes softmax, sigmoid and filter; a hook on a branch must get the branch's output."""
        if not can_fuse(x):
            return False
        return not any(part._forward_hooks or part._forward_pre_hooks for part in self.modules() if part is not self)

    def _taps(self, pooled: Tensor) -> Tensor:
        """The taps of each frame from spatial means: `[N, T, C]` → `[K, N, T, C]`."""
        importance = None if self.L is None else self._importance(self.L, pooled)
        if self.G is None:
            assert importance is not None
            return importance[None]
        kernel: Tensor = self.G[-1](self._kernel_logits(self.G, pooled))
        spread = kernel.transpose(0, 1).contiguous()[:, :, None]  # [K, N, 1, C]; otherwise the taps would be copied
        return spread.expand(-1, -1, self.num_segments, -1) if importance is None else spread * importance

    @staticmethod
    def _kernel_logits(branch: nn.Sequential, pooled: Tensor) -> Tensor:
        """G before its softmax: `[N, T, C]` → `[N, K, C]`. Channels stay last, so that nothing is copied."""
        first, norm, relu, last, _ = branch.children()
        assert isinstance(first, nn.Linear) and isinstance(last, nn.Linear)
        return _over_time(last, relu(norm(_over_time(first, pooled))))

    @staticmethod
    def _importance(branch: nn.Sequential, pooled: Tensor) -> Tensor:
        """L, with its convolutions over few positions written as matrix products: `[N, T, C]` → the same shape."""
        n, t, c = pooled.shape
        narrow, norm, relu, wide, gate = branch.children()
        assert isinstance(narrow, nn.Conv1d) and isinstance(wide, nn.Conv1d)
        padded = F.pad(pooled, (0, 0, 1, 1))
        windows = torch.stack([padded[:, :-2], pooled, padded[:, 2:]], dim=3).view(n * t, c * 3)
        hidden = F.linear(windows, narrow.weight.flatten(1), narrow.bias)  # [C / 4, C, 3] → [C / 4, C · 3]
        importance: Tensor = gate(F.linear(relu(norm(hidden)), wide.weight.squeeze(2)))
        return importance.view(n, t, c)

    def multiply_adds(self, frames: int, pixels: int) -> int:
        """MACs of the branches for a clip of `frames`; the filter itself is not a matrix product and is not counted."""
        macs = 0
        if self.G is not None:
            macs += self.in_channels * sum(layer.weight.numel() for layer in self.G if isinstance(layer, nn.Linear))
        if self.L is not None:
            macs += frames * sum(layer.weight.numel() for layer in self.L if isinstance(layer, nn.Conv1d))
        return macs

    def extra_repr(self) -> str:
        """What `print(model)` shows."""
        return f"in_channels={self.in_channels}, num_segments={self.num_segments}"


def _over_time(layer: nn.Linear, x: Tensor) -> Tensor:
    """`layer` along the second dimension: `x [N, in, C]` → `[N, out, C]`."""
    weight = layer.weight.expand(x.shape[0], -1, -1)  # not len(x): an exported network takes any number of clips
    return torch.bmm(weight, x) if layer.bias is None else torch.baddbmm(layer.bias[:, None], weight, x)


def _make(channels: int, num_segments: int, options: TemporalOptions) -> TAM:
    return TAM(channels, num_segments, options.kernel, options.alpha, options.beta, options.branches)


insert = on_features("tam", _make)
