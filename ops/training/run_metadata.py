"""Metadata of a run, for its folder and its checkpoints: settings, software, data."""

import argparse
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import torch

from ops.common import distributed
from ops.data.pipelines import ClipShape
from ops.models.recognizer import MEAN, STD
from ops.models.temporal_options import temporal_options

ROOT = Path(__file__).resolve().parents[2]


ENVIRONMENT = (
    "ATEN_CPU_CAPABILITY", "DNNL_DEFAULT_FPMATH_MODE", "DNNL_MAX_CPU_ISA", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS",
    "NVIDIA_TF32_OVERRIDE", "OMP_THREAD_LIMIT", "ONEDNN_DEFAULT_FPMATH_MODE", "ONEDNN_MAX_CPU_ISA",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
)  # fmt: skip
"""Environment variables that affect the last bits of the results of PyTorch and its libraries."""


def make_meta(
    args: argparse.Namespace,
    num_classes: int,
    class_names: list[str] | None,
    list_hashes: Mapping[str, str],
    device: torch.device,
    file_sizes: Mapping[str, Sequence[int]] | None = None,
    normalisation: tuple[list[float], list[float]] | None = None,
) -> dict[str, Any]:
    """The `meta` of a checkpoint: plain data only. `normalisation` are mean and deviation of the pixels, if unusual."""
    shape = ClipShape(args.num_segments, args.modality, args.input_size)
    temporal = temporal_options(args)
    return {
        "dataset": args.dataset,
        "class_names": class_names,
        "num_classes": num_classes,
        "num_segments": args.num_segments,
        "modality": args.modality,
        "tam": temporal.module == "tam",
        "temporal": temporal.as_meta(),
        "consensus": args.consensus_type,
        "dropout": args.dropout,
        "input_size": shape.input_size,
        "scale_size": shape.scale_size,
        "mean": normalisation[0] if normalisation else list(MEAN[args.modality]),
        "std": normalisation[1] if normalisation else list(STD[args.modality]),
        "sampling": "dense" if args.dense_sample else "uniform",
        **({"multi_label": True} if args.multi_label else {}),
        "recipe": {key: value for key, value in vars(args).items() if key != "no_effect"},
        "lists_sha256": dict(list_hashes),
        "file_sizes": {side: list(sizes) for side, sizes in (file_sizes or {}).items()},
        "processes": distributed.world_size(),
        "arithmetic": arithmetic(device),
        **software(),
    }


def arithmetic(device: torch.device) -> dict[str, Any]:
    """Everything besides settings and versions that affects the last bits of results on `device`."""
    variables = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    if device.type == "cuda":
        return {"device": torch.cuda.get_device_name(device), "optimizer": "fused", **variables}
    processor = f"{_processor()}, {torch.backends.cpu.get_cpu_capability()}"
    return {"device": processor, "threads": torch.get_num_threads(), **variables}


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:  # not on Linux
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")), "CPU")


def software() -> dict[str, Any]:
    """The versions of the libraries that compute and decode, and the commit of this code."""
    packages = {"torch": torch, "numpy": np, "opencv": cv2, "av": av}
    versions = {name: str(package.__version__) for name, package in packages.items()}
    versions["torchvision"] = metadata.version("torchvision")  # importing it takes seconds
    return {"versions": {"python": sys.version.split()[0], **versions}, "commit": source_commit()}


@cache
def source_commit(folder: Path = ROOT) -> str:
    """The commit of the code in `folder`, with "+changes" if files differ from it; "unknown" outside a checkout."""
    try:
        if Path(_git(folder, "rev-parse", "--show-toplevel")).resolve() != folder:
            return "unknown"  # the code is inside another repository's checkout
        commit = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return f"{commit}+changes" if changed else commit


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    here = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}  # set by Git within hooks
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30, env=here).stdout.strip()
