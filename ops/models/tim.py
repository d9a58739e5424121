"""A channel-wise temporal convolution: the Temporal Interaction Module (Liu et al., TEINet, AAAI 2020)."""

import torch
from torch import Tensor, nn

from ops.models.temporal_block import on_features
from ops.models.temporal_filter import taps_inside, temporal_filter


class TemporalInteraction(nn.Conv1d):
    """A 3×1×1 convolution of each channel with its own weights, which are the same for all videos.

    `[N·T, C, H, W]` → the same shape. It starts as the identity, so that pretrained weights around it still fit.

    Args:
        channels: C.
        num_segments: T, the frames of a clip.
    """

    def __init__(self, channels: int, num_segments: int) -> None:
        super().__init__(channels, channels, kernel_size=3, padding=1, groups=channels, bias=False)
        self.num_segments = num_segments
        self.inside: Tensor
        self.register_buffer("inside", taps_inside(3, num_segments), persistent=False)
        with torch.no_grad():
            nn.init.zeros_(self.weight)
            self.weight[:, :, 1] = 1

    def forward(self, x: Tensor) -> Tensor:
        """`x [N·T, C, H, W]` → the same shape."""
        clips = x.shape[0] // self.num_segments
        taps = self.weight[:, 0].T[:, None, None]  # [3, 1, 1, C]
        return temporal_filter(x, taps.expand(-1, clips, self.num_segments, -1), self.inside)

    def multiply_adds(self, frames: int, pixels: int) -> int:
        """MACs for a clip of `frames` with maps of `pixels`."""
        return frames * pixels * self.weight.numel()


insert = on_features("tim", lambda channels, num_segments, _: TemporalInteraction(channels, num_segments))
