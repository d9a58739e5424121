"""Compare temporal modules on one page, from runs that were trained in the same way.

    python tools/compare_modules.py runs/motion
    python tools/compare_modules.py runs/motion --output compared --no_latency

FOLDER has a folder for each run, named MODULE_seedN, with the test's results in its test/. scripts/compare_modules.sh
makes them. Writes modules.html, modules.md and modules.csv: accuracy with its spread over seeds, parameters,
multiply-adds, latency of a clip (measured here, all modules in turns), training time per step, curves and classes.
"""

import argparse
import json
import logging
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ops.common.arguments import Parser
from ops.common.console import start_logging
from ops.common.errors import EXIT_DONE, EXIT_WITH_FAILURES, InputError, run
from ops.common.storage import atomic_file, check_writable
from ops.common.timing import median_seconds

if TYPE_CHECKING:
    from ops.report.modules import Cost

log = logging.getLogger("ops.report.modules")

CHECKPOINT = "ckpt.pth.tar"
TURNS = 7
"""Timings of each network; the median is reported."""


def make_parser() -> argparse.ArgumentParser:
    """The parser of this tool."""
    parser = Parser(description=__doc__)
    parser.add_argument("folder", metavar="FOLDER", help="folder of the runs")
    parser.add_argument("--output", metavar="DIR", help="folder for the results (default: FOLDER)")
    parser.add_argument("--no_latency", action="store_true", help="do not measure how long a clip takes")
    return parser


def main() -> int:
    """Read the runs, measure the networks and write the page."""
    args = make_parser().parse_args()
    from ops.report.modules import group_runs, markdown_table, write_csv, write_modules_page
    from ops.report.results import read_results

    start_logging()
    folders = sorted(path.parent for path in Path(args.folder).glob("*_seed*/args.json"))
    if not folders:
        raise InputError(f"{args.folder}: has no runs, which would be folders named MODULE_seedN with args.json")
    output = Path(args.output or args.folder)
    check_writable(output / "modules.html")
    found = read_results([f"{folder.name}={folder}" for folder in folders])
    modules = group_runs(found)
    costs = measure(_first_checkpoints(folders), not args.no_latency)
    for module in modules:
        module.cost = costs.get(module.name)
    facts, chance = _facts_of(folders)
    write_modules_page(output / "modules.html", modules, facts, chance)
    write_csv(output / "modules.csv", modules)
    table = markdown_table(modules)
    with atomic_file(output / "modules.md", "w", encoding="utf-8") as file:
        file.write(table)
    sys.stdout.write(table)
    for module in modules:
        for problem in module.problems:
            log.warning("%s", problem)
    log.info("written: %s", output / "modules.html")
    return EXIT_WITH_FAILURES if any(module.problems for module in modules) else EXIT_DONE


def _first_checkpoints(folders: list[Path]) -> dict[str, Path]:
    """Module → the checkpoint of its first seed."""
    from ops.report.modules import RUN_NAME

    first: dict[str, Path] = {}
    for folder in folders:
        match = RUN_NAME.fullmatch(folder.name)
        if match and (folder / CHECKPOINT).is_file():
            first.setdefault(match["module"], folder / CHECKPOINT)
    return first


def measure(networks: Mapping[str, Path], timed: bool) -> dict[str, "Cost"]:
    """Parameters and multiply-adds of each network and, if `timed`, the latency of a clip, on the CPU and in turns."""
    import torch

    from ops.common.device import Compute
    from ops.models.checkpoint import model_of, read_checkpoint
    from ops.models.flops import multiply_adds
    from ops.report.modules import Cost

    compute = Compute(torch.device("cpu"))
    sizes, runs = {}, []
    for name, path in networks.items():
        checkpoint = read_checkpoint(path)
        model = model_of(checkpoint)
        pixels = int(checkpoint.meta.get("input_size") or 224)
        sizes[name] = (sum(value.numel() for value in model.parameters()), multiply_adds(model, pixels))
        clip = torch.zeros(1, model.num_segments, model.channels, pixels, pixels, dtype=torch.uint8)
        runs.append(partial(compute.for_inference(model), clip))
    with torch.inference_mode():
        seconds = median_seconds(runs, TURNS) if timed else [None] * len(runs)
    return {name: Cost(*size, latency) for (name, size), latency in zip(sizes.items(), seconds, strict=True)}


def _facts_of(folders: list[Path]) -> tuple[dict[str, str], float | None]:
    """What all runs have in common, in words, and the chance accuracy in percent."""
    written = json.loads((folders[0] / "args.json").read_text())
    arguments = written.get("arguments", written)
    keys = ("dataset", "arch", "num_segments", "input_size", "epochs", "batch_size", "lr", "pretrain", "weight_decay")
    facts = {key: str(arguments[key]) for key in keys if arguments.get(key) is not None}
    facts["device"] = str(written.get("device", "?"))
    names = folders[0] / "test" / "per_class.csv"
    classes = len(names.read_text(encoding="utf-8").splitlines()) - 1 if names.is_file() else 0
    return facts, 100 / classes if classes > 0 else None


if __name__ == "__main__":
    run(main)
