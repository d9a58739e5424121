"""Measure how threads that wait for each other load the machine: the demo's training and test, wall and CPU time.

    python benchmarks/threads.py --against ../older-checkout --output benchmarks/results/cpu_threads
    python benchmarks/threads.py --against ../older-checkout --loaded --output benchmarks/results/cpu_threads_loaded
    python benchmarks/threads.py --try OMP_WAIT_POLICY=PASSIVE GOMP_SPINCOUNT=10000

Each round runs 25 training steps and the test of 160 videos, both with two loader processes: in this checkout, with
--against in another one, and in this checkout again under each setting that --try names. With --loaded, one process per
core computes at the same time. Times are medians with the range. --output NAME writes NAME.json and NAME.md.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.processes import ROOT, Cost, cost_of, other_checkout, spread, users_environment
from ops.common.arguments import Parser, positive
from ops.common.errors import EXIT_DONE, InputError, run
from ops.common.threads import SPINNING

HEADER = ("command", "run as", "wall, s", "CPU, s", "wall, ratio", "CPU, ratio")
OURS = "this checkout"

COMMON = ("--num_segments", "8", "--input_size", "56", "-j", "2", "--device", "cpu")
COMMANDS: dict[str, tuple[str, ...]] = {
    "training": (
        "online_main.py", "motion", "RGB", "--arch", "resnet18", "--tam", "--pretrain", "none", "--epochs", "1",
        "-b", "8", "--npb", "--max_steps", "25", "--store_name", "run", *COMMON,
    ),
    "test": ("online_test_models.py", "motion", "--weights", "w.pth.tar", "--sample", "uniform-1", "--test_crops", "1",
             *COMMON[2:]),
}  # fmt: skip


def main() -> int:
    """Measure, print and write the results."""
    args = make_parser().parse_args()
    variants: dict[str, tuple[Path, dict[str, str]]] = {OURS: (ROOT, {})}
    if other := other_checkout(args.against):
        variants[other.name] = (other, {})
    for setting in args.settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise InputError(f"--try {setting}: expected NAME=VALUE, an environment variable")
        variants[setting] = (ROOT, {name: value})
    from benchmarks.timing import machine, publish, table

    with tempfile.TemporaryDirectory() as folder, busy(args.loaded):
        rows = compare(args.only or tuple(COMMANDS), variants, Path(folder), args.rounds)
    import torch

    state = "beside one busy process per core" if args.loaded else "otherwise idle"
    title = f"{machine(torch.device('cpu'))}; {state}; median of {args.rounds} (range)"
    text = f"{title}\n\n{table(HEADER, [cells_of(row) for row in rows])}"
    publish(text, args.output, {"title": title, "rows": rows})
    return EXIT_DONE


def make_parser() -> argparse.ArgumentParser:
    """The parser of this benchmark."""
    parser = Parser(prog="python benchmarks/threads.py", description=__doc__)
    parser.add_argument("--against", metavar="DIR", help="another checkout, to which times are divided")
    parser.add_argument("--try", dest="settings", nargs="+", default=[], metavar="NAME=VALUE",
                        help=f"environment variables to try, one at a time (the scripts set {SPINNING})")  # fmt: skip
    parser.add_argument("--only", nargs="+", choices=tuple(COMMANDS), metavar="COMMAND", help="default: all")
    parser.add_argument("--loaded", action="store_true", help="keep every core busy beside it")
    parser.add_argument("--rounds", type=positive, default=3, metavar="N", help="default: 3")
    parser.add_argument("--output", metavar="NAME", help="write NAME.json and NAME.md")
    return parser


def compare(
    commands: tuple[str, ...], variants: Mapping[str, tuple[Path, Mapping[str, str]]], folder: Path, rounds: int
) -> list[dict[str, object]]:
    """A row per command and variant, measured in turn; ratios are relative to the second variant if there is one."""
    make_files(folder)
    times: dict[tuple[str, str], list[Cost]] = {}
    for number in range(rounds):
        for command in commands:
            for place, (name, (root, settings)) in enumerate(variants.items()):
                target = folder / f"{command}-{number}-{place}"
                times.setdefault((command, name), []).append(cost(command, root, settings, folder, target))
    base = list(variants)[min(1, len(variants) - 1)]
    return [row_of(command, name, each, times[command, base]) for (command, name), each in times.items()]


def row_of(command: str, name: str, times: list[Cost], base: list[Cost]) -> dict[str, object]:
    """The row of a command as plain data."""
    wall, cpu = [each.wall for each in times], [each.cpu for each in times]
    ratios = [
        statistics.median(wall) / statistics.median(each.wall for each in base),
        statistics.median(cpu) / statistics.median(each.cpu for each in base),
    ]
    return {"command": command, "run as": name, "wall": wall, "cpu": cpu, "ratios": ratios}


def cells_of(row: Mapping[str, object]) -> tuple[str, ...]:
    """The row as cells of a table."""
    wall, cpu, ratios = row["wall"], row["cpu"], row["ratios"]
    assert isinstance(wall, list) and isinstance(cpu, list) and isinstance(ratios, list)
    return (
        str(row["command"]),
        str(row["run as"]),
        spread(wall, 1),
        spread(cpu, 1),
        *(f"{ratio:.2f}" for ratio in ratios),
    )


def make_files(folder: Path) -> None:
    """A checkpoint and the dataset for the commands."""
    import torch

    from ops.data import motion
    from ops.models.recognizer import build_model

    torch.manual_seed(0)
    model = build_model("resnet18", len(motion.CLASSES), 8, tam=True)
    torch.save({"state_dict": model.state_dict(), "arch": "resnet18"}, folder / "w.pth.tar")
    motion.make(folder / "Motion", "videos", False)


@contextmanager
def busy(loaded: bool) -> Iterator[None]:
    """If `loaded`, keep every core busy with a process while the block runs."""
    burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"])
               for _ in range((os.cpu_count() or 1) if loaded else 0)]  # fmt: skip
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


def cost(command: str, root: Path, settings: Mapping[str, str], folder: Path, output: Path) -> Cost:
    """The cost of one run of a command."""
    script, *arguments = COMMANDS[command]
    where = ["--output", str(output)] if command == "test" else ["--root_log", str(output), "--root_model", str(output)]
    environment = {**users_environment(), "TAM_DATASETS": str(folder), **settings}
    return cost_of([sys.executable, str(root / script), *arguments, *where], folder, environment=environment)


if __name__ == "__main__":
    run(main)
