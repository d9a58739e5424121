"""The recognizer: normalise, fold segments into the batch, backbone, head, consensus; and its parameter groups."""

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ops.common.errors import InputError
from ops.models.backbone import build_backbone
from ops.models.consensus import make_consensus
from ops.models.pretrained import load_backbone
from ops.models.temporal import insert_temporal
from ops.models.temporal_options import TemporalOptions

Modality = Literal["RGB", "Flow"]

FLOW_CHANNELS = 10
"""x and y of the five consecutive flow frames in one stack."""

MEAN = {"RGB": (0.485, 0.456, 0.406), "Flow": (0.5,)}
STD = {"RGB": (0.229, 0.224, 0.225), "Flow": (0.226,)}

HEAD_STD = 0.001
"""The head starts as a normal distribution of this standard deviation (TSN), its bias at 0."""


class Recognizer(nn.Module):
    """Clips to class scores.

    Args:
        arch: a ResNet, "resnet18" … "resnet152", or "mobilenet_v2".
        num_classes: K.
        num_segments: T; a plain 2-D network averages any number of segments.
        modality: "RGB" (3 channels per segment) or "Flow" (10 channels: x1 y1 … x5 y5).
        tam: TANet, else TSN, the plain 2-D network on segments; only used if `temporal` is not given.
        dropout: before the head; with 0 the head is the backbone's own (`base_model.fc`), else `new_fc`, as published.
        pretrain: "imagenet" (torchvision's IMAGENET1K_V1), a file of weights, or "none".
        consensus_type: see `ops.models.consensus`.
        temporal: the temporal module and its settings.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        arch: str,
        num_classes: int,
        num_segments: int,
        modality: Modality = "RGB",
        tam: bool = True,
        dropout: float = 0.5,
        pretrain: str = "none",
        consensus_type: str = "avg",
        temporal: TemporalOptions | None = None,
    ) -> None:
        super().__init__()
        if num_classes < 1 or num_segments < 1:
            raise InputError(f"num_classes ({num_classes}) and num_segments ({num_segments}) must be at least 1")
        if modality not in MEAN:
            raise InputError(f"modality ({modality}) must be RGB or Flow")
        self.arch, self.num_classes, self.num_segments = arch, num_classes, num_segments
        self.modality, self.dropout = modality, dropout
        self.temporal = temporal or TemporalOptions("tam" if tam else "none")
        self.partial_bn = False
        self.frozen: tuple[nn.Module, ...] = ()  # see `ops.models.freeze`
        self.base_model = build_backbone(arch)
        load_backbone(self.base_model, arch, pretrain)
        if modality == "Flow":
            self.base_model.set_first_conv(_flow_convolution(self.base_model.first_conv))
        insert_temporal(self.base_model, arch, num_segments, self.temporal)
        head = _new_head(self.base_model.num_features, num_classes)
        setattr(self.base_model, self.base_model.head_name, nn.Dropout(dropout) if dropout else head)
        self.new_fc = head if dropout else None
        self.consensus = make_consensus(consensus_type)
        self.normalisation = list(MEAN[modality]), list(STD[modality])
        self.register_buffer("mean", torch.tensor(MEAN[modality]).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD[modality]).view(-1, 1, 1), persistent=False)

    @property
    def tam(self) -> bool:
        """Whether it is a TANet."""
        return self.temporal.module == "tam"

    def set_normalisation(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Use other means and deviations of the pixels (in [0, 1]); ValueError for implausible values."""
        known = {1, self.mean.numel(), 3 if self.modality == "RGB" else 1}
        if len(mean) != len(std) or len(mean) not in known:
            raise ValueError(f"means {list(mean)} and deviations {list(std)} of the pixels do not fit {self.modality}")
        if not all(math.isfinite(value) for value in (*mean, *std)) or min(std) <= 0:
            raise ValueError(f"means {list(mean)} and deviations {list(std)} of the pixels must be finite and above 0")
        self.normalisation = list(mean), list(std)
        self.mean = torch.tensor(mean).to(self.mean).view(-1, 1, 1)
        self.std = torch.tensor(std).to(self.std).view(-1, 1, 1)

    @property
    def channels(self) -> int:
        """Input channels per segment."""
        channels: int = self.base_model.first_conv.in_channels
        return channels

    def clip_shape(self, pixels: int) -> tuple[int, int, int, int]:
        """`[T, C, H, W]` of a clip of frames of `pixels` × `pixels`."""
        return self.num_segments, self.channels, pixels, pixels

    @property
    def head(self) -> nn.Linear:
        """The linear classifier."""
        head = self.new_fc if self.new_fc is not None else getattr(self.base_model, self.base_model.head_name)
        assert isinstance(head, nn.Linear)
        return head

    def forward(self, clips: Tensor) -> Tensor:
        """`clips [N, T, C, H, W]`, uint8 pixels or floating point already normalised → scores `[N, K]`."""
        if clips.ndim != 5 or clips.shape[2] != self.channels:
            raise ValueError(f"clips of shape {list(clips.shape)} must be [N, T, {self.channels}, H, W]")
        n, t = clips.shape[:2]
        if self.temporal.needs_segments and t != self.num_segments:
            raise ValueError(f"clips of {t} segments; this network was built for {self.num_segments}")
        frames = self.normalize(clips.flatten(0, 1))  # [N·T, C, H, W]
        features = self.base_model(frames)  # [N·T, D], or [N·T, K] if the head is the backbone's own
        scores = self.new_fc(features) if self.new_fc is not None else features  # [N·T, K]
        out: Tensor = self.consensus(scores.view(n, t, -1))  # [N, K]
        return out

    def normalize(self, frames: Tensor) -> Tensor:
        """uint8 `[..., C, H, W]` → float with the training mean and deviation; floating point is left as it is."""
        if frames.is_floating_point():
            return frames
        last = torch.channels_last
        memory_format = (
            last if self.base_model.first_conv.weight.is_contiguous(memory_format=last) else torch.contiguous_format
        )
        # The published order of operations, so that pixels come out equal to the last bit.
        return frames.to(self.mean.dtype, memory_format=memory_format).div_(255).sub_(self.mean).div_(self.std)

    def train(self, mode: bool = True) -> "Recognizer":
        """As usual, but `frozen` parts stay in evaluation mode.

        With `partial_bn` every BatchNorm2d but the first keeps its statistics and is not trained.

        TAM's own (1-d) batch norms are always trained, as in the published code, which overlooked them.
        """
        super().train(mode)
        if mode and self.partial_bn:
            for norm in list(self._norms_2d())[1:]:
                norm.eval()
                norm.requires_grad_(False)
        for module in self.frozen:
            module.eval()
        return self

    def _norms_2d(self) -> Iterator[nn.Module]:
        # SyncBatchNorm replaces both 1-d and 2-d norms; those inside a TAM are excluded here.
        for name, module in self.base_model.named_modules():
            if isinstance(module, _BatchNorm) and not re.search(r"\.(tam|nl)\.", f".{name}."):
                yield module

    def parameter_groups(self, fast_head: bool = True) -> list[dict[str, Any]]:
        """The published parameter groups, for an optimizer: each with `params`, `name`, `lr_mult`, `decay_mult`.

        With `fast_head` every Linear (the head, and the global branch of each TAM) has 5 times the learning rate, and
        the head's bias 10 times; the published code turned this off when tuning on the dataset of the checkpoint.
        """
        first = self.base_model.first_conv
        groups: dict[str, list[nn.Parameter]] = {name: [] for name in _GROUPS}
        for module in self.modules():
            if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
                kind = "first_conv" if module is first else "normal"
                weight, bias = f"{kind}_weight", f"{kind}_bias"
            elif isinstance(module, nn.Linear):
                weight, bias = ("lr5_weight", "lr10_bias") if fast_head else ("normal_weight", "normal_bias")
            elif isinstance(module, _BatchNorm):
                weight = bias = "BN scale/shift"
            else:
                continue
            for name, parameter in module.named_parameters(recurse=False):
                if parameter.requires_grad:
                    groups[weight if name == "weight" else bias].append(parameter)
        return [
            {"params": groups[name], "name": name, "lr_mult": lr_mult, "decay_mult": decay_mult}
            for name, (lr_mult, decay_mult) in _GROUPS.items()
        ]


_GROUPS = {  # name: factor on the rate, factor on the weight decay
    "first_conv_weight": (1, 1),
    "first_conv_bias": (2, 0),
    "normal_weight": (1, 1),
    "normal_bias": (2, 0),
    "BN scale/shift": (1, 0),
    "custom_ops": (1, 1),
    "lr5_weight": (5, 1),
    "lr10_bias": (10, 0),
}


def build_model(
    arch: str,
    num_classes: int,
    num_segments: int,
    modality: Modality = "RGB",
    tam: bool = True,
    dropout: float = 0.5,
    pretrain: str = "none",
    consensus_type: str = "avg",
    temporal: TemporalOptions | None = None,
) -> Recognizer:
    """A new recognizer in training mode; see `Recognizer`. InputError for values that cannot be used."""
    return Recognizer(arch, num_classes, num_segments, modality, tam, dropout, pretrain, consensus_type, temporal)


def _new_head(features: int, num_classes: int) -> nn.Linear:
    head = nn.Linear(features, num_classes)
    nn.init.normal_(head.weight, std=HEAD_STD)
    nn.init.zeros_(head.bias)
    return head


def _flow_convolution(rgb: nn.Conv2d) -> nn.Conv2d:
    """The first convolution for stacks of flow: the RGB one averaged over its channels and repeated."""
    conv = nn.Conv2d(
        FLOW_CHANNELS, rgb.out_channels, rgb.kernel_size[0], rgb.stride[0], padding=rgb.kernel_size[0] // 2, bias=False
    )
    with torch.no_grad():
        conv.weight.copy_(rgb.weight.mean(dim=1, keepdim=True).expand_as(conv.weight))
    return conv
