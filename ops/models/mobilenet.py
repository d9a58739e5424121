"""MobileNetV2 (Sandler et al., CVPR 2018) for images, with torchvision's layers and initialisation.

The layers have the names of TSM's published checkpoints, which number those of an inverted residual in one row:
`features.2.conv.0.weight` is the expansion, `conv.3` the depthwise convolution and `conv.6` the projection. It is
reimplemented here because `import torchvision` takes seconds.
"""

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

STAGES = (  # expansion, channels, blocks, stride of the first block: table 2 of the paper
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
STEM_CHANNELS = 32
NUM_FEATURES = 1280

EXPANDED_LAYERS = 8
"""Layers of an inverted residual that has an expansion; without one it has five."""


def _convolution(in_channels: int, out_channels: int, size: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, size, stride, padding=size // 2, groups=groups, bias=False)


def _activated(convolution: nn.Conv2d) -> tuple[nn.Module, ...]:
    return convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU6(inplace=True)


class InvertedResidual(nn.Module):
    """A 1×1 expansion (where `expansion` is above 1), a 3×3 depthwise convolution and a linear 1×1 projection.

    `[N, C, H, W]` → `[N, out_channels, H/stride, W/stride]`, added to the input if both have the same shape.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = in_channels * expansion
        self.use_res_connect = stride == 1 and in_channels == out_channels
        self.conv = nn.Sequential(
            *(_activated(_convolution(in_channels, hidden, 1)) if expansion > 1 else ()),
            *_activated(_convolution(hidden, hidden, 3, stride, groups=hidden)),
            _convolution(hidden, out_channels, 1),
            nn.BatchNorm2d(out_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` → `[N, out_channels, H/stride, W/stride]`."""
        out: Tensor = self.conv(x)
        return x + out if self.use_res_connect else out


class MobileNetV2(nn.Module):
    """Images `[N, 3, H, W]` → scores `[N, num_classes]`, with width multiplier 1.

    Weights are initialised as in torchvision, in the same order of random numbers: convolutions Kaiming normal
    (fan out), batch norms with weight 1 and bias 0, the classifier normal with a deviation of 0.01 and bias 0.
    torchvision's dropout before the classifier is not included; callers that replace the head can add it.
    """

    head_name: ClassVar[str] = "classifier"
    """The attribute of the linear classifier, as in TSM's checkpoints of models without dropout."""

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Sequential(*_activated(_convolution(3, STEM_CHANNELS, 3, stride=2)))]
        in_channels = STEM_CHANNELS
        for expansion, channels, blocks, stride in STAGES:
            for index in range(blocks):
                layers.append(InvertedResidual(in_channels, channels, stride if index == 0 else 1, expansion))
                in_channels = channels
        layers.append(nn.Sequential(*_activated(_convolution(in_channels, NUM_FEATURES, 1))))
        self.features = nn.Sequential(*layers)
        self.num_features = NUM_FEATURES
        self.classifier: nn.Module = nn.Linear(NUM_FEATURES, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)

    @property
    def first_conv(self) -> nn.Conv2d:
        """The convolution that takes the images."""
        convolution = self.get_submodule("features.0.0")
        assert isinstance(convolution, nn.Conv2d)
        return convolution

    @property
    def last_stage(self) -> nn.Module:
        """The layers whose output, the last features, is averaged over its positions."""
        return self.features

    def set_first_conv(self, convolution: nn.Conv2d) -> None:
        """Replace the convolution that takes the images, for other numbers of channels."""
        self.set_submodule("features.0.0", convolution)

    def forward(self, x: Tensor) -> Tensor:
        """`[N, 3, H, W]` → `[N, num_classes]`."""
        return self.classify(self.features(x))

    def layers(self) -> list[nn.Module]:
        """Everything before `classify`, in the order in which it is applied."""
        return list(self.features)

    def classify(self, features: Tensor) -> Tensor:
        """The last features `[N, D, h, w]` → `[N, num_classes]`."""
        scores: Tensor = self.classifier(F.adaptive_avg_pool2d(features, 1).flatten(1))
        return scores

    def multiply_adds(self, height: int, width: int) -> int:
        """MACs of the convolutions for one image of `height` × `width`."""
        macs = 0
        for layer in self.features.modules():  # in the order in which they run
            if isinstance(layer, nn.Conv2d):
                height, width = (-(-side // stride) for side, stride in zip((height, width), layer.stride, strict=True))
                macs += height * width * layer.weight.numel()
        return macs


def build_mobilenet_v2() -> MobileNetV2:
    """A plain MobileNetV2 with random weights."""
    return MobileNetV2()


def shifted_blocks(network: MobileNetV2) -> list[InvertedResidual]:
    """The inverted residuals in which TSM shifts the input of the expansion `conv[0]`.

    These are those with an identity path and an expansion: 10 of 17.
    """
    return [
        block
        for block in network.features
        if isinstance(block, InvertedResidual) and block.use_res_connect and len(block.conv) == EXPANDED_LAYERS
    ]
