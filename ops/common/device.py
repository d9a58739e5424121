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
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from ops.common import distributed
from ops.common.arguments import AMP
from ops.common.errors import InputError

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)

PRECISIONS = dict(zip(AMP, (torch.float32, torch.bfloat16, torch.float16), strict=True))


@dataclass(frozen=True)
class Compute:
    """A device and the settings that speed up computing on it; see `add_compute_options`.

    `runtime` is what computes a trained network, one of `RUNTIMES` except "auto"; see `ops.models.runtimes`. If "auto"
    chose it, it `may_fall_back`: PyTorch takes over if it cannot compute the network.
    """

    device: torch.device
    amp: str = "off"
    channels_last: bool = False
    compile: bool = False
    runtime: str = "torch"
    may_fall_back: bool = False

    def prepare(self, model: nn.Module) -> None:
        """Move `model` to the device, in place, and set its memory format."""
        model.to(self.device)
        if self.channels_last:
            to_channels_last(model)

    def compiled(self, model: nn.Module) -> nn.Module:
        """`model`, compiled if `compile` is set; both share their weights."""
        return torch.compile(model) if self.compile else model  # type: ignore[return-value]

    def for_inference(self, model: nn.Module) -> nn.Module:
        """A copy of `model` with its batch norms folded into its convolutions, compiled if `compile` is set.

        If compiled for a GPU, it is replayed from CUDA graphs, one for each shape of the input. On a CPU it always uses
        channels last, which is faster there.
        """
        folded = fold_batch_norms(copy.deepcopy(model).eval())
        if self.device.type == "cpu":
            to_channels_last(folded)
        if not self.compile:
            return folded
        mode = "reduce-overhead" if self.device.type == "cuda" else None
        return OwnOutput(torch.compile(folded, mode=mode))  # type: ignore[arg-type]

    @property
    def fused_optimizer(self) -> bool:
        """Whether the optimizer is a fused one, with few kernels per step; on a CPU this has no advantage."""
        return self.device.type == "cuda"

    @property
    def views_at_once(self) -> int:
        """How many views of a video are computed at once by default; on a CPU, more are not faster."""
        return 30 if self.device.type == "cuda" else 2

    def autocast(self) -> AbstractContextManager[object]:
        """The context of a forward pass: convolutions and matrix products in the lower precision, if one is set."""
        return torch.autocast(self.device.type, PRECISIONS[self.amp], enabled=self.amp != "off")

    def scaler(self) -> torch.amp.GradScaler:
        """Loss scaling, which keeps small gradients from vanishing in fp16; disabled in other precisions."""
        return torch.amp.GradScaler(self.device.type, enabled=self.amp == "fp16")

    def bring(self, tensor: Tensor) -> Tensor:
        """`tensor` on the device; copied asynchronously from page-locked memory."""
        return tensor.to(self.device, non_blocking=True)


class OwnOutput(nn.Module):
    """Runs `network`, whose output is overwritten when it runs again, and returns a copy of that output.

    A CUDA graph writes to the same memory every time that it is replayed.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, clips: Tensor) -> Tensor:
        """The output of `network` for `clips`, in its own memory."""
        out: Tensor = self.network(clips)
        return out.clone()


@torch.no_grad()
def to_channels_last(model: nn.Module) -> None:
    """Give the weights of 2-D and 3-D convolutions of `model` the memory format channels last, in place."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    for tensor in itertools.chain(model.parameters(), model.buffers()):
        if tensor.ndim in formats:
            tensor.data = tensor.data.contiguous(memory_format=formats[tensor.ndim])


def fold_batch_norms(model: nn.Module) -> nn.Module:
    """Fold each batch norm of `model` into the convolution or linear layer before it, in place; returns the model.

    For evaluation: scores are the same up to rounding (2e-7 of the largest one in TANet-50), and one pass over each
    feature map is saved. Layers are paired by the order in which their module lists them, as in a ResNet.
    """
    for module in list(model.modules()):
        children = list(module.named_children())
        for (name, layer), (next_name, norm) in itertools.pairwise(children):
            inner = getattr(layer, "net", None)  # the convolution of a temporal shift
            if isinstance(layer, _CONVOLUTIONS) and isinstance(norm, _BatchNorm):
                setattr(module, name, fuse_conv_bn_eval(layer, norm))
            elif isinstance(inner, _CONVOLUTIONS) and isinstance(norm, _BatchNorm):
                layer.net = fuse_conv_bn_eval(inner, norm)
            elif isinstance(layer, nn.Linear) and isinstance(norm, _BatchNorm):
                setattr(module, name, fuse_linear_bn_eval(layer, norm))
            else:
                continue
            setattr(module, next_name, nn.Identity())
    return model


def wants_launch(gpus: Sequence[int] | None, device: str | None) -> bool:
    """Whether `--gpus` asks for several processes that are not started yet; InputError if a GPU does not exist."""
    if not gpus or len(gpus) == 1 or distributed.world_size() > 1:
        return False
    if device not in (None, "cuda"):
        raise InputError(f"--gpus {' '.join(map(str, gpus))} cannot be combined with --device {device}")
    check_gpus(gpus)
    os.environ["CUDA_VISIBLE_DEVICES"] = visible_devices(gpus, os.environ.get("CUDA_VISIBLE_DEVICES"))
    return True


def visible_devices(gpus: Sequence[int], visible: str | None) -> str:
    """The value of CUDA_VISIBLE_DEVICES that shows only `gpus`, which are counted among those `visible` so far.

    `visible` holds numbers or names (`GPU-…`, `MIG-…`); None if the variable is not set.
    """
    names = visible.split(",") if visible else list(map(str, range(max(gpus) + 1)))
    return ",".join(names[gpu].strip() for gpu in gpus)


def pick_device(gpus: Sequence[int] | None, device: str | None) -> torch.device:
    """The device of this process: `device` if given, else the one GPU in `gpus`, else any GPU, else the CPU."""
    if device is None and gpus and distributed.world_size() == 1:
        check_gpus(gpus)
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
        check_gpus([index])
        chosen = torch.device("cuda", index)
        torch.cuda.set_device(chosen)
    return chosen


def check_gpus(gpus: Sequence[int]) -> None:
    """InputError for a GPU that does not exist."""
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for gpu in gpus:
        if gpu >= there:
            raise InputError(f"GPU {gpu} does not exist: PyTorch sees {there} CUDA devices; try --device cpu")


def compute_of(args: argparse.Namespace, device: torch.device, fixed_shapes: bool = False) -> Compute:
    """The settings that the arguments ask for on `device`; InputError for those that it does not support.

    With `fixed_shapes` cuDNN tries its algorithms at the first input of each shape and keeps the fastest, as in the
    published code. This pays off if few shapes are repeated often; two runs can choose differently.
    """
    if args.amp == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise InputError(f"--amp bf16: {torch.cuda.get_device_name(device)} does not support bf16; use --amp fp16")
    if device.type == "cpu" and os.environ.get("OMP_DYNAMIC", "").strip().lower() in ("1", "true"):
        raise InputError(
            "OMP_DYNAMIC is set, but PyTorch does not work with a number of threads that changes; unset it"
        )
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = fixed_shapes
    set_tf32(args.tf32, device)
    if args.deterministic:
        make_deterministic()
    return Compute(device, args.amp, args.channels_last, args.compile)


def set_tf32(wanted: bool, device: torch.device) -> None:
    """Let convolutions and matrix products of float32 use TF32 on a GPU, or keep them from it.

    PyTorch allows it in convolutions by default. InputError if `device` does not support it.
    """
    if device.type != "cuda":
        if wanted:
            raise InputError(f"--tf32 is for GPUs, and this runs on {device}; leave it out")
        return
    if wanted and not torch.cuda.is_tf32_supported():
        raise InputError(f"--tf32: {torch.cuda.get_device_name(device)} has no TF32; leave it out")
    # The newer `fp32_precision` is not used: once it is set, torch.compile and torch.export of PyTorch 2.10 to 2.15
    # fail when they read these two.
    torch.backends.cudnn.allow_tf32 = wanted
    torch.backends.cuda.matmul.allow_tf32 = wanted


def make_deterministic() -> None:
    """Make PyTorch use only deterministic algorithms, and raise an error for operations that have none."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with this
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
