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
    """A device and the settings that speed up computing on it; see `add_compute_options`."""

    device: torch.device
    amp: str = "off"
    channels_last: bool = False
    compile: bool = False

    def prepare(self, model: nn.Module) -> None:
        """Move `model` to the device, in place, and set its memory format."""
        model.to(self.device)
        if self.channels_last:
            model.to(memory_format=torch.channels_last)

    def compiled(self, model: nn.Module) -> nn.Module:
        """`model`, compiled if `compile` is set; both share their weights."""
        return torch.compile(model) if self.compile else model  # type: ignore[return-value]

    def for_inference(self, model: nn.Module) -> nn.Module:
        """A copy of `model` with its batch norms folded into its convolutions, compiled if `compile` is set.

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
        """Loss scaling, which keeps small gradients from vanishing in fp16; disabled in other precisions."""
        return torch.amp.GradScaler(self.device.type, enabled=self.amp == "fp16")

    def bring(self, tensor: Tensor) -> Tensor:
        """`tensor` on the device; copied asynchronously from page-locked memory."""
        return tensor.to(self.device, non_blocking=True)


def fold_batch_norms(model: nn.Module) -> nn.Module:
    """Fold each batch norm of `model` into the convolution right before it, in place; returns the model.

    For evaluation: scores are the same up to rounding (2e-7 of the largest one in TANet-50), and one pass over each
    feature map is saved. Layers are paired by the order in which their module lists them, as in a ResNet.
    """
    for module in list(model.modules()):
        children = list(module.named_children())
        for (name, layer), (next_name, norm) in itertools.pairwise(children):
            if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, name, fuse_conv_bn_eval(layer, norm))
                setattr(module, next_name, nn.Identity())
    return model


def wants_launch(gpus: Sequence[int] | None, device: str | None) -> bool:
    """Whether `--gpus` asks for several processes that are not started yet; InputError if a GPU does not exist."""
    if not gpus or len(gpus) == 1 or distributed.world_size() > 1:
        return False
    if device not in (None, "cuda"):
        raise InputError(f"--gpus {' '.join(map(str, gpus))} cannot be combined with --device {device}")
    _check_gpus(gpus)
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, gpus))
    return True


def pick_device(gpus: Sequence[int] | None, device: str | None) -> torch.device:
    """The device of this process: `device` if given, else the one GPU in `gpus`, else any GPU, else the CPU."""
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
            raise InputError(f"GPU {gpu} does not exist: PyTorch sees {there} CUDA devices; try --device cpu")


def compute_of(args: argparse.Namespace, device: torch.device) -> Compute:
    """How the arguments want a network computed on `device`; InputError for what it cannot do."""
    if args.amp == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise InputError(f"--amp bf16: {torch.cuda.get_device_name(device)} does not support bf16; use --amp fp16")
    if device.type == "cpu" and os.environ.get("OMP_DYNAMIC", "").strip().lower() in ("1", "true"):
        raise InputError(
            "OMP_DYNAMIC is set, but PyTorch does not work with a number of threads that changes; unset it"
        )
    if args.deterministic:
        make_deterministic()
    return Compute(device, args.amp, args.channels_last, args.compile)


def make_deterministic() -> None:
    """Make PyTorch use only deterministic algorithms, and raise an error where there is none."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with this
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False


def usable_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
