"""Converting the tensor names of other checkpoints to ours, and deriving the model from its tensors.

Ours are the published names without the `module.` of DataParallel: `base_model.layer1.0.net.conv1.weight`,
`base_model.layer1.0.tam.G.0.weight`, `new_fc.weight`. A plain TSN has no `net` level.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from ops.models import mobilenet_names
from ops.models.non_local import FROM_MMACTION2, TO_MMACTION2, add_output_biases, fold_output_biases
from ops.models.temporal_options import TemporalOptions
from ops.models.temporal_tensors import segments_in, temporal_of

State = dict[str, Tensor]

Dialect = Literal["ours", "published", "mmaction2"]
"""Naming schemes of tensors: ours, the authors' (with the `module.` of DataParallel), and MMAction2's."""

_DEPTHS = {  # blocks per stage, bottleneck or basic: architecture
    ((2, 2, 2, 2), False): "resnet18",
    ((3, 4, 6, 3), False): "resnet34",
    ((3, 4, 6, 3), True): "resnet50",
    ((3, 4, 23, 3), True): "resnet101",
    ((3, 8, 36, 3), True): "resnet152",
}

_RENAMES = [  # applied in this order to every name
    *FROM_MMACTION2,
    (r"^((module|_orig_mod)\.)+", ""),
    (r"\.self_conv\.conv_f\.", ".tam.G."),
    (r"\.self_conv\.conv_g\.", ".tam.L."),
    # MMAction2
    (r"^cls_head\.fc_cls\.", "new_fc."),
    (r"^backbone\.", "base_model."),
    (r"(?<=\.)downsample\.conv\.", "downsample.0."),
    (r"(?<=\.)downsample\.bn\.", "downsample.1."),
    (r"(?<=\.)conv(\d)\.conv\.", r"conv\1."),
    (r"(?<=\.)conv(\d)\.bn\.", r"bn\1."),
]
_IGNORED = re.compile(r"^data_preprocessor\.")

_TO_MMACTION2 = [  # likewise, in the other direction
    *TO_MMACTION2,
    (r"(?<=layer\d\.\d\.)net\.", "block."),
    (r"(?<=layer\d\.\d\d\.)net\.", "block."),
    (r"^(new_fc|base_model\.(fc|classifier))\.", "cls_head.fc_cls."),
    (r"^base_model\.", "backbone."),
    (r"(?<=\.)downsample\.0\.", "downsample.conv."),
    (r"(?<=\.)downsample\.1\.", "downsample.bn."),
    (r"(?<=\.)conv(\d)\.", r"conv\1.conv."),
    (r"(?<=\.)bn(\d)\.", r"conv\1.bn."),
]


OWN_HEADS = ("base_model.fc.", "base_model.classifier.")
"""How the names of the classifier's tensors begin in models without dropout; otherwise they begin with `new_fc.`."""


@dataclass(frozen=True)
class ModelSpec:
    """The structure of a model, derived from its tensors.

    `num_segments` is None if no tensor depends on it: only TAM's global branch does. With `own_head` the classifier
    is the backbone's own, `base_model.fc` (a model without dropout).
    """

    arch: str
    num_classes: int
    num_segments: int | None
    modality: Literal["RGB", "Flow"]
    temporal: TemporalOptions
    own_head: bool

    @property
    def tam(self) -> bool:
        """Whether it is a TANet."""
        return self.temporal.module == "tam"


def to_our_names(state: Mapping[str, Tensor]) -> State:
    """The tensors of `state` under our names; ValueError if two of them would get the same name."""
    if mobilenet_names.is_mmaction2(state):
        state = mobilenet_names.from_mmaction2(state)
    out: State = {}
    # MMAction2 calls the residual block of a TANet "block", a name that others use inside non-local blocks.
    renames = _RENAMES + ([(r"(?<=\d\.)block\.", "net.")] if any(".tam." in name for name in state) else [])
    for old, tensor in state.items():
        name = old
        for pattern, replacement in renames:
            name = re.sub(pattern, replacement, name)
        if _IGNORED.match(name):
            continue
        if name in out:
            raise ValueError(f"two tensors are named {name}")
        out[name] = tensor
    add_output_biases(out)
    return out


def to_dialect(state: Mapping[str, Tensor], dialect: Dialect) -> State:
    """The tensors of `state`, which have our names, under the names of `dialect`."""
    state = dict(state)
    if dialect == "mmaction2":
        fold_output_biases(state)
        state = mobilenet_names.to_mmaction2(state)
    out: State = {}
    for old, tensor in state.items():
        name = f"module.{old}" if dialect == "published" else old
        done = old.startswith("backbone.")  # that of a MobileNetV2, which already has MMAction2's names
        for pattern, replacement in _TO_MMACTION2 if dialect == "mmaction2" and not done else ():
            name = re.sub(pattern, replacement, name)
        out[name] = tensor
    return out


def dialect_of(names: Iterable[str]) -> Dialect:
    """The dialect of these names."""
    names = list(names)
    if any(re.match(r"((module|_orig_mod)\.)*(backbone|cls_head)\.", name) for name in names):
        return "mmaction2"
    return "published" if any("module." in name or ".self_conv." in name for name in names) else "ours"


def to_backbone_names(state: Mapping[str, Tensor]) -> State:
    """The tensors of the image network in `state`, with its own names, without temporal modules and classifier.

    Kernels that were inflated to several frames are summed over them, which is exact for a clip of equal frames.
    """
    if mobilenet_names.is_torchvision(state):
        state = mobilenet_names.from_torchvision(state)
    out: State = {}
    for name, tensor in to_our_names(state).items():
        name = re.sub(r"(?<=\d\.)(block|net)\.", "", re.sub(r"^base_model\.", "", name))
        name = re.sub(r"(?<=\d\.)net\.", "", re.sub(r"(?<=conv1\.)net\.", "", name))
        if not re.search(r"\.(tam|tim|tconv|nl)\.", name) and not name.startswith(("fc.", "new_fc.", "classifier.")):
            out[name] = tensor.sum(dim=2) if tensor.ndim == 5 else tensor
    return out


def describe(state: Mapping[str, Tensor], stored: Mapping[str, Any] | None = None) -> ModelSpec:
    """The model that tensors with our names belong to; ValueError if they fit no supported model.

    `stored` are the options of its temporal module that the file contains; see `temporal_of`.
    """
    arch = _architecture_of(state)
    own = next((name for name in OWN_HEADS if f"{name}weight" in state), None)
    head = state.get(f"{own or 'new_fc.'}weight")
    if head is None or head.ndim != 2 or not len(head):
        raise ValueError("it has no classifier (new_fc.weight)")
    temporal = temporal_of(state, stored)
    first = state.get("base_model.features.0.0.weight" if arch == "mobilenet_v2" else "base_model.conv1.weight")
    channels = first.shape[1] if first is not None and first.ndim == 4 else 0
    if channels not in (3, 10):
        raise ValueError(f"its first convolution has {channels} input channels, neither 3 (RGB) nor 10 (Flow)")
    return ModelSpec(
        arch=arch,
        num_classes=head.shape[0],
        num_segments=segments_in(state),
        modality="RGB" if channels == 3 else "Flow",
        temporal=temporal,
        own_head=own is not None,
    )


def _architecture_of(state: Mapping[str, Tensor]) -> str:
    if "base_model.features.18.0.weight" in state:
        return "mobilenet_v2"
    blocks = [_count_blocks(state, stage) for stage in range(1, 5)]
    bottleneck = any(re.fullmatch(r"base_model\.layer1\.0\.((net|block)\.)*conv3\.weight", name) for name in state)
    arch = _DEPTHS.get((tuple(blocks), bottleneck))  # type: ignore[arg-type]
    if arch is None and ("layer1.0.conv1.weight" in state or mobilenet_names.is_torchvision(state)):
        raise ValueError("a plain image network, such as ImageNet weights, not a trained model: give it to --pretrain")
    if arch is None:
        raise ValueError(f"not a supported ResNet or MobileNetV2: its stages have {blocks} blocks")
    return arch


def _count_blocks(state: Mapping[str, Tensor], stage: int) -> int:
    pattern = re.compile(rf"base_model\.layer{stage}\.(\d+)\.")
    found = {int(match[1]) for match in map(pattern.match, state) if match}
    return max(found) + 1 if found else 0
