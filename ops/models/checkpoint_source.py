"""Facts about a model from its checkpoint file besides the tensors: our `meta`, MMAction2's config, the file's name."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_SEGMENTS_IN_NAME = (
    r"segment(\d+)(?=_|\.|$)",  # TSM_kinetics_RGB_resnet50_shift8_blockres_avg_segment8_e50.pth
    r"-1x1x(\d+)(?=-|_|\.|$)",  # MMAction2: clip length x frame interval x number of clips
)
_SHIFT_IN_NAME = r"_shift(\d+)_(blockres|block)(?=_|\.|$)"

MMACTION2_TANET_MEAN = (123.675, 116.28, 103.5)
"""MMAction2's configs train TANets with this mean of blue; ImageNet's is 103.53."""


def temporal_told(meta: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The options of the temporal module that `meta` or the name of the file at `path` contain.

    See `ops.models.temporal_options.TemporalOptions` for the keys; {} if there are none.
    """
    stored = meta.get("temporal")
    if isinstance(stored, Mapping):
        return dict(stored)
    told: dict[str, Any] = {}
    named = re.search(_SHIFT_IN_NAME, Path(path).name)
    if named:
        told |= {"shift_div": int(named[1]), "shift_place": named[2]}
    config = config_text(meta)
    shift = _number(config, "shift_div")
    if shift:
        told["shift_div"] = shift
    hints = f"{config} {Path(path).name}".replace("-", "_")
    mode = re.search(r"(embedded_gaussian|dot_product|gaussian)", hints)
    if mode:
        told["non_local"] = mode[1]
    return told


def segments_told(meta: Mapping[str, Any], path: str) -> int | None:
    """The number of frames per clip in the model's training, from `meta` or the file's name; None if unknown."""
    stored = meta.get("num_segments")
    if isinstance(stored, int):
        return stored
    config = config_text(meta)
    found = _number(config, "num_segments") or _number(config, "num_clips")
    if found:
        return found
    for pattern in _SEGMENTS_IN_NAME:
        match = re.search(pattern, Path(path).name)
        if match and int(match[1]) > 0:
            return int(match[1])
    return None


def normalisation_told(
    meta: Mapping[str, Any], is_mmaction2_tanet: bool = False
) -> tuple[Sequence[float], Sequence[float]] | None:
    """Mean and deviation of the pixels (in [0, 1]) that the model was trained with; None if unknown."""
    mean, std = meta.get("mean"), meta.get("std")
    if isinstance(mean, Sequence) and isinstance(std, Sequence) and len(mean) == len(std) > 0:
        return [float(value) for value in mean], [float(value) for value in std]
    config = config_text(meta)
    mean, std = _numbers(config, "mean"), _numbers(config, "std")
    if len(mean) == len(std) == 3:
        return [value / 255 for value in mean], [value / 255 for value in std]
    if is_mmaction2_tanet:
        return [value / 255 for value in MMACTION2_TANET_MEAN], [0.229, 0.224, 0.225]
    return None


def config_text(meta: Mapping[str, Any]) -> str:
    """The text of the config that MMAction2 keeps in its checkpoints, or ""."""
    for key in ("cfg", "config"):
        if isinstance(meta.get(key), str):
            return str(meta[key])
    return ""


def _number(config: str, key: str) -> int | None:
    """The first positive integer of `key` in a config, which is Python (`key=8`) or a dictionary (`'key': 8`)."""
    match = re.search(rf"\b{key}['\"]?\s*[=:]\s*(\d+)", config)
    return int(match[1]) or None if match else None


def _numbers(config: str, key: str) -> list[float]:
    match = re.search(rf"\b{key}['\"]?\s*[=:]\s*[\[(]([^\])]*)[\])]", config)
    parts = [part.strip() for part in match[1].split(",") if part.strip()] if match else []
    try:
        return [float(part) for part in parts]
    except ValueError:
        return []
