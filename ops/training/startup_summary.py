"""A summary of a training before it starts: data, model, steps, device, and where it is saved."""

import argparse
from pathlib import Path

import torch

from ops.common import distributed
from ops.common.device import Compute
from ops.common.text import counted
from ops.models.flops import multiply_adds
from ops.models.recognizer import Recognizer
from ops.models.temporal_options import name_parts, temporal_options
from ops.training.train_val_data import Data


def summary_lines(
    args: argparse.Namespace,
    data: Data,
    model: Recognizer,
    steps: int,
    rate: float,
    compute: Compute,
    folder: Path | None,
) -> list[str]:
    """The summary of a training of `steps` per epoch at the base rate `rate`, saved in `folder` (None: nowhere)."""
    lines = [
        f"data: {args.dataset}, {counted(data.num_classes, 'class')}; {counted(len(data.train), 'training video')} "
        f"({data.train.records.source}), {counted(len(data.val), 'validation video')} ({data.val.records.source})",
        f"model: {model_in_words(args, model)}",
        f"training: {counted(args.batch_size, 'clip')} per step, {counted(steps, 'step')} per epoch, "
        f"{counted(args.epochs, 'epoch')}, "
        f"learning rate {rate:g}",
        f"device: {device_in_words(args, compute)}",
    ]
    if args.config:
        lines.append(f"settings: from {args.config} and the command line")
    return [*lines, f"run folder: {folder}"] if folder else lines


def model_in_words(args: argparse.Namespace, model: Recognizer) -> str:
    """Architecture, temporal module, clips, parameters and multiply-adds of a model."""
    module = " ".join(name_parts(temporal_options(args))) or "no temporal module"
    parameters = [(value.numel(), value.requires_grad) for value in model.parameters()]
    total, trained = sum(size for size, _ in parameters), sum(size for size, learns in parameters if learns)
    learning = "" if trained == total else f", {trained / 1e6:{'.2f' if trained >= 1e6 else '.2g'}} M of them trained"
    pixels = args.input_size
    return (
        f"{args.arch}, {module}, {args.modality}, {counted(args.num_segments, 'frame')} of {pixels} x {pixels}; "
        f"{total / 1e6:.2f} M parameters{learning}, {multiply_adds(model, pixels) / 1e9:.3g} G multiply-adds per clip"
    )


def device_in_words(args: argparse.Namespace, compute: Compute) -> str:
    """The device, how many processes there are, and the precision."""
    device, processes = compute.device, distributed.world_size()
    if device.type == "cuda":
        words = f"{device} ({torch.cuda.get_device_name(device)})"
    else:
        words = f"{device} ({counted(torch.get_num_threads(), 'thread')})"
    if processes > 1:
        words += f", {processes} processes"
    precision = {"off": "float32", "bf16": "bfloat16", "fp16": "float16"}[args.amp]
    return f"{words}, {precision}{', compiled' if args.compile else ''}"
