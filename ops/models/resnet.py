"""ResNet (He et al., CVPR 2016) for images, with torchvision's layers, names and initialisation.

It is reimplemented here because `import torchvision` takes seconds, and because temporal modules are inserted into its
blocks.
"""

from typing import ClassVar

from torch import Tensor, nn

from ops.models.architectures import check_architecture

LAYERS = {
    "resnet18": (2, 2, 2, 2),
    "resnet34": (3, 4, 6, 3),
    "resnet50": (3, 4, 6, 3),
    "resnet101": (3, 4, 23, 3),
    "resnet152": (3, 8, 36, 3),
}
"""Blocks per stage."""

STAGES = ("layer1", "layer2", "layer3", "layer4")
STEM_CHANNELS = 64


def _convolution(in_channels: int, out_channels: int, size: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, size, stride, padding=size // 2, bias=False)


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut: `[N, C, H, W]` → `[N, channels, H/stride, W/stride]`."""

    expansion: ClassVar[int] = 1

    def __init__(self, in_channels: int, channels: int, stride: int, downsample: nn.Module | None) -> None:
        super().__init__()
        self.conv1 = _convolution(in_channels, channels, 3, stride)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = _convolution(channels, channels, 3)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` → `[N, channels, H/stride, W/stride]`."""
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += shortcut
        activated: Tensor = self.relu(out)
        return activated


class Bottleneck(nn.Module):
    """1×1, 3×3 (with the stride) and 1×1 convolutions and a shortcut; its output has 4 × `channels`."""

    expansion: ClassVar[int] = 4

    def __init__(self, in_channels: int, channels: int, stride: int, downsample: nn.Module | None) -> None:
        super().__init__()
        self.conv1 = _convolution(in_channels, channels, 1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = _convolution(channels, channels, 3, stride)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = _convolution(channels, channels * self.expansion, 1)
        self.bn3 = nn.BatchNorm2d(channels * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` → `[N, 4·channels, H/stride, W/stride]`."""
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out += shortcut
        activated: Tensor = self.relu(out)
        return activated


class ResNet(nn.Module):
    """Images `[N, 3, H, W]` → scores `[N, num_classes]`.

    Weights are initialised as in He et al. and torchvision, in the same order of random numbers: convolutions Kaiming
    normal (fan out), batch norms with weight 1 and bias 0, the classifier with PyTorch's default.
    """

    head_name: ClassVar[str] = "fc"
    """The attribute of the linear classifier."""

    def __init__(self, block: type[BasicBlock | Bottleneck], layers: tuple[int, ...], num_classes: int = 1000) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, STEM_CHANNELS, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM_CHANNELS)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        in_channels = STEM_CHANNELS
        for stage, (name, blocks) in enumerate(zip(STAGES, layers, strict=True)):
            channels = STEM_CHANNELS * 2**stage
            setattr(self, name, _stage(block, in_channels, channels, blocks, stride=1 if stage == 0 else 2))
            in_channels = channels * block.expansion
        self.num_features = in_channels
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc: nn.Module = nn.Linear(in_channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @property
    def first_conv(self) -> nn.Conv2d:
        """The convolution that takes the images."""
        return self.conv1

    @property
    def last_stage(self) -> nn.Module:
        """The layers whose output, the last features, is averaged over its positions."""
        return self.get_submodule(STAGES[-1])

    def set_first_conv(self, convolution: nn.Conv2d) -> None:
        """Replace the convolution that takes the images, for other numbers of channels."""
        self.conv1 = convolution

    def forward(self, x: Tensor) -> Tensor:
        """`[N, 3, H, W]` → `[N, num_classes]`."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for name in STAGES:
            x = getattr(self, name)(x)
        return self.classify(x)

    def layers(self) -> list[nn.Module]:
        """Everything before `classify`, in the order in which it is applied: the stem, then block by block."""
        blocks = (block for name in STAGES for block in self.get_submodule(name).children())
        return [self.conv1, self.bn1, self.relu, self.maxpool, *blocks]

    def classify(self, features: Tensor) -> Tensor:
        """The last features `[N, D, h, w]` → `[N, num_classes]`."""
        scores: Tensor = self.fc(self.avgpool(features).flatten(1))
        return scores


def _stage(
    block: type[BasicBlock | Bottleneck], in_channels: int, channels: int, blocks: int, stride: int
) -> nn.Sequential:
    """A stage of blocks. The first has the stride, and a 1×1 convolution in its shortcut if the shape changes."""
    out_channels = channels * block.expansion
    downsample = None
    if stride != 1 or in_channels != out_channels:
        downsample = nn.Sequential(_convolution(in_channels, out_channels, 1, stride), nn.BatchNorm2d(out_channels))
    first = block(in_channels, channels, stride, downsample)
    return nn.Sequential(first, *(block(out_channels, channels, 1, None) for _ in range(blocks - 1)))


def build_resnet(arch: str) -> ResNet:
    """A plain ResNet with random weights; InputError for an unknown `arch`."""
    check_architecture(arch)
    block = BasicBlock if arch in ("resnet18", "resnet34") else Bottleneck
    return ResNet(block, LAYERS[arch])
