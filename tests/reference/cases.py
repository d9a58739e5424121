"""The networks whose outputs are stored here as computed by the published code."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fill import clip_for, fill

from ops.models.recognizer import Recognizer, build_model

REFERENCE = Path(__file__).parent
CASES: dict[str, dict[str, Any]] = json.loads((REFERENCE / "models.json").read_text())
LOGITS = np.load(REFERENCE / "models.npz")


def shapes_of(case: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors of a case, by name."""
    name = "tanet" if case["tam"] else "tsn"
    shapes: dict[str, tuple[int, ...]] = json.loads((REFERENCE / f"tensors_{name}_r50_8f_k400.json").read_text())
    return shapes


def reference_model(name: str) -> tuple[Recognizer, torch.Tensor]:
    """The model of a case and its input clips `[N, T, C, H, W]`."""
    case = CASES[name]
    model = build_model(case["arch"], case["num_classes"], case["num_segments"], case["modality"], case["tam"])
    model.load_state_dict(fill(shapes_of(case)))
    n, channels, h, w = case["input_shape"]
    clip = clip_for(name, (n, channels, h, w))
    return model, clip.view(n, case["num_segments"], channels // case["num_segments"], h, w)


def relative(ours: Any, theirs: Any) -> float:
    """The norm of the difference, relative to the norm of `theirs`."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))
