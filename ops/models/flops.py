"""The compute of a network: multiply-adds (MACs) in convolutions and matrix products, calculated from its layers.

PyTorch's `FlopCounterMode` gives the same, with two FLOPs for each, but imports its compiler, which takes seconds.
"""

from torch import nn

from ops.models.recognizer import Recognizer
from ops.models.resnet import STAGES, BasicBlock, Bottleneck
from ops.models.tam import TAM
from ops.models.tanet import TABlock


def multiply_adds(model: Recognizer, pixels: int) -> int:
    """MACs of one clip of `model.num_segments` frames of `pixels` × `pixels`. Papers in this field call them FLOPs."""
    network, frames = model.base_model, model.num_segments
    side = _halved(pixels)
    total = frames * side**2 * network.conv1.weight.numel()
    side = _halved(side)  # max pooling
    for stage in STAGES:
        for block in getattr(network, stage):
            macs, side = _block(block, side, frames)
            total += macs
    return total + frames * network.num_features * model.num_classes


def _halved(side: int) -> int:
    return (side + 1) // 2


def _block(block: nn.Module, side: int, frames: int) -> tuple[int, int]:
    """The MACs of a residual block with an input of `side` × `side`, and the side of its output."""
    net, own = block, 0
    if isinstance(block, TABlock):
        net, own = block.net, _tam(block.tam, frames)
    assert isinstance(net, Bottleneck | BasicBlock)
    layers = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d)]
    out = side if all(layer.stride == (1, 1) for layer in layers) else _halved(side)
    for layer in layers:
        before_the_stride = isinstance(net, Bottleneck) and layer is net.conv1
        own += frames * (side if before_the_stride else out) ** 2 * layer.weight.numel()
    return own, out


def _tam(tam: TAM, frames: int) -> int:
    """MACs of the two branches; the filter itself is not a matrix product and is not counted."""
    kernels = tam.in_channels * sum(layer.weight.numel() for layer in tam.G if isinstance(layer, nn.Linear))
    importance = frames * sum(layer.weight.numel() for layer in tam.L if isinstance(layer, nn.Conv1d))
    return kernels + importance
