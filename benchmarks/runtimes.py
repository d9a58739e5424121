"""Compare the runtimes of a trained network on a CPU: CPU time and memory, relative to PyTorch or an earlier checkout.

    OMP_NUM_THREADS=1 python benchmarks/runtimes.py --output benchmarks/results/cpu_runtimes
    OMP_NUM_THREADS=1 python benchmarks/runtimes.py --against ../earlier --runtimes torch onnxruntime openvino
    OMP_NUM_THREADS=1 python benchmarks/runtimes.py --only process --rounds 3
    OMP_NUM_THREADS=1 python benchmarks/runtimes.py --only network --runtimes "openvino int8"  # needs nncf

The runtimes take turns. The scores of one clip and of three clips are measured in one process, tools/predict.py with
a video of 10 seconds as a whole process. Times are medians with the range. --output NAME writes NAME.json and NAME.md.
With --against FOLDER, PyTorch in another checkout takes part, ratios are relative to it, and the targets are shown.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from torch import nn

from benchmarks.other_scores import OtherCheckout
from benchmarks.prepare import draw_video
from benchmarks.processes import ROOT, cost_of, other_checkout, spread
from benchmarks.timing import compare, machine, milliseconds, publish, table
from ops.common.arguments import Parser, positive
from ops.common.device import Compute
from ops.common.errors import EXIT_DONE, run
from ops.common.text import counted
from ops.models.recognizer import build_model
from ops.models.runtimes import choose_runtime, folded_network, inference_network, open_session, openvino_core

HEADER = ("what", "runtime", "CPU time", "ratio", "target", "difference of the logits", "peak memory, MiB")

SINGLE = "torch, single operations"
"""PyTorch without packed convolutions, to see what they save. Only the network is measured."""

VARIANTS = {
    "torch": "≤ 0.65",
    SINGLE: "",
    "torch bf16": "≤ 0.36",
    "onnxruntime": "≤ 0.65",
    "openvino": "≤ 0.65",
    "openvino bf16": "≤ 0.36",
    "openvino int8": "≤ 0.36",
}
"""Runtime (with its precision if that is not float32) → target for the time of the network, relative to `--against`."""

INT8 = "openvino int8"
"""The network as `tools/export.py --precision int8` writes it. It needs NNCF, and only the network is measured."""

PROCESS_TARGET = "≤ 0.5"
PARTS = ("network", "process")

EARLIER = "torch, the other checkout"
"""PyTorch in the checkout of `--against`."""

WITH_PEAK = """
import atexit, os, re, runpy, sys
atexit.register(lambda: print("peak", re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1]))
sys.argv = sys.argv[1:]
sys.path.insert(0, os.path.dirname(sys.argv[0]))
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs a script and prints the peak memory of the process in KiB. This works only on Linux."""


@dataclass(frozen=True)
class Row:
    """A measurement; `difference` is relative to the norm of PyTorch's logits in float32."""

    what: str
    variant: str
    shown: str
    ratio: float
    target: str
    difference: float | None = None
    peak: float | None = None

    def cells(self) -> list[str]:
        """The cells of the table."""
        difference = "" if self.difference is None else f"{self.difference:.1e}"
        peak = "" if self.peak is None else f"{self.peak:.0f}"
        return [self.what, self.variant, self.shown, f"{self.ratio:.2f}", self.target, difference, peak]


def main() -> int:
    """Measure, print and write the results."""
    args = make_parser().parse_args()
    rows: list[Row] = []
    if "network" in args.only:
        rows += [row for clips in (1, 3) for row in network_rows(args, clips)]
    if "process" in args.only:
        rows += process_rows(args)
    cpu = machine(torch.device("cpu"))
    title = f"{cpu}, {torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads"
    text = f"{title}\n\n{table(HEADER, [row.cells() for row in rows])}"
    publish(text, args.output, {"title": title, "rows": [vars(row) for row in rows]})
    return EXIT_DONE


def make_parser() -> argparse.ArgumentParser:
    """The parser of this benchmark."""
    parser = Parser(prog="python benchmarks/runtimes.py", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help="network or process")
    without_nncf = tuple(name for name in VARIANTS if name != INT8)
    parser.add_argument("--runtimes", nargs="+", choices=tuple(VARIANTS), default=without_nncf, metavar="NAME",
                        help=f"what to measure: {', '.join(VARIANTS)} (default: all but {INT8})")  # fmt: skip
    parser.add_argument(
        "--against", metavar="FOLDER", help="another checkout of this project, for example an earlier one"
    )
    parser.add_argument("--arch", default="resnet50", metavar="NAME", help="default: resnet50")
    parser.add_argument("--size", type=positive, default=224, metavar="PIXELS", help="input size (default: 224)")
    parser.add_argument("--videos", type=positive, default=1, metavar="N", help="videos for predict.py (default: 1)")
    parser.add_argument("--rounds", type=positive, default=9, metavar="N", help="default: 9")
    parser.add_argument("--output", metavar="NAME", help="write NAME.json and NAME.md")
    return parser


def make_model(arch: str) -> nn.Module:
    """A TANet of 8 segments with random weights, whose scores depend on the clip."""
    torch.manual_seed(0)
    return build_model(arch, 400, 8).eval()


def compute_for(variant: str) -> Compute:
    """The way in which a variant computes."""
    runtime, _, amp = variant.partition(" ")
    return choose_runtime(Compute(torch.device("cpu"), amp or "off"), runtime)


@torch.inference_mode()
def network_rows(args: argparse.Namespace, clips: int) -> list[Row]:
    """Rows of the CPU time for the scores of `clips` clips."""
    model = make_model(args.arch)
    pixels = torch.randint(0, 256, (clips, 8, 3, args.size, args.size), dtype=torch.uint8)
    wanted = model(pixels)
    steps, differences = {}, {}
    for variant in unique(("torch", *args.runtimes)):
        compute = compute_for("torch" if variant in (SINGLE, INT8) else variant)
        network = make_network(variant, model, compute, args.size)
        steps[variant] = partial(score, network, compute, pixels)
        differences[variant] = float((steps[variant]() - wanted).norm() / wanted.norm())
    what, base = f"scores of {clips} × 8 × {args.size}², {args.arch}, ms", EARLIER if args.against else "torch"
    with ExitStack() as stack:
        if args.against:
            other = stack.enter_context(OtherCheckout(other_checkout(args.against), args.arch, clips, args.size))
            steps[EARLIER] = other.score
            times = compare(steps, args.rounds, clock=lambda: time.process_time() + other.seconds)
        else:
            times = compare(steps, args.rounds, clock=time.process_time)
    return [
        Row(what, name, milliseconds(took), took.median / times[base].median,
            VARIANTS.get(name, "") if args.against else "", differences.get(name))
        for name, took in times.items()
    ]  # fmt: skip


def make_network(variant: str, model: nn.Module, compute: Compute, size: int) -> nn.Module:
    """`model` as `variant` computes it."""
    if variant == SINGLE:
        return folded_network(model, compute)
    if variant == INT8:
        return Int8Network(model, size)
    return inference_network(model, compute)


class Int8Network(nn.Module):
    """`model` quantised for OpenVINO, one clip at a time; the ranges of its values are those of random pixels."""

    def __init__(self, model: nn.Module, size: int) -> None:
        super().__init__()
        import onnx
        import openvino

        from ops.export.onnx_export import to_onnx
        from ops.export.openvino_export import quantised

        clips = torch.randint(0, 256, (8, 1, 8, 3, size, size), dtype=torch.uint8).numpy()
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder, "model.onnx"), Path(folder, "model.xml")
            onnx.save(to_onnx(model, (8, 3, size, size), "fp32"), source)
            openvino.save_model(quantised(openvino_core().read_model(source), clips), target, compress_to_fp16=False)
            self.session = open_session("openvino", target)

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """`clips [N, T, C, H, W]` → logits `[N, K]`."""
        return torch.cat([torch.from_numpy(self.session(clip[None].numpy())) for clip in clips])


def score(network: nn.Module, compute: Compute, pixels: torch.Tensor) -> torch.Tensor:
    """The logits of `pixels`, float32."""
    with compute.autocast():
        logits: torch.Tensor = network(pixels)
    return logits.float()


def unique(names: tuple[str, ...]) -> list[str]:
    """The names in order, without repetitions."""
    return list(dict.fromkeys(names))


def process_rows(args: argparse.Namespace) -> list[Row]:
    """Rows of `tools/predict.py` with videos of 10 seconds: CPU seconds and peak memory of whole processes."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "v").mkdir()
        for number in range(args.videos):
            draw_video(Path(folder, f"v/{number}.mp4"), number)
        weights = {"state_dict": make_model(args.arch).state_dict(), "arch": args.arch}
        torch.save(weights, Path(folder, "w.pth.tar"))
        rows = []
        for sample in ("uniform-1", "dense-10"):
            commands = {
                name: partial(predict, Path(folder), name, sample)
                for name in unique(("torch", *args.runtimes))
                if name not in (SINGLE, INT8)
            }
            if args.against:
                commands[EARLIER] = partial(predict, Path(folder), "", sample, other_checkout(args.against))
            rows += rows_of(
                f"predict.py, {counted(args.videos, 'video')} of 10 s, {sample}, {args.arch}, s", commands, args.rounds
            )
        return rows


def predict(folder: Path, variant: str, sample: str, checkout: Path | None = None) -> tuple[float, float]:
    """CPU seconds and peak memory in MiB of the predictions, by default in this checkout; "" is PyTorch in float32."""
    runtime, _, amp = variant.partition(" ")
    script = ("tools/predict.py", "v", "--weights", "w.pth.tar", "--device", "cpu", "-j", "1", "--sample", sample)
    how = ["--runtime", runtime, "--amp", amp or "off"] if runtime else []  # an older script has no --runtime
    command = [sys.executable, "-c", WITH_PEAK, str((checkout or ROOT) / script[0]), *script[1:], *how]
    cost = cost_of(command, folder)
    return cost.cpu, float(cost.printed.rsplit("peak", 1)[1]) / 1024


def rows_of(what: str, commands: Mapping[str, Callable[[], tuple[float, float]]], rounds: int) -> list[Row]:
    """The rows of commands that are run in turn, after one warm-up round."""
    costs: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            cost = command()
            if number:
                costs[name].append(cost)
    seconds = {name: [cpu for cpu, _ in each] for name, each in costs.items()}
    base = statistics.median(seconds[EARLIER if EARLIER in seconds else "torch"])
    return [
        Row(what, name, spread(seconds[name], 2), statistics.median(seconds[name]) / base,
            PROCESS_TARGET if EARLIER in seconds and name != EARLIER else "", peak=max(peak for _, peak in costs[name]))
        for name in commands
    ]  # fmt: skip


if __name__ == "__main__":
    run(main)
