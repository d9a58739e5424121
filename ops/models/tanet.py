"""TANet: a ResNet with TAM in every residual block (Liu et al., TAM, ICCV 2021, section 3.4)."""

from torch import Tensor, nn

from ops.models.resnet import STAGES, BasicBlock, Bottleneck, ResNet
from ops.models.tam import TAM


class TABlock(nn.Module):
    """A residual block and its TAM. The block's own layers stay under `net`, as old checkpoints name them."""

    def __init__(self, net: Bottleneck | BasicBlock, num_segments: int) -> None:
        super().__init__()
        self.net = net
        self.tam = TAM(net.conv1.out_channels, num_segments)


class TABottleneck(TABlock):
    """A bottleneck block whose first convolution's output goes through TAM: `[N·T, C, H, W]` in and out."""

    net: Bottleneck

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


class TABasicBlock(TABlock):
    """The same for the two-convolution blocks of ResNet-18 and 34 (not in the paper)."""

    net: BasicBlock

    def forward(self, x: Tensor) -> Tensor:
        """`[N·T, C, H, W]` → `[N·T, C', H', W']`."""
        net = self.net
        identity = x if net.downsample is None else net.downsample(x)
        out = net.relu(net.bn1(net.conv1(x)))
        out = self.tam(out)
        out = net.bn2(net.conv2(out))
        activated: Tensor = net.relu(out + identity)
        return activated


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
