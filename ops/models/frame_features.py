"""A recognizer in two parts, for windows that slide over a stream: one computes on frames, the other on clips.

Before the first temporal module, a frame's features do not depend on its neighbours. `FrameFeatures` computes them
once, and `ClipScores` uses them for every clip that contains the frame.
"""

import torch
from torch import Tensor, nn

from ops.common.device import Compute
from ops.models.mobilenet import InvertedResidual
from ops.models.packed_convolutions import pack_convolutions
from ops.models.recognizer import Recognizer
from ops.models.resnet import BasicBlock, Bottleneck
from ops.models.runtimes import RuntimeNetwork, folded_network, packs
from ops.models.temporal_block import TemporalBlock

_BLOCKS = (BasicBlock, Bottleneck, InvertedResidual)


class FrameFeatures(nn.Module):
    """`model` up to its first temporal module: frames `[N, C, H, W]`, uint8 → features `[N, D, h, w]`.

    If it has no temporal module, the features are the scores of the frames, `[N, K]`.
    """

    def __init__(self, model: Recognizer) -> None:
        super().__init__()
        self.model, self._place = model, _first_temporal(model)

    def forward(self, frames: Tensor) -> Tensor:
        """The features; if a residual block is divided, those of its layers and of its shortcut, side by side."""
        network, place = self.model.base_model, self._place
        x = self.model.normalize(frames)
        layers = network.layers()
        for layer in layers[:place]:
            x = layer(x)
        if place == len(layers):
            return _classify(self.model, x)
        block = layers[place]
        return torch.cat(block.before_mixing(x), dim=1) if isinstance(block, TemporalBlock) else x


class ClipScores(nn.Module):
    """`model` from its first temporal module: features of frames `[N, T, D, h, w]` → scores of the clips `[N, K]`."""

    def __init__(self, model: Recognizer) -> None:
        super().__init__()
        self.model, self._place = model, _first_temporal(model)

    def forward(self, clips: Tensor) -> Tensor:
        """The scores, from the features of each frame of a clip."""
        n, t = clips.shape[:2]
        network, place = self.model.base_model, self._place
        layers = network.layers()
        x = clips.flatten(0, 1)  # [N·T, D, h, w]
        if place == len(layers):
            scores = x
        else:
            block = layers[place]
            x = block.mix(*_parts(block, x)) if isinstance(block, TemporalBlock) else block(x)
            for layer in layers[place + 1 :]:
                x = layer(x)
            scores = _classify(self.model, x)
        out: Tensor = self.model.consensus(scores.view(n, t, -1))
        return out


def divided_network(model: Recognizer, compute: Compute) -> tuple[nn.Module, nn.Module]:
    """`FrameFeatures` and `ClipScores` of `model` in the fastest form of its runtime, like `inference_network`.

    Applied one after the other, they give the logits of the whole network, up to rounding.
    """
    folded = folded_network(model, compute)
    assert isinstance(folded, Recognizer)
    parts = FrameFeatures(folded), ClipScores(folded)
    if compute.runtime == "torch":
        if packs(compute):
            layers, place = folded.base_model.layers(), _first_temporal(folded)
            pack_convolutions(folded, leave=layers[place] if place < len(layers) else None)
        return compute.compiled(parts[0]), compute.compiled(parts[1])
    return RuntimeNetwork(parts[0], compute), RuntimeNetwork(parts[1], compute)


def _classify(model: Recognizer, features: Tensor) -> Tensor:
    scores = model.base_model.classify(features)
    return model.new_fc(scores) if model.new_fc is not None else scores


def _parts(block: TemporalBlock, x: Tensor) -> tuple[Tensor, Tensor]:
    """The two tensors that `FrameFeatures` put side by side, each in its own memory."""
    inner = block.net.conv1.in_channels if block.place == "before_conv1" else block.net.conv1.out_channels
    last = x.is_contiguous(memory_format=torch.channels_last)
    memory_format = torch.channels_last if last else torch.contiguous_format
    out, shortcut = (part.contiguous(memory_format=memory_format) for part in (x[:, :inner], x[:, inner:]))
    return out, shortcut


def _first_temporal(model: Recognizer) -> int:
    """The index of the first of the network's layers that mixes frames; the number of layers if none does."""
    layers = model.base_model.layers()
    return next((place for place, layer in enumerate(layers) if not _is_per_frame(layer)), len(layers))


def _is_per_frame(layer: nn.Module) -> bool:
    """Whether a layer consists only of PyTorch's own modules and plain residual blocks; all others may mix frames."""
    return all(isinstance(each, _BLOCKS) or type(each).__module__.startswith("torch.nn.") for each in layer.modules())
