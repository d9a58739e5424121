"""Where and how a network is computed: device, precision, memory format, compilation."""

import argparse
import os
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ops.errors import InputError

PRECISIONS = {"off": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Compute:
    """A device, and what is done to be faster on it; see `add_compute_options`."""

    device: torch.device
    amp: str = "off"
    channels_last: bool = False
    compile: bool = False

    def prepare(self, model: nn.Module) -> None:
        """Bring `model` to the device, in place, in the memory format."""
        model.to(self.device)
        if self.channels_last:
            model.to(memory_format=torch.channels_last)

    def compiled(self, model: nn.Module) -> nn.Module:
        """`model`, or what runs it compiled; the two share their weights."""
        return torch.compile(model) if self.compile else model  # type: ignore[return-value]

    def autocast(self) -> AbstractContextManager[object]:
        """The context of a forward pass: convolutions and matrix products in the lower precision, if one is set."""
        return torch.autocast(self.device.type, PRECISIONS[self.amp], enabled=self.amp != "off")

    def scaler(self) -> torch.amp.GradScaler:
        """What keeps small gradients from vanishing in fp16; it does nothing in other precisions."""
        return torch.amp.GradScaler(self.device.type, enabled=self.amp == "fp16")

    def bring(self, tensor: Tensor) -> Tensor:
        """`tensor` on the device; from page-locked memory without waiting."""
        return tensor.to(self.device, non_blocking=True)


def add_compute_options(group: argparse._ArgumentGroup) -> None:
    """The flags that `compute_of` reads."""
    group.add_argument(
        "--amp", choices=tuple(PRECISIONS), default="off", help="precision of convolutions (default: off: fp32)"
    )
    group.add_argument("--channels_last", action="store_true", help="channels last in memory")
    group.add_argument(
        "--compile", action="store_true", help="torch.compile the network; needs a C++ compiler or a GPU"
    )
    group.add_argument(
        "--deterministic", action="store_true", help="the same bits in every run on one machine, also on a GPU"
    )


def compute_of(args: argparse.Namespace, device: torch.device) -> Compute:
    """How the arguments want a network computed on `device`; InputError for what it cannot do."""
    if args.amp == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise InputError(f"--amp bf16: {torch.cuda.get_device_name(device)} has no bf16; take fp16")
    if args.deterministic:
        make_deterministic()
    return Compute(device, args.amp, args.channels_last, args.compile)


def make_deterministic() -> None:
    """Let PyTorch use only algorithms that give the same bits each time; an error where there is none."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS needs for it
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
