"""Measure the speed of this project against the published method, re-created here, and against the floor.

    python -m benchmarks --output benchmarks/results/laptop
    python -m benchmarks --device cuda --amp bf16 --channels_last --clips 32 --only network

Every row is the ratio of two things measured in turn in the same rounds; times are medians with the range. --output
NAME writes NAME.json and NAME.md. Preparing data has a benchmark of its own: python benchmarks/prepare.py.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import torch

from benchmarks import network, reading
from benchmarks.timing import Row, machine, save, table
from ops.arguments import Parser, positive
from ops.compute import add_compute_options, compute_of
from ops.errors import EXIT_DONE, run
from ops.setup import pick_device

HEADER = ("what", "against", "ours, ms", "other, ms", "ratio", "target")


def main() -> int:
    """Measure, print, write."""
    args = make_parser().parse_args()
    device = pick_device(None, args.device)
    compute = compute_of(args, device)
    rows: list[Row] = []
    memory: dict[str, float] = {}
    if args.only in (None, "reading"):
        cv2.setNumThreads(1)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        with tempfile.TemporaryDirectory() as folder:
            rows += reading.rows(args.video, Path(folder), args.rounds)
        torch.set_num_threads(threads)
    if args.only in (None, "network"):
        load = network.Load(args.clips, args.size)
        rows += network.tam_rows(device, args.rounds, args.clips)
        rows += network.training_rows(compute, args.rounds, load)
        rows += network.latency_rows(compute, args.rounds, args.size)
        memory = network.peak_memory(compute, load)
    title = machine(device) + f"; --amp {args.amp}" + (", channels last" if args.channels_last else "")
    text = describe(title, rows, memory)
    sys.stdout.write(text)
    if args.output:
        facts = {"title": title, "rows": [row.plain() for row in rows], "memory_mib": memory}
        save(args.output, text, facts)
    return EXIT_DONE


def make_parser() -> argparse.ArgumentParser:
    """The parser of the benchmarks."""
    parser = Parser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", choices=("reading", "network"), help="one half of the table")
    parser.add_argument("--video", metavar="FILE", help="decode this one (default: one that is drawn)")
    parser.add_argument("--rounds", type=positive, default=7, metavar="N", help="default: 7")
    parser.add_argument("--clips", type=positive, default=2, metavar="N", help="in a training step (default: 2)")
    parser.add_argument("--size", type=positive, default=224, metavar="PIXELS", help="default: 224")
    parser.add_argument("--device", metavar="NAME", help="cpu or cuda (default: a GPU if there is one)")
    parser.add_argument("--output", metavar="NAME", help="write NAME.json and NAME.md")
    add_compute_options(parser.add_argument_group("how the network is computed"))
    return parser


def describe(title: str, rows: Sequence[Row], memory: dict[str, float]) -> str:
    """All of it as Markdown."""
    lines = [title, "", table(HEADER, [row.cells() for row in rows]).rstrip()]
    if memory:
        ours, published, plain = (memory[name] for name in network.VARIANTS)
        lines += [
            "",
            f"Memory at the peak of a training step: {ours:.0f} MiB; by the published method {published:.0f}; without "
            f"TAM {plain:.0f}. TAM's extra: {(ours - plain) / (published - plain):.2f} of the published one (target "
            f"≤ 0.4); total {ours / plain:.2f} of no TAM (target ≤ 1.10).",
        ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run(main)
