"""The names of networks in text for people. Imports nothing heavy."""

from ops.models.temporal_options import TemporalOptions

_FAMILIES = {
    "none": "TSN",
    "tsm": "TSM",
    "i3d": "I3D 3x1x1",
    "tconv": "T-Conv",
    "tim": "TIM",
    "pool": "Pooling",
}


def model_name(arch: str, temporal: TemporalOptions) -> str:
    """The name of a network: "TANet-50", "TSN (ResNet-50)", "TSM (ResNet-101) + non-local"."""
    network = arch.replace("resnet", "ResNet-").replace("mobilenet_v2", "MobileNetV2")
    if temporal.module == "tam":
        name = network.replace("ResNet", "TANet")
    else:
        name = f"{_FAMILIES.get(temporal.module, temporal.module)} ({network})"
    return f"{name} + non-local" if temporal.non_local else name
