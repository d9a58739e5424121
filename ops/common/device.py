"""Where and how a network is computed: device, precision, memory format, compilation."""

import argparse
import copy
import itertools
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ops.common import distributed
from ops.common.arguments import AMP
from ops.common.errors import InputError

PRECISIONS = dict(zip(AMP, (torch.float32, torch.bfloat16, torch.float16), strict=True))


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

    def for_inference(self, model: nn.Module) -> nn.Module:
        """A copy of `model` with its batch norms folded into its convolutions, compiled if that was asked for.

        On a CPU it is in channels last in any case: that is faster there.
        """
        folded = fold_batch_norms(copy.deepcopy(model).eval())
        if self.device.type == "cpu":
            folded.to(memory_format=torch.channels_last)
        return self.compiled(folded)

    def autocast(self) -> AbstractContextManager[object]:
        """The context of a forward pass: convolutions and matrix products in the lower precision, if one is set."""
        return torch.autocast(self.device.type, PRECISIONS[self.amp], enabled=self.amp != "off")

    def scaler(self) -> torch.amp.GradScaler:
        """What keeps small gradients from vanishing in fp16; it does nothing in other precisions."""
        return torch.amp.GradScaler(self.device.type, enabled=self.amp == "fp16")

    def bring(self, tensor: Tensor) -> Tensor:
        """`tensor` on the device; from page-locked memory without waiting."""
        return tensor.to(self.device, non_blocking=True)


def fold_batch_norms(model: nn.Module) -> nn.Module:
    """Let each convolution of `model` do the work of the batch norm right after it, in place; returns it.

    For evaluation: the same scores but for rounding (2e-7 of the largest one in TANet-50), and a pass over each feature
    map less. Layers count as one after the other where their module lists them so, as those of a ResNet.
    """
    for module in list(model.modules()):
        children = list(module.named_children())
        for (name, layer), (next_name, norm) in itertools.pairwise(children):
            if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, name, fuse_conv_bn_eval(layer, norm))
                setattr(module, next_name, nn.Identity())
    return model


def wants_launch(gpus: Sequence[int] | None, device: str | None) -> bool:
    """Whether `--gpus` asks for several processes and they are yet to be started; InputError if it cannot be had."""
    if not gpus or len(gpus) == 1 or distributed.world_size() > 1:
        return False
    if device not in (None, "cuda"):
        raise InputError(f"--gpus {' '.join(map(str, gpus))} does not go with --device {device}")
    _check_gpus(gpus)
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, gpus))
    return True


def pick_device(gpus: Sequence[int] | None, device: str | None) -> torch.device:
    """The device of this process: `device`, or the one GPU named, or a GPU if there is one, or the CPU."""
    if device is None and gpus and distributed.world_size() == 1:
        _check_gpus(gpus)
        device = f"cuda:{gpus[0]}"
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise InputError(f"--device ({device}) must be cpu, cuda or cuda:N") from None
    if chosen.type not in ("cpu", "cuda"):
        raise InputError(f"--device ({device}) must be cpu, cuda or cuda:N")
    if chosen.type == "cuda":
        index = distributed.local_rank() if distributed.world_size() > 1 else chosen.index or 0
        _check_gpus([index])
        chosen = torch.device("cuda", index)
        torch.cuda.set_device(chosen)
    return chosen


def _check_gpus(gpus: Sequence[int]) -> None:
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for gpu in gpus:
        if gpu >= there:
            raise InputError(f"GPU {gpu} is not there: this machine shows {there} CUDA devices; try --device cpu")


def compute_of(args: argparse.Namespace, device: torch.device) -> Compute:
    """How the arguments want a network computed on `device`; InputError for what it cannot do."""
    if args.amp == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise InputError(f"--amp bf16: {torch.cuda.get_device_name(device)} has no bf16; take fp16")
    if device.type == "cpu" and os.environ.get("OMP_DYNAMIC", "").strip().lower() in ("1", "true"):
        raise InputError(
            "OMP_DYNAMIC is set, and PyTorch cannot have a number of threads that follows the load; unset it"
        )
    if args.deterministic:
        make_deterministic()
    return Compute(device, args.amp, args.channels_last, args.compile)


def make_deterministic() -> None:
    """Let PyTorch use only algorithms that give the same bits each time; an error where there is none."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS needs for it
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False


def usable_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
