"""How much a network computes: multiply-adds (MACs) in convolutions and matrix products, from its layers alone.

PyTorch's `FlopCounterMode` counts the same, two FLOPs for each, but imports its compiler for it, which takes seconds.
"""

from torch import nn

from ops.models.recognizer import Recognizer
from ops.models.resnet import STAGES, BasicBlock, Bottleneck
from ops.models.tam import TAM
from ops.models.tanet import TABlock


def multiply_adds(model: Recognizer, pixels: int) -> int:
    """Of one clip of `model.num_segments` frames of `pixels` × `pixels`. Papers of this field call them FLOPs."""
    network, frames = model.base_model, model.num_segments
    side = _halved(pixels)
    total = frames * side**2 * network.conv1.weight.numel()
    side = _halved(side)  # the pooling
    for stage in STAGES:
        for block in getattr(network, stage):
            macs, side = _block(block, side, frames)
            total += macs
    return total + frames * network.num_features * model.num_classes


def _halved(side: int) -> int:
    return (side + 1) // 2


def _block(block: nn.Module, side: int, frames: int) -> tuple[int, int]:
    """The multiply-adds of a residual block whose input is `side` × `side`, and the side of its output."""
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
    """Of the two branches; the filter itself is no product of matrices."""
    kernels = tam.in_channels * sum(layer.weight.numel() for layer in tam.G if isinstance(layer, nn.Linear))
    importance = frames * sum(layer.weight.numel() for layer in tam.L if isinstance(layer, nn.Conv1d))
    return kernels + importance
