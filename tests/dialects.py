"""Helpers for tests of checkpoints: tensor names in every dialect, and a model to save with them."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ops.models.checkpoint import load_model
from ops.models.recognizer import Recognizer, build_model
from ops.models.resnet import STAGES
from ops.models.temporal_options import TemporalOptions
from ops.predict.predictor import Predictor, open_predictor

REFERENCE = Path(__file__).parent / "reference"
PUBLISHED: dict[str, tuple[int, ...]] = json.loads((REFERENCE / "tensors_tanet_r50_8f_k400.json").read_text())


def to_mmaction2(name: str) -> str:
    """Translate our tensor name into MMAction2's, without using the project's own code."""
    name = re.sub(r"^new_fc\.", "cls_head.fc_cls.", name)
    name = re.sub(r"^base_model\.", "backbone.", name)
    name = re.sub(r"\.net\.", ".block.", name)
    name = re.sub(r"\.downsample\.0\.", ".downsample.conv.", name)
    name = re.sub(r"\.downsample\.1\.", ".downsample.bn.", name)
    if ".tam." not in name:
        name = re.sub(r"\.conv(\d)\.", r".conv\1.conv.", name)
        name = re.sub(r"\.bn(\d)\.", r".conv\1.bn.", name)
    return name


DIALECTS = {
    "ours": lambda name: name,
    "DataParallel": lambda name: "module." + name,
    "torch.compile": lambda name: "_orig_mod.module." + name,
    "older": lambda name: re.sub(r"\.tam\.([GL])\.", lambda m: f".self_conv.conv_{'fg'['GL'.index(m[1])]}.", name),
    "MMAction2": to_mmaction2,
}  # fmt: skip

TEMPORAL = [
    TemporalOptions("tsm"),
    TemporalOptions("tsm", shift_place="block", shift_div=4),
    TemporalOptions("tconv"),
    TemporalOptions("tim", place="before_conv1"),
    TemporalOptions("pool"),
    TemporalOptions("i3d"),
    TemporalOptions("tam", kernel=5, branches="global"),
    TemporalOptions("tam", branches="local"),
    TemporalOptions("none", non_local="embedded_gaussian"),
]
"""Temporal modules in variants that are computed in different ways."""


def distinct_model(**options: Any) -> Recognizer:
    """A model whose tensors all differ, so that a mix-up is noticed."""
    model = build_model(**{"arch": "resnet18", "num_classes": 5, "num_segments": 4, **options})
    for name, value in model.state_dict().items():
        if "num_batches" not in name:
            value.uniform_(0.5, 1.5) if "running_var" in name or value.ndim == 1 else value.normal_(
                std=value[0].numel() ** -0.5
            )
    return model.eval()


def cut(model: Recognizer) -> Recognizer:
    """Keep only one block in each stage, which halves the time of an export."""
    for stage in STAGES:
        setattr(model.base_model, stage, getattr(model.base_model, stage)[:1])
    return model


def open_cut_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let predictors have one block per stage of the network in their checkpoint."""
    opened = open_predictor

    def shallow(*args: object, **options: object) -> Predictor:
        predictor = opened(*args, **options)  # type: ignore[arg-type]
        return replace(predictor, model=cut(load_model(predictor.checkpoint.path)))

    monkeypatch.setattr("ops.predict.predictor.open_predictor", shallow)
