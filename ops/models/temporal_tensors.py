"""Which temporal module a network has, derived from the names and shapes of its tensors."""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ops.models.temporal_options import STAGES, TemporalOptions

_MARKS = {  # a tensor that only networks with this module have
    "tam": r"\.tam\.",
    "tim": r"\.tim\.",
    "tconv": r"\.tconv\.",
    "tsm": r"\.conv(1|\.0)\.net\.",
}


def temporal_of(state: Mapping[str, Tensor], stored: Mapping[str, Any] | None = None) -> TemporalOptions:
    """The temporal module of the network with these tensors, which have our names.

    `stored` are the options in the file, which are needed for what tensors do not show: the place in a block, the part
    of the channels that is shifted, a module without parameters. Without them the published settings are assumed.
    Raises ValueError for tensors that fit no module, and InputError for options that cannot be built.
    """
    told = dict(stored or {})
    module = _module_of(state, told.get("module"))
    if module != told.get("module", module):
        told = {}  # these options do not describe the tensors of this file
    seen: dict[str, Any] = {"module": module, "stages": list(STAGES)}
    if module in _MARKS:
        pattern = re.compile(r"base_model\.layer(\d)\..*" + _MARKS[module])
        stages = {int(match[1]) for match in map(pattern.match, state) if match}
        seen["stages"] = sorted(stages) or list(STAGES)  # a MobileNetV2 has no stages
    elif module == "i3d":
        seen["stages"] = _inflated_stages(state)
    elif "stages" in told:
        seen["stages"] = told["stages"]
    if module == "tam":
        seen |= _tam_of(state, seen["stages"][0])
    if module == "tsm":
        seen["shift_place"] = "blockres" if _has(state, _MARKS["tsm"]) else "block"
    seen["non_local"] = _non_local_of(state, (stored or {}).get("non_local"))
    return TemporalOptions.from_meta({**told, **seen})


def segments_in(state: Mapping[str, Tensor]) -> int | None:
    """The frames of a clip, if tensors depend on them, as those of TAM's global branch do."""
    first = next((value for name, value in state.items() if name.endswith(".tam.G.0.weight")), None)
    return None if first is None else first.shape[1]


def _has(state: Mapping[str, Tensor], pattern: str) -> bool:
    return any(re.search(pattern, name) for name in state)


def _inflated_stages(state: Mapping[str, Tensor]) -> list[int]:
    """The stages whose first convolutions have kernels over time."""
    pattern = re.compile(r"base_model\.layer(\d)\.\d+\.(block\.)?conv1\.weight")
    found = {int(match[1]) for name, value in state.items() if value.ndim == 5 and (match := pattern.match(name))}
    return sorted(found)


def _module_of(state: Mapping[str, Tensor], told: Any) -> str:
    for module, mark in _MARKS.items():
        if _has(state, mark):
            return module
    if _inflated_stages(state):
        return "i3d"
    if _has(state, r"layer\d\.\d+\.(block\.)?net\."):  # a module without tensors, or a shift of the input of blocks
        return str(told) if told not in (None, "none") else "tsm"
    return "none" if told in (None, *_MARKS, "i3d", "pool") else str(told)


def _tam_of(state: Mapping[str, Tensor], stage: int) -> dict[str, Any]:
    """The settings of the TAMs, read from the TAM in the first block of `stage`."""
    first = re.compile(rf"base_model\.layer{stage}\.\d+\.(block\.)?tam\.")
    name = next(name for name in state if first.match(name))
    prefix = name[: name.index(".tam.") + len(".tam.")]
    inside = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    hidden, kernel, narrow = inside.get("G.0.weight"), inside.get("G.3.weight"), inside.get("L.0.weight")
    if hidden is not None and (hidden.ndim != 2 or not hidden.numel()):
        raise ValueError(f"{prefix}G.0.weight has the shape {list(hidden.shape)}")
    if narrow is not None and (narrow.ndim != 3 or not narrow.numel()):
        raise ValueError(f"{prefix}L.0.weight has the shape {list(narrow.shape)}")
    seen: dict[str, Any] = {"branches": "global" if narrow is None else "local" if hidden is None else "both"}
    if hidden is not None:
        seen["alpha"] = max(hidden.shape[0] // hidden.shape[1], 1)
        seen["kernel"] = kernel.shape[0] if kernel is not None and kernel.ndim == 2 and len(kernel) % 2 else 3
    if narrow is not None:
        seen["beta"] = max(narrow.shape[1] // narrow.shape[0], 1)
    return seen


def _non_local_of(state: Mapping[str, Tensor], told: Any) -> str:
    """The mode of the non-local blocks; two modes have the same tensors."""
    if not _has(state, r"\.nl\."):
        return ""
    if not _has(state, r"\.nl\.theta\."):
        return "gaussian"
    return "dot_product" if told == "dot_product" else "embedded_gaussian"
