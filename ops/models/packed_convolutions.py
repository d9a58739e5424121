"""Convolutions for inference on a CPU, with weights packed for oneDNN, and the ReLU and the residual sum fused in.

PyTorch reorders the weights of a convolution whenever it is computed, and passes over its output again for each of the
operations that follow. The operations used here are those that torch.compile uses; scores are the same.
"""

import platform
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ops.models.resnet import STAGES, BasicBlock, Bottleneck, ResNet
from ops.models.temporal_block import TemporalBlock
from ops.models.temporal_options import PLACES


def can_pack() -> bool:
    """Whether this machine and this build of PyTorch have what packed convolutions need."""
    onednn: Any = torch.backends.mkldnn
    return bool(
        platform.machine().lower() in ("x86_64", "amd64")
        and onednn.is_available()
        and onednn.enabled
        and hasattr(torch._C._nn, "mkldnn_reorder_conv2d_weight")
        and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
    )


class PackedConvolution(nn.Module):
    """`convolution`, followed by a ReLU if `relu`: `[N, C, H, W]` → `[N, C', H', W']`, float32, in channels last.

    The weights are packed for the size of the first input, and then used for any. Only for inference.
    """

    def __init__(self, convolution: nn.Conv2d, relu: bool) -> None:
        super().__init__()
        self._weight: Tensor | None = convolution.weight.detach()
        self._bias = None if convolution.bias is None else convolution.bias.detach()
        self._geometry = convolution.padding, convolution.stride, convolution.dilation, convolution.groups
        self._packed: Tensor | None = None
        self._relu = relu

    def forward(self, x: Tensor, added: Tensor | None = None) -> Tensor:
        """`added [N, C', H', W']` is added to the output before the ReLU."""
        weight = self._weight  # read before `_packed`, which is set first: several threads may come here
        if weight is not None:
            reorder: Any = torch._C._nn.mkldnn_reorder_conv2d_weight
            self._packed = reorder(weight.to_mkldnn(), *self._geometry, x.shape)
            self._weight = None
        try:
            return self._fused(x, added)
        except RuntimeError:  # oneDNN of older releases refuses maps of one pixel
            return self._plain(x, added)

    def _fused(self, x: Tensor, added: Tensor | None) -> Tensor:
        arguments: tuple[Any, ...] = (self._packed, self._bias, *self._geometry)
        activation = "relu" if self._relu else "none"
        out: Tensor
        if added is None:
            out = torch.ops.mkldnn._convolution_pointwise(x, *arguments, activation, [], "")
        else:
            out = torch.ops.mkldnn._convolution_pointwise.binary(
                x, added, *arguments, "add", 1.0, activation if self._relu else None, [], ""
            )
        return out

    def _plain(self, x: Tensor, added: Tensor | None) -> Tensor:
        assert self._packed is not None
        padding, stride, dilation, groups = self._geometry
        out = F.conv2d(x, self._packed.to_dense(), self._bias, stride, padding, dilation, groups)
        out = out if added is None else out + added
        return out.relu() if self._relu else out


class PackedBlock(nn.Module):
    """A residual block, with a temporal module or without, in packed convolutions."""

    def __init__(self, net: Bottleneck | BasicBlock, temporal: nn.Module | None, place: int) -> None:
        super().__init__()
        convolutions = [net.conv1, net.conv2, *([net.conv3] if isinstance(net, Bottleneck) else [])]
        self.temporal, self.place = temporal, place
        self.sum_is_fused = temporal is None or place < len(convolutions)
        last = len(convolutions) - 1
        self.convolutions = nn.ModuleList(
            PackedConvolution(each, relu=number < last or self.sum_is_fused) for number, each in enumerate(convolutions)
        )
        self.downsample = None if net.downsample is None else PackedConvolution(net.downsample[0], relu=False)  # type: ignore[index]

    def forward(self, x: Tensor) -> Tensor:
        """`[N·T, C, H, W]` → `[N·T, C', H', W']`."""
        shortcut = x if self.downsample is None else self.downsample(x)
        out, last = x, len(self.convolutions) - 1
        for number, convolution in enumerate(self.convolutions):
            if self.temporal is not None and number == self.place:
                out = self.temporal(out)
            out = convolution(out, shortcut if number == last and self.sum_is_fused else None)
        if self.sum_is_fused:
            return out
        assert self.temporal is not None
        mixed: Tensor = self.temporal(out)
        return (mixed + shortcut).relu_()


def pack_convolutions(model: nn.Module, leave: nn.Module | None = None) -> nn.Module:
    """Pack the convolutions of the residual blocks of a folded `model` on a CPU, in place; returns the model.

    The block `leave` and blocks of other kinds, such as those of I3D and MobileNetV2, stay as they are.
    """
    network = getattr(model, "base_model", None)
    if not isinstance(network, ResNet) or not can_pack():
        return model
    for name in STAGES:
        stage = getattr(network, name)
        for index, block in enumerate(stage):
            packed = None if block is leave else _packed_block(block)
            if packed is not None:
                stage[index] = packed
    first = network.conv1
    if type(first) is nn.Conv2d and isinstance(network.bn1, nn.Identity):
        stem: Any = PackedConvolution(first, relu=True)
        stem.in_channels, stem.weight = first.in_channels, first.weight  # the recognizer asks for these
        network.conv1, network.relu = stem, nn.Identity()  # type: ignore[assignment]
    return model


def _packed_block(block: nn.Module) -> PackedBlock | None:
    """The block in packed convolutions; None if it has layers of other kinds."""
    temporal, place, net = None, 0, block
    if isinstance(block, TemporalBlock):
        temporal, place, net = block.temporal, PLACES.index(block.place), block.net
    if type(net) is not Bottleneck and type(net) is not BasicBlock:
        return None
    layers = [layer for name, layer in net.named_children() if name.startswith("conv")]
    norms = [layer for name, layer in net.named_children() if name.startswith("bn")]
    if net.downsample is not None:
        layers, norms = [*layers, net.downsample[0]], [*norms, net.downsample[1]]  # type: ignore[index]
    plain = all(type(layer) is nn.Conv2d and layer.weight.dtype == torch.float32 for layer in layers)
    return PackedBlock(net, temporal, place) if plain and all(type(norm) is nn.Identity for norm in norms) else None
