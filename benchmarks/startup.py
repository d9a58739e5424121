"""Measure the start-up cost of commands: CPU seconds of the whole process.

    python benchmarks/startup.py
    python benchmarks/startup.py --against ../older-checkout --output benchmarks/results/cpu_startup

Each command runs in this checkout and, with --against, in another one, in turn, after a warm-up round. Without
--against, it is compared with `import torch, torchvision`. Times are medians with the range. --output NAME writes
NAME.json and NAME.md.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.processes import ROOT, cost_of, other_checkout, spread
from ops.common.arguments import Parser, positive
from ops.common.errors import EXIT_DONE, run

HEADER = ("command", "against", "ours, CPU s", "other, CPU s", "ratio", "target")
REFERENCE = "import torch, torchvision"

UNTIL_THE_FIRST_STEP = """
import os, runpy, sys
import torch
torch.nn.modules.module.register_module_forward_pre_hook(lambda *_: os._exit(0))
sys.argv = sys.argv[1:]
sys.path.insert(0, os.path.dirname(sys.argv[0]))
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs a script and ends the process when a network is used for the first time."""

OUTPUT = "{output}"
"""A placeholder in commands for a separate folder of each checkout."""

MODEL = ("--input_size", "64", "--device", "cpu", "-j", "0")
TRAINING = ("--arch", "resnet18", "--tam", "--num_segments", "4", "--pretrain", "none", "-b", "2", "--npb", *MODEL)

COMMANDS: dict[str, tuple[str, int, tuple[str, ...]]] = {
    "main.py --help": ("≤ 0.10", 0, ("main.py", "--help")),
    "online_test_models.py --help": ("≤ 0.10", 0, ("online_test_models.py", "--help")),
    "tools/predict.py --help": ("≤ 0.10", 0, ("tools/predict.py", "--help")),
    "tools/extract_frames.py --help": ("≤ 0.10", 0, ("tools/extract_frames.py", "--help")),
    "an unknown flag": ("≤ 0.10", 2, ("main.py", "kinetics", "RGB", "--tamm")),
    "an unknown dataset": ("≤ 0.10", 2, ("main.py", "kinetic", "RGB")),
    "a list that does not exist": ("≤ 0.10", 2, ("main.py", "ucf101", "RGB", "--train_list", "none.txt")),
    "tools/show_checkpoint.py": ("≤ 0.50", 0, ("tools/show_checkpoint.py", "w.pth.tar")),
    "tools/predict.py, a video of 10 s": (
        "≤ 0.75", 0, ("tools/predict.py", "v.mp4", "--weights", "w.pth.tar", "--device", "cpu", "-j", "1")
    ),
    "online_test_models.py, one video": (
        "≤ 0.75",
        0,
        ("online_test_models.py", "custom", "--weights", "w.pth.tar", "--test_list", "l.txt",
         "--root_path", ".", "--output", OUTPUT, *MODEL),
    ),
    "training until the first step": (
        "≤ 0.75",
        0,
        ("online_main.py", "custom", "RGB", "--train_list", "l.txt", "--val_list", "l.txt", "--root_path", ".",
         "--root_log", OUTPUT, "--root_model", OUTPUT, "--num_class", "5", *TRAINING),
    ),
}  # fmt: skip
"""For each measurement, the target for the ratio, the exit status and the command."""


def main() -> int:
    """Measure, print and write the results."""
    args = make_parser().parse_args()
    other = other_checkout(args.against)
    from benchmarks.timing import machine, publish, table

    with tempfile.TemporaryDirectory() as folder:
        make_files(Path(folder))
        rows = [measured(name, other, Path(folder), args.rounds) for name in args.only or COMMANDS]
    import torch

    title = f"{machine(torch.device('cpu'))}; CPU seconds of whole processes, median of {args.rounds} (range)"
    text = f"{title}\n\n{table(HEADER, [cells for cells, _ in rows])}"
    publish(text, args.output, {"title": title, "rows": [plain for _, plain in rows]})
    return EXIT_DONE


def make_parser() -> argparse.ArgumentParser:
    """The parser of this benchmark."""
    parser = Parser(prog="python benchmarks/startup.py", description=__doc__)
    parser.add_argument("--against", metavar="DIR", help=f"another checkout (default: {REFERENCE})")
    parser.add_argument("--only", nargs="+", choices=tuple(COMMANDS), metavar="COMMAND", help="default: all")
    parser.add_argument("--rounds", type=positive, default=9, metavar="N", help="default: 9")
    parser.add_argument("--output", metavar="NAME", help="write NAME.json and NAME.md")
    return parser


def make_files(folder: Path) -> None:
    """A checkpoint, a video and a list for the commands."""
    import torch

    from benchmarks.prepare import draw_video
    from ops.models.recognizer import build_model

    torch.manual_seed(0)
    model = build_model("resnet18", 5, 4, tam=True)
    torch.save({"state_dict": model.state_dict(), "arch": "resnet18"}, folder / "w.pth.tar")
    draw_video(folder / "v.mp4", 0)
    (folder / "l.txt").write_text("v.mp4 0\nv.mp4 1\n")


def measured(name: str, other: Path | None, folder: Path, rounds: int) -> tuple[tuple[str, ...], dict[str, object]]:
    """The row of a command as cells and as plain data."""
    target, status, (script, *arguments) = COMMANDS[name]
    ours, theirs = [], []
    for number in range(rounds + 1):
        own = cpu_seconds(ROOT, script, arguments, status, folder, name)
        if other:
            against = cpu_seconds(other, script, arguments, status, folder, name)
        else:
            against = cost_of([sys.executable, "-c", REFERENCE], folder).cpu
        if number:
            ours.append(own)
            theirs.append(against)
    ratio = statistics.median(ours) / statistics.median(theirs)
    what = other.name if other else REFERENCE
    cells = (name, what, spread(ours, 2), spread(theirs, 2), f"{ratio:.2f}", target if other else "")
    return cells, {"command": name, "against": what, "ours": ours, "other": theirs, "ratio": ratio, "target": target}


def cpu_seconds(root: Path, script: str, arguments: Sequence[str], status: int, folder: Path, name: str) -> float:
    """CPU seconds of one run of a script of the checkout `root`, including its children."""
    start = ["-c", UNTIL_THE_FIRST_STEP] if "first step" in name else []
    given = [str(folder / root.name) if argument == OUTPUT else argument for argument in arguments]
    return cost_of([sys.executable, *start, str(root / script), *given], folder, status).cpu


if __name__ == "__main__":
    run(main)
