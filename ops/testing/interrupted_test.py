"""Where a test keeps the scores of an interrupted run, and in which runtime it continues."""

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ops.common import distributed
from ops.common.device import Compute
from ops.data.dataset_configs import DatasetConfig
from ops.models.runtimes import PACKAGES, describe_runtime, is_installed
from ops.models.weights import results_beside
from ops.testing.ensemble import Ensemble
from ops.testing.evaluation_protocol import describe
from ops.testing.partial_scores import PartialScores


def output_folder(args: argparse.Namespace) -> Path:
    """The folder for the results: `--output`, else a folder beside the weights."""
    return Path(args.output) if args.output else results_beside(args.weights[0], "test")


def partial_scores(
    args: argparse.Namespace, ensemble: Ensemble, facts: Mapping[str, Any], device: torch.device
) -> PartialScores:
    """The store of this test's scores, which are kept on disk until the test is complete."""
    settings = {
        **facts,
        "models": [(member.checkpoint.path, member.coeff, member.stream) for member in ensemble.members],
        "roots": [stream.root for stream in ensemble.streams],
        "compute": (device.type, args.channels_last, args.compile),
        "chunk": args.views_per_forward,
        "sizes": [(member.shape.input_size, args.full_res) for member in ensemble.members],
        "videos": len(ensemble.streams[0].records),
    }
    count = len(ensemble.streams[0].records)
    return PartialScores(output_folder(args), settings, count, len(ensemble.partners))


def runtime_to_continue(args: argparse.Namespace, config: DatasetConfig, ensemble: Ensemble, compute: Compute) -> str:
    """`--runtime`, or instead of "auto" the one in which an earlier, interrupted run of this test computed."""
    found = args.runtime
    if args.runtime == "auto" and distributed.is_main():
        for name in filter(is_installed, PACKAGES):
            facts = describe(args, config, ensemble, describe_runtime(replace(compute, runtime=name)))
            if partial_scores(args, ensemble, facts, compute.device).exist:
                found = name
    return str(distributed.gather_objects(found)[0])
