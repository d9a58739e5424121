"""Measure training, testing and memory on a GPU, in every precision and memory format, and write a report.

    python -m benchmarks.gpu_report
    python -m benchmarks.gpu_report --minutes 30 --clips 64 --output benchmarks/results/a100_large

TANet-50 is compared with a ResNet-50 without TAM and with a reimplementation of the published method, in turn in the
same rounds. Without --output the report is named after the GPU: benchmarks/results/DEVICE.md and .json. Run
`bash scripts/gpu_report.sh` to test this project on the GPU first. --quick tries everything in seconds, also on a CPU.
"""

import gc
import re
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.network import VARIANTS, Load, make_model, peak_of_steps, scoring, training_step, wait_for
from benchmarks.timing import Row, Timing, compare, machine, save, table
from ops.common.arguments import AMP, Parser, above_zero, positive
from ops.common.device import Compute, compute_of, pick_device
from ops.common.errors import EXIT_DONE, InputError, run
from ops.models.fused_filter import can_fuse

RESULTS = Path(__file__).resolve().parent / "results"
AS_RUN_TODAY = "published method as its code runs today"
"""Contiguous float32 with TF32 convolutions, which is PyTorch's default."""

HEADER = ("how", "what", "against", "ours, ms", "other, ms", "ratio", "target")
TARGETS = {"training": "≤ 1.10", "throughput": "≥ 2.5", "latency": "≤ 1.3"}
ENOUGH_CLIPS = 32
"""The target for training steps only applies to steps of at least this many clips."""


@dataclass(frozen=True)
class Setting:
    """One way to compute, given by flags of the scripts."""

    amp: str = "off"
    channels_last: bool = True
    tf32: bool = False
    compile: bool = False

    def __str__(self) -> str:
        words = {"off": "TF32" if self.tf32 else "float32"}.get(self.amp, self.amp)
        layout = "channels last" if self.channels_last else "contiguous"
        return f"{words}, {layout}" + (", compiled" if self.compile else "")

    def compute(self, device: torch.device) -> Compute:
        """The way to compute on `device`; InputError if the device does not support it."""
        return compute_of(Namespace(**asdict(self), deterministic=False), device, fixed_shapes=True)


def settings_for(device: torch.device) -> list[Setting]:
    """All settings to measure. The first one is the recommended one, to which the targets apply."""
    half = [name for name in AMP if name != "off"]
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        half.remove("bf16")
    recommended, default = Setting(half[0]), Setting(channels_last=False)
    others = [Setting(), Setting(tf32=True), *(Setting(amp) for amp in half[1:])]
    contiguous = [replace(setting, channels_last=False) for setting in (recommended, *others[1:])]
    return [recommended, replace(recommended, compile=True), default, *others, *contiguous]


@dataclass
class Report:
    """The measurements: rows by setting, clips per second and MiB, and the settings left out with the reasons."""

    rows: list[tuple[str, Row]] = field(default_factory=list)
    speeds: list[list[str]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def add(self, setting: Setting, what: str, times: Mapping[str, Timing], targets: Mapping[str, str]) -> None:
        """Add rows that compare ours with each other variant; `targets` holds targets for some of the ratios."""
        names = {
            "plain": "ResNet-50 without TAM", "unfused": "TAM without its Triton kernels",
            "published": "published method", "today": AS_RUN_TODAY,
        }  # fmt: skip
        for name, against in names.items():
            if name in times:
                target = targets.get(name, "≤ reported" if name == "plain" else "≥ reported")
                self.rows.append((str(setting), Row(what, against, times["ours"], times[name], target)))

    def verdicts(self) -> list[str]:
        """A line for each row with a target that says whether it was met."""
        lines = []
        for setting, row in self.rows:
            sign, wanted = row.target.split()
            if wanted != "reported":
                met = row.ratio <= float(wanted) if sign == "≤" else row.ratio >= float(wanted)
                lines.append(
                    f"- {row.what}, {setting}, against {row.against}: {row.ratio:.2f} (target {row.target}): "
                    f"{'met' if met else '**missed**'}"
                )
        return lines


def main() -> int:
    """Measure, print and write the report."""
    args = make_parser().parse_args()
    device = pick_device(None, args.device or "cuda")
    end = time.monotonic() + 60 * args.minutes
    load, rounds, settings = Load(args.clips), args.rounds, settings_for(device)
    if args.quick:
        load, rounds = Load(1, 32, "resnet18"), 1
        settings = settings if device.type == "cuda" else [Setting(), Setting(tf32=True)]
    report, title = Report(), machine(device)
    for number, setting in enumerate(settings):
        if number and time.monotonic() > end:
            report.left_out += [f"{left}: no time left (--minutes {args.minutes:g})" for left in settings[number:]]
            break
        try:
            measure(report, setting, setting.compute(device), load, rounds, targets=number < 2)
        except InputError as error:
            report.left_out.append(f"{setting}: {error}")
        sys.stderr.write(f"measured: {setting}\n")
    text = describe(title, report, load, rounds, args.tests)
    sys.stdout.write(text)
    facts = {
        "title": title, "tests": args.tests, "rounds": rounds, "left_out": report.left_out, "speeds": report.speeds,
        "rows": [{"setting": setting, **row.plain()} for setting, row in report.rows],
    }  # fmt: skip
    save(str(args.output or RESULTS / file_name(device)), text, facts)
    return EXIT_DONE


def make_parser() -> Parser:
    """The parser of the report."""
    parser = Parser(prog="python -m benchmarks.gpu_report", usage="%(prog)s [options]", description=__doc__)
    parser.add_argument("--clips", type=positive, default=ENOUGH_CLIPS, metavar="N",
                        help="clips in a step; fewer where memory is short (default: 32)")  # fmt: skip
    parser.add_argument("--rounds", type=positive, default=7, metavar="N", help="rounds of measurement (default: 7)")
    parser.add_argument("--minutes", type=above_zero, default=12.0, metavar="M",
                        help="begin no other setting after M minutes (default: 12)")  # fmt: skip
    parser.add_argument("--device", metavar="NAME", help="cuda or cuda:N (default: cuda)")
    parser.add_argument("--tests", default="not run", metavar="TEXT", help="what the tests said, for the report")
    parser.add_argument("--output", metavar="NAME", help="write NAME.json and NAME.md")
    parser.add_argument("--quick", action="store_true", help="tiny networks: to try the report, not to measure")
    return parser


def file_name(device: torch.device) -> str:
    """The name of the GPU as a file name: `NVIDIA A100-SXM4-80GB` → `nvidia_a100_sxm4_80gb`."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "gpu"


def measure(report: Report, setting: Setting, compute: Compute, load: Load, rounds: int, targets: bool) -> None:
    """Add the rows of a setting to `report`, with targets if `targets`; compiled networks only get rows of one clip."""
    today, size = Compute(compute.device), load.size
    one = test(compute, today, replace(load, clips=1), 3 * rounds)
    report.add(setting, "scores of one clip", one.times, {"plain": TARGETS["latency"]} if targets else {})
    if setting.compile:  # compiling takes a minute per network and number of clips
        return
    wanted = {"today": TARGETS["throughput"]} if targets else {}
    tested = fitting(lambda clips: test(compute, today, replace(load, clips=clips), rounds), load.clips)
    report.add(setting, f"scores of {tested.clips} clips, 8 × {size}²", tested.times, wanted)
    trained = fitting(lambda clips: train(compute, today, replace(load, clips=clips), rounds), load.clips)
    if targets and trained.clips >= ENOUGH_CLIPS:
        wanted["plain"] = TARGETS["training"]
    report.add(setting, f"training step, {trained.clips} × 8 × {size}²", trained.times, wanted)
    for name in _variants(compute):
        speeds = (f"{measured.clips / measured.times[name].median:.1f}" for measured in (trained, tested))
        memory = f"{trained.memory[name]:.0f}" if trained.memory else ""
        report.speeds.append([str(setting), name, *speeds, memory])


@dataclass(frozen=True)
class Measured:
    """Times of a step by variant, its number of clips, and its peak memory in MiB by variant."""

    clips: int
    times: dict[str, Timing]
    memory: dict[str, float] = field(default_factory=dict)


def fitting(step: Callable[[int], Measured], clips: int) -> Measured:
    """Return `step(clips)`, halving the number of clips until they fit into the memory of the GPU."""
    while True:
        try:
            return step(clips)
        except torch.OutOfMemoryError:
            if clips == 1:
                raise
        clips //= 2
        _free()


def train(compute: Compute, today: Compute, load: Load, rounds: int) -> Measured:
    """Measure a training step of each variant."""
    names = _variants(compute)
    memory = {name: _peak(name, compute, load) for name in names} if compute.device.type == "cuda" else {}
    _free()
    steps = {name: training_step(name, compute, load) for name in names}
    steps["today"] = _with_tf32(training_step("published", today, load))
    return Measured(load.clips, compare(steps, rounds, wait_for(compute.device), warmups=2), memory)


def test(compute: Compute, today: Compute, load: Load, rounds: int) -> Measured:
    """Measure the scores of clips by each variant. Batch norms are folded, except in the published method."""
    if compute.compile:
        torch.compiler.reset()  # drops networks compiled for other sizes
    models = {name: make_model(name, compute, load.arch).eval() for name in _variants(compute)}
    networks = {name: compute.for_inference(model) for name, model in models.items() if name != "published"}
    steps = {name: scoring(networks.get(name, model), compute, load) for name, model in models.items()}
    published = make_model("published", today, load.arch).eval()
    steps["today"] = _with_tf32(scoring(published, today, load))
    return Measured(load.clips, compare(steps, rounds, wait_for(compute.device), warmups=3))


def _variants(compute: Compute) -> tuple[str, ...]:
    """The networks to measure; where TAM has kernels of its own, also the same network without them."""
    fused = not compute.compile and can_fuse(torch.empty(1, device=compute.device))
    return (*VARIANTS, "unfused") if fused else VARIANTS


def _peak(name: str, compute: Compute, load: Load) -> float:
    """Peak memory of two training steps in MiB, including everything else that this process keeps on the GPU."""
    _free()
    torch.cuda.reset_peak_memory_stats(compute.device)
    return peak_of_steps(name, compute, load)


def _free() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _with_tf32(step: Callable[[], object]) -> Callable[[], object]:
    """Return `step` with TF32 in convolutions, which is PyTorch's default."""

    def run_step() -> None:
        before = torch.backends.cudnn.allow_tf32
        torch.backends.cudnn.allow_tf32 = True
        try:
            step()
        finally:
            torch.backends.cudnn.allow_tf32 = before

    return run_step


def describe(title: str, report: Report, load: Load, rounds: int, tests: str) -> str:
    """The whole report as Markdown."""
    rows = [[setting, *row.cells()] for setting, row in report.rows]
    lines = [
        f"# {title}", "", f"Tests on this device (`python -m pytest -m gpu`): {tests}.", "", "## Targets", "",
        *report.verdicts(), "", "## Times", "",
        f"Median of {rounds} rounds ({3 * rounds} for one clip), with the range, in which the compared networks take "
        f"turns. Under ≥ the ratio says how many times as long the other takes, under ≤ how many times as long ours. "
        f"The {AS_RUN_TODAY} is float32 with TF32 convolutions, PyTorch's default, contiguous.",
        "", table(HEADER, rows).rstrip(), "", "## Speed and memory", "",
        table(("how", "network", "training, clips/s", "test, views/s", "training, MiB"), report.speeds).rstrip(),
    ]  # fmt: skip
    if report.left_out:
        lines += ["", "## Left out", "", *(f"- {line}" for line in report.left_out)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run(main)
