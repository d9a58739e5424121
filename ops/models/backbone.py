"""The image networks on which recognizers are built."""

from ops.models.architectures import check_architecture
from ops.models.mobilenet import MobileNetV2, build_mobilenet_v2
from ops.models.resnet import ResNet, build_resnet

Backbone = ResNet | MobileNetV2


def build_backbone(arch: str) -> Backbone:
    """A plain network with random weights; InputError for an unknown `arch`."""
    check_architecture(arch)
    return build_mobilenet_v2() if arch == "mobilenet_v2" else build_resnet(arch)
