"""The protocol of a test, in words and as data, and the published result for it."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ops.common.text import counted
from ops.data.dataset_configs import DatasetConfig, Published
from ops.data.pipelines import ClipShape, view_pixels
from ops.data.sampling import Sample
from ops.models.recognizer import Recognizer
from ops.models.temporal_options import TemporalOptions
from ops.models.zoo import PublishedResult, find_published
from ops.testing.confidence import NO_TEMPORAL_MODULE
from ops.testing.ensemble import Ensemble
from ops.training.run_metadata import software

PUBLISHED_SIZE = 224
"""Input size of the published networks in training; with `--full_res` they are tested at 256."""


SIGMOID = "sigmoid scores"


def describe_views(
    models: Sequence[tuple[Recognizer, ClipShape]],
    sample: Sample,
    crops: int,
    full_res: bool,
    fused: str = "",
    runtime: str = "torch",
    scores: str = "logits",
) -> str:
    """The input of each model, in words; `fused` describes how several are combined, `runtime` what computes them.

    `scores` names the kind of scores that are averaged over views.
    """
    parts = []
    for model, shape in models:
        pixels = view_pixels(shape, crops, full_res)
        kind = f"{model.arch} {_temporal(model)}, {shape.modality}"
        parts.append(
            f"{kind}, {counted(shape.num_segments, 'frame')} of {pixels} x {pixels} (short side {shape.scale_size})"
        )
    views = f"{counted(crops, 'crop')} x {counted(sample.clips, 'clip')} ({sample})"
    computed = "PyTorch" if runtime == "torch" else runtime
    return f"{' + '.join(parts)}; {views}, mean of the {scores}{fused}; computed by {computed}"


def _temporal(model: Recognizer) -> str:
    """The temporal module in words, as in "resnet50 with TAM"."""
    module = model.temporal.module
    words = f"with {module.upper()}" if module != "none" else NO_TEMPORAL_MODULE
    return f"{words} and non-local blocks" if model.temporal.non_local else words


def describe_protocol(args: argparse.Namespace, ensemble: Ensemble, runtime: str) -> str:
    """The protocol of a test in words."""
    members, fused = ensemble.members, ""
    if len(members) > 1:
        coeffs = ", ".join(f"{member.coeff:g}" for member in members)
        fused = f"; {'softmax scores' if args.softmax else 'logits'} summed with weights {coeffs}"
        fused = f"; averaged with weights {coeffs}" if ensemble.multi_label else fused
    models = [(member.model, member.shape) for member in members]
    scores = SIGMOID if ensemble.multi_label else "logits"
    return describe_views(models, ensemble.sample, args.test_crops, args.full_res, fused, runtime, scores)


def published_figure(args: argparse.Namespace, config: DatasetConfig, ensemble: Ensemble) -> dict[str, float] | None:
    """The published `top1` and, if known, `top5` for this protocol: of the same file, or of a TANet-50; else None.

    A file is recognised by the name under which it is published (`ops.models.zoo`).
    """
    member = ensemble.members[0]
    model, shape = member.model, member.shape
    if ensemble.multi_label or len(ensemble.members) != 1 or shape.input_size != PUBLISHED_SIZE:
        return None
    pixels = view_pixels(shape, args.test_crops, args.full_res)
    protocol = (shape.num_segments, args.test_crops, str(ensemble.sample), pixels)
    file = find_published(Path(member.checkpoint.path).name)
    if file:
        results: Sequence[Published | PublishedResult] = file.results if file.dataset == config.name else ()
    else:
        plain = model.temporal == TemporalOptions("tam") and model.arch == "resnet50" and model.modality == "RGB"
        results = config.published if plain else ()
    for known in results:
        if protocol == (known.segments, known.crops, known.sample, known.size):
            return {"top1": known.top1} | ({} if known.top5 is None else {"top5": known.top5})
    return None


def describe_data(ensemble: Ensemble) -> list[dict[str, str]]:
    """For each list: its path, the folder of relative paths, "frames" or "videos", "RGB" or "Flow"."""
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


def made_from(facts: Mapping[str, Any]) -> str:
    """The input files, each with the first 16 digits of its hash, and the decoder, in words."""
    files = {**facts["lists_sha256"], **facts["checkpoints_sha256"]}
    named = [f"{Path(path).name} (sha256 {digits[:16]})" for path, digits in files.items()]
    return ", ".join([*named, str(facts["decoder"])])


def describe(args: argparse.Namespace, config: DatasetConfig, ensemble: Ensemble, runtime: str) -> dict[str, Any]:
    """Everything that a result depends on, for `metrics.json` and to recognise it; see `describe_runtime`."""
    checkpoints = {member.checkpoint.path: member.checkpoint.sha256 for member in ensemble.members}
    return {
        "dataset": config.name,
        "data": describe_data(ensemble),
        "protocol": describe_protocol(args, ensemble, runtime),
        "averaging": f"mean of the {SIGMOID if ensemble.multi_label else 'logits'} over views"
        + (", softmax per model" if args.softmax else ""),
        "decoder": ensemble.streams[0].reader.decoder,
        "lists_sha256": {stream.records.source: stream.records.sha256 for stream in ensemble.streams},
        "checkpoints_sha256": dict(sorted(checkpoints.items())),
        "precision": args.amp + (", TF32" if args.tf32 else ""),
        "runtime": runtime,
        **software(),
    }
