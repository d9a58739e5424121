"""The tensor names of MobileNetV2 in torchvision and in MMAction2, and ours, which are those of TSM's checkpoints.

| ours | torchvision | MMAction2 |
| --- | --- | --- |
| `features.0.0` | `features.0.0` | `conv1.conv` |
| `features.1.conv.3` (projection) | `features.1.conv.1` | `layer1.0.conv.1.conv` |
| `features.2.conv.0` (expansion) | `features.2.conv.0.0` | `layer2.0.conv.0.conv` |
| `features.2.conv.3` (depthwise) | `features.2.conv.1.0` | `layer2.0.conv.1.conv` |
| `features.2.conv.6` (projection) | `features.2.conv.2` | `layer2.0.conv.2.conv` |
| `features.18.0` | `features.18.0` | `conv2.conv` |
| `classifier` | `classifier.1` | |

A batch norm has the number after its convolution's, and in MMAction2 `bn` instead of `conv`. If the input of a
convolution is shifted, both TSM and MMAction2 append `.net` to its name.
"""

from collections.abc import Iterator, Mapping

from torch import Tensor

from ops.models.mobilenet import STAGES

State = dict[str, Tensor]


def _layers() -> Iterator[tuple[str, str, str]]:
    """Names of all layers with tensors: ours, torchvision's and MMAction2's."""
    for norm, kind in enumerate(("conv", "bn")):
        yield f"features.0.{norm}", f"features.0.{norm}", f"conv1.{kind}"
    index = 0
    for stage, (expansion, _, blocks, _) in enumerate(STAGES, start=1):
        for block in range(blocks):
            index += 1
            parts = 3 if expansion > 1 else 2  # the last one, the projection, has no activation
            for part in range(parts):
                for norm, kind in enumerate(("conv", "bn")):
                    theirs = f"{part}.{norm}" if part < parts - 1 else f"{part + norm}"
                    yield (
                        f"features.{index}.conv.{3 * part + norm}",
                        f"features.{index}.conv.{theirs}",
                        f"layer{stage}.{block}.conv.{part}.{kind}",
                    )
    for norm, kind in enumerate(("conv", "bn")):
        yield f"features.{index + 1}.{norm}", f"features.{index + 1}.{norm}", f"conv2.{kind}"


_TORCHVISION = {theirs: ours for ours, theirs, _ in _layers()} | {"classifier.1": "classifier"}
_MMACTION2 = {f"backbone.{theirs}": f"base_model.{ours}" for ours, _, theirs in _layers()}


def is_torchvision(state: Mapping[str, Tensor]) -> bool:
    """Whether these are torchvision's tensors of MobileNetV2, by a name that none of our tensors has."""
    return "features.1.conv.0.0.weight" in state


def is_mmaction2(state: Mapping[str, Tensor]) -> bool:
    """Whether these are MMAction2's tensors of a recognizer with MobileNetV2."""
    return "backbone.layer1.0.conv.0.conv.weight" in state


def from_torchvision(state: Mapping[str, Tensor]) -> State:
    """torchvision's tensors under our names, `features.2.conv.0.weight`; other names do not change."""
    return _renamed(state, _TORCHVISION)


def to_torchvision(state: Mapping[str, Tensor]) -> State:
    """The reverse of `from_torchvision`."""
    return _renamed(state, {ours: theirs for theirs, ours in _TORCHVISION.items()})


def from_mmaction2(state: Mapping[str, Tensor]) -> State:
    """MMAction2's tensors `backbone.…` under our names `base_model.…`; others, such as the head's, do not change."""
    return _renamed(state, _MMACTION2)


def to_mmaction2(state: Mapping[str, Tensor]) -> State:
    """The reverse of `from_mmaction2`."""
    return _renamed(state, {ours: theirs for theirs, ours in _MMACTION2.items()})


def _renamed(state: Mapping[str, Tensor], layers: Mapping[str, str]) -> State:
    out: State = {}
    for name, tensor in state.items():
        layer, _, leaf = name.rpartition(".")
        plain = layer.removesuffix(".net")
        out[f"{layers.get(plain, plain)}{layer[len(plain) :]}.{leaf}" if layer else name] = tensor
    return out
