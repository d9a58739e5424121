"""How a test was made, in words and in facts, and what was published for it."""

import argparse
from pathlib import Path
from typing import Any

from ops import report
from ops.dataset_configs import DatasetConfig
from ops.ensemble import Ensemble
from ops.provenance import software


def view_pixels(args: argparse.Namespace, input_size: int, scale_size: int) -> int:
    """The side of the squares that the models see."""
    return scale_size if args.full_res and args.test_crops in (1, 3) else input_size


def describe_protocol(args: argparse.Namespace, ensemble: Ensemble) -> str:
    """The protocol in words."""
    models = []
    for member in ensemble.members:
        model, shape = member.model, member.shape
        pixels = view_pixels(args, shape.input_size, shape.scale_size)
        models.append(
            f"{model.arch}{' with TAM' if model.tam else ' without TAM'}, {shape.modality}, "
            f"{shape.num_segments} frames of {pixels} x {pixels}"
        )
    fused = ""
    if len(models) > 1:
        coeffs = ", ".join(f"{member.coeff:g}" for member in ensemble.members)
        fused = f"; {'softmax scores' if args.softmax else 'logits'} summed with weights {coeffs}"
    views = f"{args.test_crops} crops x {ensemble.sample.clips} clips ({ensemble.sample})"
    return f"{' + '.join(models)}; {views}, mean of the logits{fused}"


def published_figure(args: argparse.Namespace, config: DatasetConfig, ensemble: Ensemble) -> dict[str, float] | None:
    """The published top-1 and top-5 of this protocol, where there is one."""
    member = ensemble.members[0]
    model, shape = member.model, member.shape
    if len(ensemble.members) != 1 or not model.tam or model.arch != "resnet50" or model.modality != "RGB":
        return None
    pixels = view_pixels(args, shape.input_size, shape.scale_size)
    protocol = (shape.num_segments, args.test_crops, str(ensemble.sample), pixels)
    for known in config.published:
        if protocol == (known.segments, known.crops, known.sample, known.size):
            return {"top1": known.top1, "top5": known.top5}
    return None


def describe_data(ensemble: Ensemble) -> list[dict[str, str]]:
    """For each list its file, the folder its paths are relative to, "frames" or "videos", "RGB" or "Flow"."""
    modalities = {member.stream: member.shape.modality for member in ensemble.members}
    return [
        {
            "list": str(Path(stream.records.source).absolute()),
            "root": str(Path(stream.root).absolute()),
            "kind": stream.reader.kind,
            "modality": modalities[place],
        }
        for place, stream in enumerate(ensemble.streams)
    ]


def describe(args: argparse.Namespace, config: DatasetConfig, ensemble: Ensemble, protocol: str) -> dict[str, Any]:
    """What a result depends on, for `metrics.json` and to know it again."""
    checkpoints = {member.checkpoint.path for member in ensemble.members}
    return {
        "dataset": config.name,
        "data": describe_data(ensemble),
        "protocol": protocol,
        "averaging": "mean of the logits over views" + (", softmax per model" if args.softmax else ""),
        "decoder": ensemble.streams[0].reader.decoder,
        "lists_sha256": {stream.records.source: stream.records.sha256 for stream in ensemble.streams},
        "checkpoints_sha256": {path: report.file_sha256(path) for path in sorted(checkpoints)},
        "precision": args.amp,
        **software(),
    }
