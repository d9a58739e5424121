"""Non-local blocks: attention over all positions of a clip (Wang et al., Non-local Neural Networks, CVPR 2018).

The layers have the names of TSM's published checkpoints: `layer2.0.block.…` is the residual block, and
`layer2.0.nl.theta.weight` and so on belong to the non-local operation on its output.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ops.common.errors import InputError
from ops.models.temporal_options import NON_LOCAL_MODES

if TYPE_CHECKING:
    from ops.models.resnet import ResNet

PLACES = {"layer2": (0, 2), "layer3": (0, 2, 4)}
"""The residual blocks that are wrapped, as in TSM and in MMAction2's configurations: five in a ResNet-50.

TSM's code drops all blocks of `layer3` after the sixth, which turns a ResNet-101 into a ResNet-50; they are kept here,
as in MMAction2.
"""


class NonLocal(nn.Module):
    """Adds to every position of a clip a mean over all positions, weighted by similarity (section 3 of the paper).

    The channels are halved inside. Keys and values are max-pooled to half the height and width (section 3.3). The last
    batch norm starts at zero, so that the module starts as the identity.

    Args:
        channels: C.
        num_segments: T, frames per clip.
        mode: the similarity of two positions. "embedded_gaussian" is the softmax of θ(x)ᵀφ(x), without the factor of
            attention (the published code has none), "gaussian" that of xᵀx, and "dot_product" is θ(x)ᵀφ(x) divided by
            the number of keys.
    """

    def __init__(self, channels: int, num_segments: int, mode: str = "embedded_gaussian") -> None:
        super().__init__()
        if mode not in NON_LOCAL_MODES:
            raise InputError(f"unknown mode of non-local blocks {mode}; use one of {', '.join(NON_LOCAL_MODES)}")
        self.channels, self.num_segments, self.mode = channels, num_segments, mode
        self.inner_channels = inner = max(channels // 2, 1)
        # The names and the order in which random numbers are drawn are those of TSM's code.
        self.g = nn.Sequential(nn.Conv3d(channels, inner, 1), nn.MaxPool3d((1, 2, 2)))
        norm = nn.BatchNorm3d(channels)
        nn.init.zeros_(norm.weight)
        self.W = nn.Sequential(nn.Conv3d(inner, channels, 1), norm)
        if mode != "gaussian":
            self.theta = nn.Conv3d(channels, inner, 1)
            self.phi = nn.Sequential(nn.Conv3d(channels, inner, 1), nn.MaxPool3d((1, 2, 2)))

    def forward(self, x: Tensor) -> Tensor:
        """`x [N·T, C, H, W]` → the same shape and memory format; H and W must be at least 2."""
        frames, channels, height, width = x.shape
        if channels != self.channels or frames % self.num_segments or min(height, width) < 2:
            raise ValueError(
                f"features of shape {list(x.shape)} must fold into clips of {self.num_segments} frames with "
                f"{self.channels} channels and at least 2 x 2 positions"
            )
        # In this memory format, the rows of attention are a view of the features.
        last = x.contiguous(memory_format=torch.channels_last)
        query, key, value = self._query_key_value(last)  # [N, T·H·W, D], [N, T·(H/2)·(W/2), D] and [… , C/2]
        if self.mode == "dot_product":
            mixed = _dot_product(query, key, value)
        else:
            mixed = _softmax_attention(query, key, value)  # [N, T·H·W, C/2]
        maps = mixed.reshape(frames, height, width, self.inner_channels).permute(0, 3, 1, 2)
        out = _pointwise(maps, self.W[0]).unsqueeze(2)  # the batch norm takes five dimensions
        if not x.is_contiguous(memory_format=torch.channels_last):
            out = out.contiguous()  # otherwise the norm's gradient and the sum would mix two memory formats
        normed: Tensor = self.W[1](out)
        return x + normed.squeeze(2)

    def _query_key_value(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The rows of attention, in which the positions of all frames of a clip follow one another."""
        if self.mode == "gaussian":
            query, key, value = x, F.max_pool2d(x, 2), F.max_pool2d(_pointwise(x, self.g[0]), 2)
            return self._rows(query), self._rows(key), self._rows(value)
        query = _pointwise(x, self.theta)
        pooled = self._rows(F.max_pool2d(_pointwise(x, self.phi[0], self.g[0]), 2))  # both in one pass over x
        key, value = torch.split(pooled, self.inner_channels, dim=-1)
        return self._rows(query), key, value

    def _rows(self, x: Tensor) -> Tensor:
        """`[N·T, D, H, W]` → `[N, T·H·W, D]`, without a copy where `x` is in channels-last memory."""
        _, channels, height, width = x.shape
        return x.permute(0, 2, 3, 1).reshape(-1, self.num_segments * height * width, channels)

    def multiply_adds(self, frames: int, height: int, width: int) -> int:
        """MACs of one clip of `frames` with features of `height` × `width`."""
        inner, queries, keys = self.inner_channels, frames * height * width, frames * (height // 2) * (width // 2)
        layers = [layer for layer in self.modules() if isinstance(layer, nn.Conv3d)]
        projections = queries * sum(layer.weight.numel() for layer in layers)
        if self.mode == "dot_product":
            return projections + (keys + queries) * inner**2
        similarity = self.channels if self.mode == "gaussian" else inner
        return projections + queries * keys * (similarity + inner)

    def extra_repr(self) -> str:
        """What `print(model)` shows."""
        return f"channels={self.channels}, num_segments={self.num_segments}, mode={self.mode}"


def _pointwise(x: Tensor, *layers: nn.Module) -> Tensor:
    """The outputs of 1 × 1 × 1 convolutions of `x [N·T, C, H, W]`, side by side in the channels.

    Frames are convolved one by one, so that features need not be permuted to N, C, T, H, W.
    """
    weights: list[Tensor] = [layer.get_parameter("weight").squeeze(-1) for layer in layers]
    biases: list[Tensor] = [layer.get_parameter("bias") for layer in layers]
    if len(layers) == 1:
        return F.conv2d(x, weights[0], biases[0])
    return F.conv2d(x, torch.cat(weights), torch.cat(biases))


def _softmax_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """`softmax(query · keyᵀ) · value`, without a factor: `[N, L, D]`, `[N, M, D]` and `[N, M, E]` → `[N, L, E]`."""
    one_head = F.scaled_dot_product_attention(query.unsqueeze(1), key.unsqueeze(1), value.unsqueeze(1), scale=1.0)
    return one_head.squeeze(1)


def _dot_product(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """`query · keyᵀ · value / M`, for the same shapes.

    The product of key and value is computed first: its D × E numbers take far less work and memory than L × M
    similarities. The factor is divided between both, so that half precision neither overflows nor underflows.
    """
    root = key.shape[1] ** 0.5
    mixing = (key / root).transpose(1, 2) @ (value / root)  # [N, D, E]
    return torch.matmul(query, mixing)


class NonLocalBlock(nn.Module):
    """A residual block, then the non-local operation on its output; the names are those of published checkpoints."""

    def __init__(self, block: nn.Module, channels: int, num_segments: int, mode: str = "embedded_gaussian") -> None:
        super().__init__()
        self.block = block
        self.nl = NonLocal(channels, num_segments, mode)

    def forward(self, x: Tensor) -> Tensor:
        """`[N·T, C, H, W]` → `[N·T, C', H', W']`, as the block."""
        out: Tensor = self.nl(self.block(x))
        return out


def non_local_places(network: "ResNet") -> dict[str, tuple[int, ...]]:
    """The indices of the blocks to wrap in each stage: `PLACES`, as far as a shallow network has such blocks."""
    return {
        stage: tuple(index for index in indices if index < len(getattr(network, stage)))
        for stage, indices in PLACES.items()
    }


def insert_non_local(network: "ResNet", num_segments: int, mode: str = "embedded_gaussian") -> None:
    """Wrap the blocks of `network` that `non_local_places` names, in place.

    The blocks may already contain temporal modules. InputError for an unknown `mode`.
    """
    for stage, indices in non_local_places(network).items():
        channels = network.num_features >> (4 - int(stage[-1]))  # channels double from stage to stage
        blocks = getattr(network, stage)
        for index in indices:
            blocks[index] = NonLocalBlock(blocks[index], channels, num_segments, mode)


FROM_MMACTION2 = (
    (r"\.non_local_block\.(theta|phi\.0|g\.0)\.conv\.", r".nl.\1."),
    (r"\.non_local_block\.conv_out\.conv\.", ".nl.W.0."),
    (r"\.non_local_block\.conv_out\.bn\.", ".nl.W.1."),
)
"""Regular expressions and replacements that turn MMAction2's names into ours."""

TO_MMACTION2 = (
    (r"\.nl\.(theta|phi\.0|g\.0)\.", r".non_local_block.\1.conv."),
    (r"\.nl\.W\.0\.", ".non_local_block.conv_out.conv."),
    (r"\.nl\.W\.1\.", ".non_local_block.conv_out.bn."),
)
"""The same in the other direction."""


def add_output_biases(state: dict[str, Tensor]) -> None:
    """Add the biases `nl.W.0.bias` that MMAction2 does not have, in place, as zeros; names are ours."""
    for name in [name for name in state if name.endswith(".nl.W.0.weight")]:
        weight = state[name]
        state.setdefault(name.removesuffix("weight") + "bias", weight.new_zeros(weight.shape[0]))


def fold_output_biases(state: dict[str, Tensor]) -> None:
    """Remove the biases `nl.W.0.bias` for MMAction2, in place; names are ours.

    Each is subtracted from the mean of the batch norm that follows, so that scores do not change.
    """
    for name in [name for name in state if name.endswith(".nl.W.0.bias")]:
        mean = name.removesuffix("0.bias") + "1.running_mean"
        state[mean] = state[mean] - state.pop(name)
