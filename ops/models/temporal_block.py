"""A residual block with a temporal module in it, and the insertion of such modules into a network."""

from collections.abc import Callable

from torch import Tensor, nn

from ops.common.errors import InputError
from ops.models.resnet import BasicBlock, Bottleneck
from ops.models.temporal_options import TemporalOptions

Block = Bottleneck | BasicBlock

Insert = Callable[[Block, int, TemporalOptions], nn.Module]
"""Block, frames of a clip, options → the module that replaces the block in the network; the block may be changed."""

MakeModule = Callable[[int, int, TemporalOptions], nn.Module]
"""Channels C, frames T of a clip, options → a module on features, `[N·T, C, H, W]` → the same shape."""


class TemporalBlock(nn.Module):
    """A residual block with a temporal module between its layers: `[N·T, C, H, W]` → `[N·T, C', H', W']`.

    The block's own layers are named `net`, and the module has its own name, as in published checkpoints:
    `layer1.0.net.conv1.weight`, `layer1.0.tam.G.0.weight`.

    Args:
        net: the residual block.
        name: the name of the temporal module.
        module: the temporal module, for the number of channels at `place`.
        place: see `TemporalOptions`.
    """

    def __init__(self, net: Block, name: str, module: nn.Module, place: str) -> None:
        super().__init__()
        self.net = net
        self.add_module(name, module)
        self.name, self.place = name, place

    @property
    def temporal(self) -> nn.Module:
        """The temporal module."""
        module: nn.Module = getattr(self, self.name)
        return module

    def forward(self, x: Tensor) -> Tensor:
        """`[N·T, C, H, W]` → `[N·T, C', H', W']`."""
        return self.mix(*self.before_mixing(x))

    def before_mixing(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The part that is computed for each frame alone: `x` at the place of the temporal module, and the shortcut.

        `mix` needs nothing else. Only `before_conv1` and `after_conv1` are distinguished: at other places, `mix`
        computes the layers between the first convolution and the temporal module.
        """
        net = self.net
        shortcut = x if net.downsample is None else net.downsample(x)
        out = x if self.place == "before_conv1" else net.relu(net.bn1(net.conv1(x)))
        return out, shortcut

    def mix(self, out: Tensor, shortcut: Tensor) -> Tensor:
        """The rest of the block, from the results of `before_mixing`: `[N·T, C', H', W']`."""
        net, place, mix = self.net, self.place, self.temporal
        if place == "before_conv1":
            out = net.relu(net.bn1(net.conv1(mix(out))))
        elif place == "after_conv1":
            out = mix(out)
        out = net.bn2(net.conv2(out))
        if isinstance(net, Bottleneck):
            out = net.relu(out)
            if place == "after_conv2":
                out = mix(out)
            out = net.bn3(net.conv3(out))
        if place == "after_conv3" or (place == "after_conv2" and isinstance(net, BasicBlock)):
            out = mix(out)
        activated: Tensor = net.relu(out + shortcut)
        return activated


def on_features(name: str, make: MakeModule) -> Insert:
    """The function that inserts a module on features into a block, at `place` of the options."""

    def insert(block: Block, num_segments: int, options: TemporalOptions) -> nn.Module:
        channels = _channels_at(block, options.place)
        return TemporalBlock(block, name, make(channels, num_segments, options), options.place)

    return insert


def _channels_at(block: Block, place: str) -> int:
    if place == "before_conv1":
        return block.conv1.in_channels
    if place == "after_conv1":
        return block.conv1.out_channels
    if place == "after_conv2":
        return block.conv2.out_channels
    if isinstance(block, BasicBlock):
        raise InputError("the blocks of ResNet-18 and 34 have two convolutions: after_conv3 is not a place in them")
    return block.conv3.out_channels
