"""Measure what it saves to keep the memory of large tensors in the process: time, new pages and peak memory on a CPU.

    python benchmarks/heap.py
    python benchmarks/heap.py --rounds 3 --output benchmarks/results/cpu_heap

A training step and the scores of a TANet, each in a process with glibc's default and in one with the setting of
ops/common/heap.py, in turn. Times are medians with the range; new pages are those that one step fetches from the
system. --output NAME writes NAME.json and NAME.md.
"""

import argparse
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.processes import ROOT, cost_of, spread
from ops.common.arguments import Parser, positive
from ops.common.errors import EXIT_DONE, run

HEADER = ("what", "memory", "wall, s", "CPU, s", "ratio of CPU", "new pages, MiB", "peak memory, MiB")
DEFAULT, REUSED = "glibc's default", "used again"

WORKER = """
import resource, sys, time
root, reuse, kind, arch, clips, size, steps = sys.argv[1:]
sys.path.insert(0, root)
from ops.common.heap import reuse_large_blocks
from ops.common.threads import limit_spinning
limit_spinning()
assert reuse == "0" or reuse_large_blocks(), "this system's memory cannot be set, or was set by the user"
import torch
from ops.common.device import Compute
from ops.models.recognizer import build_model
from ops.models.runtimes import inference_network

torch.manual_seed(0)
model = build_model(arch, 400, 8)
pixels = torch.randint(0, 256, (int(clips), 8, 3, int(size), int(size)), dtype=torch.uint8)
labels = torch.randint(0, 400, (int(clips),))
optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
if kind == "scores":
    compute = Compute(torch.device("cpu"))
    network = inference_network(model, compute)

def step():
    if kind == "scores":
        with torch.inference_mode():
            return network(pixels)
    loss = torch.nn.functional.cross_entropy(model(pixels), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

step()
step()
before, cpu, wall = resource.getrusage(resource.RUSAGE_SELF), time.process_time(), time.perf_counter()
for _ in range(int(steps)):
    step()
after = resource.getrusage(resource.RUSAGE_SELF)
pages = (after.ru_minflt - before.ru_minflt) * resource.getpagesize() / 2**20
shares = (time.perf_counter() - wall, time.process_time() - cpu, pages)
print(*(share / int(steps) for share in shares), after.ru_maxrss / 1024)
"""
"""Prints wall and CPU seconds and MiB of new pages per step, and the peak memory in MiB."""

WORK = {
    "training step, TANet-50, {clips} × 8 × {size}²": ("training", "resnet50", (2, 4), 224),
    "training step, TANet-18, {clips} × 8 × {size}²": ("training", "resnet18", (16,), 112),
    "scores, TANet-50, {clips} × 8 × {size}²": ("scores", "resnet50", (1, 2, 3), 224),
}
"""Name → kind, network, numbers of clips, input size."""


def main() -> int:
    """Measure, print and write the results."""
    args = make_parser().parse_args()
    from benchmarks.timing import machine, publish, table

    rows, facts = [], []
    for name, (kind, arch, counts, size) in WORK.items():
        for clips in counts:
            what = name.format(clips=clips, size=args.size or size)
            figures = measured(kind, arch, clips, args.size or size, args.rounds, args.steps)
            rows += rows_of(what, figures)
            facts.append({"what": what, **figures})
    import torch

    title = f"{machine(torch.device('cpu'))}, {torch.get_num_threads()} threads; median of {args.rounds} rounds (range)"
    text = f"{title}\n\n{table(HEADER, rows)}"
    publish(text, args.output, {"title": title, "rows": facts})
    return EXIT_DONE


def make_parser() -> argparse.ArgumentParser:
    """The parser of this benchmark."""
    parser = Parser(prog="python benchmarks/heap.py", description=__doc__)
    parser.add_argument("--rounds", type=positive, default=3, metavar="N", help="default: 3")
    parser.add_argument("--steps", type=positive, default=5, metavar="N", help="steps per round (default: 5)")
    parser.add_argument("--size", type=positive, metavar="PIXELS", help="input size (default: 224 and 112)")
    parser.add_argument("--output", metavar="NAME", help="write NAME.json and NAME.md")
    return parser


def measured(kind: str, arch: str, clips: int, size: int, rounds: int, steps: int) -> dict[str, list[list[float]]]:
    """For both settings, the figures of each round: wall and CPU seconds, MiB of new pages, MiB at the peak."""
    found: dict[str, list[list[float]]] = {DEFAULT: [], REUSED: []}
    for _ in range(rounds):
        for name, each in found.items():
            work = (str(int(name == REUSED)), kind, arch, str(clips), str(size), str(steps))
            printed = cost_of([sys.executable, "-c", WORKER, str(ROOT), *work]).printed
            each.append([float(figure) for figure in printed.split()])
    return found


def rows_of(what: str, figures: dict[str, list[list[float]]]) -> list[tuple[str, ...]]:
    """A row for each setting."""
    base = statistics.median(cpu for _, cpu, *_ in figures[DEFAULT])
    rows = []
    for name, rounds in figures.items():
        walls, cpus, pages, peaks = (list(column) for column in zip(*rounds, strict=True))
        ratio = f"{statistics.median(cpus) / base:.2f}"
        rows.append((what, name, spread(walls, 2), spread(cpus, 2), ratio, spread(pages, 0), spread(peaks, 0)))
    return rows


if __name__ == "__main__":
    run(main)
