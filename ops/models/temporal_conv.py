"""A dense temporal convolution, 3×1×1."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ops.models.temporal_block import on_features


def conv_over_time(x: Tensor, weight: Tensor, num_segments: int, stride: int = 1) -> Tensor:
    """A 3-D convolution of clips whose frames lie one after another, padded to the same length and size.

    `x [N·T, C, H, W]`, `weight [C', C, K, k, k]` → `[N·T, C', H / stride, W / stride]`. In channels-last memory the
    clips are a view; otherwise they are copied.
    """
    clips = x.view(-1, num_segments, *x.shape[1:]).transpose(1, 2)  # [N, C, T, H, W]
    padding = [size // 2 for size in weight.shape[2:]]
    if x.device.type == "cpu" and num_segments < weight.shape[2]:
        exact = torch.promote_types(
            x.dtype, torch.float32
        )  # in bf16, oneDNN leaves parts of the weights' gradient unset
        with torch.autocast("cpu", enabled=False):
            out = F.conv3d(clips.to(exact), weight.to(exact), stride=(1, stride, stride), padding=padding).to(x.dtype)
    else:
        out = F.conv3d(clips, weight, stride=(1, stride, stride), padding=padding)
    out = out.transpose(1, 2).flatten(0, 1)
    if x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous():
        out = out.contiguous(memory_format=torch.channels_last)  # oneDNN keeps it anyway
    return out


class TemporalConv(nn.Module):
    """A dense 3×1×1 convolution of C to C channels: "T-Conv" in the paper of TAM.

    `[N·T, C, H, W]` → the same shape. It starts as the identity, so that pretrained weights around it still fit.

    Args:
        channels: C.
        num_segments: T, the frames of a clip.
    """

    def __init__(self, channels: int, num_segments: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels, channels, (3, 1, 1), padding=(1, 0, 0), bias=False)
        self.num_segments = num_segments
        nn.init.dirac_(self.conv.weight)

    def forward(self, x: Tensor) -> Tensor:
        """`x [N·T, C, H, W]` → the same shape."""
        return conv_over_time(x, self.conv.weight, self.num_segments)

    def multiply_adds(self, frames: int, pixels: int) -> int:
        """MACs for a clip of `frames` with maps of `pixels`."""
        return frames * pixels * self.conv.weight.numel()


insert = on_features("tconv", lambda channels, num_segments, _: TemporalConv(channels, num_segments))
