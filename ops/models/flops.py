"""The compute of a network: multiply-adds (MACs) in convolutions and matrix products, calculated from its layers.

PyTorch's `FlopCounterMode` agrees, with two FLOPs per MAC, but imports PyTorch's compiler, which takes seconds.
"""

from torch import nn

from ops.models.mobilenet import MobileNetV2
from ops.models.non_local import NonLocalBlock
from ops.models.recognizer import Recognizer
from ops.models.resnet import STAGES, BasicBlock, Bottleneck
from ops.models.temporal_block import TemporalBlock
from ops.models.tsm import TemporalShift


def multiply_adds(model: Recognizer, pixels: int) -> int:
    """MACs of one clip of `model.num_segments` frames of `pixels` × `pixels`. Papers in this field call them FLOPs."""
    network, frames = model.base_model, model.num_segments
    head = frames * network.num_features * model.num_classes
    if isinstance(network, MobileNetV2):
        return frames * network.multiply_adds(pixels, pixels) + head
    side = _halved(pixels)
    total = frames * side**2 * network.conv1.weight.numel()
    side = _halved(side)  # max pooling
    for stage in STAGES:
        for block in getattr(network, stage):
            macs, side = _block(block, side, frames)
            total += macs
    return total + head


def _halved(side: int) -> int:
    return (side + 1) // 2


def _block(block: nn.Module, side: int, frames: int) -> tuple[int, int]:
    """The MACs of a residual block with an input of `side` × `side`, and the side of its output."""
    if isinstance(block, NonLocalBlock):
        inside, side = _block(block.block, side, frames)
        return inside + block.nl.multiply_adds(frames, side, side), side
    net = block.net if isinstance(block, TemporalBlock | TemporalShift) else block
    assert isinstance(net, Bottleneck | BasicBlock)
    layers = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d | nn.Conv3d)]
    out = side if all(layer.stride[-1] == 1 for layer in layers) else _halved(side)
    first = net.conv1.net if isinstance(net.conv1, TemporalShift) else net.conv1
    own = 0
    for layer in layers:
        before_the_stride = isinstance(net, Bottleneck) and layer is first
        own += frames * (side if before_the_stride else out) ** 2 * layer.weight.numel()
    count = getattr(block.temporal, "multiply_adds", None) if isinstance(block, TemporalBlock) else None
    if count is not None:
        assert isinstance(block, TemporalBlock)
        early = block.place == "before_conv1" or (block.place == "after_conv1" and isinstance(net, Bottleneck))
        own += count(frames, (side if early else out) ** 2)
    return own, out
