"""TANet: a torchvision ResNet with TAM in every residual block (Liu et al., TAM, ICCV 2021, section 3.4)."""

from torch import Tensor, nn
from torchvision import models as tv
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from ops.common.errors import InputError
from ops.models.tam import TAM

ARCHITECTURES = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
STAGES = ("layer1", "layer2", "layer3", "layer4")


class TABottleneck(nn.Module):
    """A bottleneck block whose first convolution's output goes through TAM: `[N·T, C, H, W]` in and out.

    The block's own layers stay under `net`, as old checkpoints name them.
    """

    def __init__(self, net: Bottleneck, num_segments: int) -> None:
        super().__init__()
        self.net = net
        self.tam = TAM(net.conv1.out_channels, num_segments)

    def forward(self, x: Tensor) -> Tensor:
        """`[N·T, C, H, W]` → `[N·T, C', H', W']`."""
        net = self.net
        identity = x if net.downsample is None else net.downsample(x)
        out = net.relu(net.bn1(net.conv1(x)))
        out = self.tam(out)
        out = net.relu(net.bn2(net.conv2(out)))
        out = net.bn3(net.conv3(out))
        activated: Tensor = net.relu(out + identity)
        return activated


class TABasicBlock(nn.Module):
    """The same for the two-convolution blocks of ResNet-18 and 34 (not in the paper)."""

    def __init__(self, net: BasicBlock, num_segments: int) -> None:
        super().__init__()
        self.net = net
        self.tam = TAM(net.conv1.out_channels, num_segments)

    def forward(self, x: Tensor) -> Tensor:
        """`[N·T, C, H, W]` → `[N·T, C', H', W']`."""
        net = self.net
        identity = x if net.downsample is None else net.downsample(x)
        out = net.relu(net.bn1(net.conv1(x)))
        out = self.tam(out)
        out = net.bn2(net.conv2(out))
        activated: Tensor = net.relu(out + identity)
        return activated


def check_architecture(arch: str) -> None:
    """InputError unless `arch` is one that can be built."""
    if arch not in ARCHITECTURES:
        old = " (the published code's BNInception has no TAM)" if arch.lower() == "bninception" else ""
        raise InputError(f"unknown architecture {arch}{old}; use one of {', '.join(ARCHITECTURES)}")


def build_resnet(arch: str) -> ResNet:
    """A plain torchvision ResNet with random weights; InputError on an unknown `arch`."""
    check_architecture(arch)
    network: ResNet = tv.get_model(arch, weights=None)
    return network


def insert_tam(network: ResNet, num_segments: int) -> None:
    """Wrap every residual block of `network` with its TAM, in place."""
    for stage in STAGES:
        blocks = [_wrap(block, num_segments) for block in getattr(network, stage)]
        setattr(network, stage, nn.Sequential(*blocks))


def _wrap(block: nn.Module, num_segments: int) -> nn.Module:
    if isinstance(block, Bottleneck):
        return TABottleneck(block, num_segments)
    assert isinstance(block, BasicBlock)
    return TABasicBlock(block, num_segments)
