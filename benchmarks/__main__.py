"""Compare the speed of this project with a reimplementation of the published method, and with lower bounds.

    python -m benchmarks --output benchmarks/results/laptop
    python -m benchmarks --device cuda --amp bf16 --channels_last --clips 32 --only network
    python -m benchmarks --only encoded --video holiday.mp4

Each row compares two variants, measured in turn in the same rounds; times are medians with the range. --output NAME
writes NAME.json and NAME.md. Preparing data has its own benchmark: python benchmarks/prepare.py.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import torch

from benchmarks import network, reading
from benchmarks.decoders import describe_video
from benchmarks.prepare import draw_video
from benchmarks.timing import Row, machine, publish, table
from ops.common.arguments import Parser, add_compute_options, positive
from ops.common.device import Compute, compute_of, pick_device
from ops.common.errors import EXIT_DONE, run

HALVES = {"reading": tuple(reading.PARTS), "network": ("tam", "step", "scores", "memory")}
PARTS = tuple(part for half in HALVES.values() for part in half)
HEADER = ("what", "against", "ours, ms", "other, ms", "ratio", "target")


def main() -> int:
    """Measure, print and write the results."""
    args = make_parser().parse_args()
    device = pick_device(None, args.device)
    compute = compute_of(args, device, fixed_shapes=True)
    parts = {part for name in args.only for part in HALVES.get(name, (name,))}
    rows = reading_rows(args, parts)
    network_parts, memory = network_rows(args, compute, parts)
    rows += network_parts
    title = machine(device) + f"; --amp {args.amp}" + (", channels last" if args.channels_last else "")
    if args.video and rows:
        title += f"; {describe_video(args.video)}"
    text = describe(title, rows, memory)
    facts = {"title": title, "rows": [row.plain() for row in rows], "memory_mib": memory}
    publish(text, args.output, facts)
    return EXIT_DONE


def reading_rows(args: argparse.Namespace, parts: set[str]) -> list[Row]:
    """The rows about reading, measured on one thread with files in a temporary folder."""
    wanted = [rows for part, rows in reading.PARTS.items() if part in parts]
    if not wanted:
        return []
    threads = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = args.video or draw_video(Path(folder, "drawn.mp4"), 0)
            reading.check_length(path)
            return [row for rows in wanted for row in rows(path, Path(folder), args.rounds)]
    finally:
        torch.set_num_threads(threads[0])
        cv2.setNumThreads(threads[1])


def network_rows(args: argparse.Namespace, compute: Compute, parts: set[str]) -> tuple[list[Row], dict[str, float]]:
    """The rows about the network, and the peak memory of training steps in MiB."""
    load = network.Load(args.clips, args.size)
    rows: list[Row] = []
    if "tam" in parts:
        rows += network.tam_rows(compute.device, args.rounds, args.clips, args.size)
    if "step" in parts:
        rows += network.training_rows(compute, args.rounds, load)
    if "scores" in parts:
        rows += network.latency_rows(compute, args.rounds, args.size)
    return rows, network.peak_memory(compute, load) if "memory" in parts else {}


def make_parser() -> argparse.ArgumentParser:
    """The parser of the benchmarks."""
    parser = Parser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=[*HALVES, *PARTS], default=PARTS, metavar="PART",
                        help=f"what to measure: {', '.join([*HALVES, *PARTS])} (default: all)")  # fmt: skip
    parser.add_argument("--video", metavar="FILE", help="video to decode (default: a synthetic one)")
    parser.add_argument("--rounds", type=positive, default=7, metavar="N", help="rounds of measurement (default: 7)")
    parser.add_argument("--clips", type=positive, default=2, metavar="N", help="clips in a training step (default: 2)")
    parser.add_argument("--size", type=positive, default=224, metavar="PIXELS", help="input size (default: 224)")
    parser.add_argument("--device", metavar="NAME", help="cpu or cuda (default: a GPU if there is one)")
    parser.add_argument("--output", metavar="NAME", help="write NAME.json and NAME.md")
    add_compute_options(parser.add_argument_group("how the network is computed"))
    return parser


def describe(title: str, rows: Sequence[Row], memory: dict[str, float]) -> str:
    """All results as Markdown."""
    lines = [title, "", table(HEADER, [row.cells() for row in rows]).rstrip()]
    if memory:
        ours, published, plain = (memory[name] for name in network.VARIANTS)
        lines += [
            "",
            f"Peak memory of a training step: {ours:.0f} MiB; with the published method {published:.0f}; without "
            f"TAM {plain:.0f}. TAM's extra: {(ours - plain) / (published - plain):.2f} of the published one (target "
            f"≤ 0.4); total {ours / plain:.2f} of no TAM (target ≤ 1.10).",
        ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run(main)
