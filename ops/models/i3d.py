"""2-D convolutions inflated to three frames: the I3D 3×1×1 to which the paper of TAM compares."""

import torch
from torch import Tensor, nn

from ops.models.temporal_block import Block
from ops.models.temporal_conv import conv_over_time
from ops.models.temporal_options import TemporalOptions


class InflatedConv(nn.Conv3d):
    """A 2-D convolution inflated to three frames (Carreira and Zisserman, CVPR 2017).

    Each frame has a third of the 2-D weights, so that a clip of equal frames has the same features, except at its ends.

    Args:
        conv: the 2-D convolution, without bias.
        num_segments: T, the frames of a clip.
    """

    def __init__(self, conv: nn.Conv2d, num_segments: int) -> None:
        size, stride = conv.kernel_size[0], conv.stride[0]
        padding = (1, size // 2, size // 2)
        super().__init__(conv.in_channels, conv.out_channels, (3, size, size), (1, stride, stride), padding, bias=False)
        self.num_segments = num_segments
        with torch.no_grad():
            self.weight.copy_((conv.weight / 3)[:, :, None].expand_as(self.weight))

    def forward(self, x: Tensor) -> Tensor:
        """`x [N·T, C, H, W]` → `[N·T, C', H', W']`."""
        out = conv_over_time(x, self.weight, self.num_segments, self.stride[1])
        return out if self.bias is None else out + self.bias[:, None, None]  # a folded batch norm leaves a bias


def insert(block: Block, num_segments: int, options: TemporalOptions) -> nn.Module:
    """Inflate the first convolution of `block`: 1×1 to 3×1×1, or 3×3 to 3×3×3 in ResNet-18 and 34."""
    block.conv1 = InflatedConv(block.conv1, num_segments)  # type: ignore[assignment]
    return block
