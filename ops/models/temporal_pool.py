"""Maximum over three frames, without parameters."""

import torch
from torch import Tensor, nn

from ops.models.temporal_block import on_features


class TemporalMaxPool(nn.Module):
    """The maximum of a frame's features and those of its neighbours: `[N·T, C, H, W]` → the same shape.

    Args:
        num_segments: T, the frames of a clip; at its ends, the maximum is over two frames.
    """

    def __init__(self, num_segments: int) -> None:
        super().__init__()
        self.num_segments = num_segments

    def forward(self, x: Tensor) -> Tensor:
        """`x [N·T, C, H, W]` → the same shape and memory format."""
        last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
        rows = x.permute(0, 2, 3, 1) if last else x
        clips = rows.reshape(-1, self.num_segments, *rows.shape[1:])  # frames in the order of memory
        if self.num_segments > 1:
            pairs = torch.maximum(clips[:, :-1], clips[:, 1:])
            inner = torch.maximum(pairs[:, :-1], pairs[:, 1:])
            clips = torch.cat([pairs[:, :1], inner, pairs[:, -1:]], dim=1)
        rows = clips.flatten(0, 1)
        return rows.permute(0, 3, 1, 2) if last else rows

    def extra_repr(self) -> str:
        """What `print(model)` shows."""
        return f"num_segments={self.num_segments}"


insert = on_features("pool", lambda _, num_segments, __: TemporalMaxPool(num_segments))
