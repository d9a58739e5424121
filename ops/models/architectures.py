"""The names of architectures and consensus functions, for command lines. Imports nothing heavy."""

from ops.common.errors import InputError

ARCHITECTURES = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "mobilenet_v2")
CONSENSUS_TYPES = ("avg",)


def check_architecture(arch: str) -> None:
    """InputError unless `arch` is supported."""
    if arch not in ARCHITECTURES:
        old = " (the published code's BNInception has no TAM)" if arch.lower() == "bninception" else ""
        raise InputError(f"unknown architecture {arch}{old}; use one of {', '.join(ARCHITECTURES)}")
