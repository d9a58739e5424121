"""Checkpoints of the other published families, TSM and MMAction2, with outputs computed by their own code."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fill import clip_for, tensor_for

REFERENCE = Path(__file__).parent

FILE_NAMES = {
    "tsm_r50_8f_k400": "TSM_kinetics_RGB_resnet50_shift8_blockres_avg_segment8_e50.pth",
    "tsm_r101_8f_sthv2": "TSM_somethingv2_RGB_resnet101_shift8_blockres_avg_segment8_e45.pth",
    "tsm_r50_nl_8f_k400": "TSM_kinetics_RGB_resnet50_shift8_blockres_avg_segment8_e100_dense_nl.pth",
    "tsm_mobilenetv2_8f_k400": "TSM_kinetics_RGB_mobilenetv2_shift8_blockres_avg_segment8_e100_dense.pth",
    "mma_tsn_r50_k400": "tsn_imagenet-pretrained-r50_8xb32-1x1x8-100e_kinetics400-rgb_20220906-2692d16c.pth",
    "mma_tsm_r50_k400": "tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_kinetics400-rgb_20220831-64d69186.pth",
    "mma_tsm_nl_r50_k400": (
        "tsm_imagenet-pretrained-r50-nl-embedded-gaussian_8xb16-1x1x8-50e_kinetics400-rgb_20220831-4b5d3d1a.pth"
    ),
    "mma_tanet_r50_sthv1_16f": "tanet_imagenet-pretrained-r50_8xb6-1x1x16-50e_sthv1-rgb_20220908-000000.pth",
}
"""Cases, and file names in the form of the published ones."""


@dataclass(frozen=True)
class Case:
    """A published network: its tensors, normalised clips `[N, T, C, H, W]` as input, and the stored facts about it."""

    facts: dict[str, Any]
    state: dict[str, torch.Tensor]
    clips: torch.Tensor
    logits: Any


def case_of(name: str) -> Case:
    """The case called `name`, which is one of `FILE_NAMES`."""
    mmaction2 = name.startswith("mma_")
    stem = "mmaction2_models" if mmaction2 else "temporal_models"
    facts = json.loads((REFERENCE / f"{stem}.json").read_text())[name]
    shapes = json.loads((REFERENCE / f"tensors_{name}.json").read_text())
    state = {key: tensor_for(_stream(key) if mmaction2 else key, tuple(shape)) for key, shape in shapes.items()}
    n, channels, h, w = facts["input_shape"]
    segments = facts["num_segments"]
    clips = clip_for(name, (n, channels, h, w)).view(n, segments, channels // segments, h, w)
    return Case(facts, state, clips, np.load(REFERENCE / f"{stem}.npz")[name])


def write_case(case: Case, path: Path) -> Path:
    """Write the case as a file like the published one, with DataParallel's names if the original code used these."""
    state = case.state
    if not any(name.startswith("backbone.") for name in state):
        state = {f"module.{name}": value for name, value in state.items()}
    torch.save({"state_dict": state, "epoch": 50}, path)
    return path


def _stream(name: str) -> str:
    return name.replace("conv3.bn", "bn3").replace("cls_head.fc_cls", "new_fc")
