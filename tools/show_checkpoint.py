"""Describe checkpoints: model, classes, data, recipe, results, size and compute.

    python tools/show_checkpoint.py runs/mine/ckpt.best.pth.tar
    python tools/show_checkpoint.py a.pth.tar b.safetensors --json
    python tools/show_checkpoint.py --list                          # the published checkpoints; --json: with addresses

Checkpoints of this project, of the published code and of MMAction2 can be read. Facts that a file does not contain are
shown as unknown. GMACs are 10^9 multiply-adds of one view in convolutions and matrix products, which papers call
GFLOPs; PyTorch counts two FLOPs for each. The second figure is for --full_res, which uses the whole short side.
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ops import export
from ops.common.arguments import Parser
from ops.common.console import start_logging
from ops.common.errors import EXIT_BAD_INPUT, EXIT_DONE, EXIT_WITH_FAILURES, InputError, run
from ops.common.text import one_line
from ops.models import zoo
from ops.models.weights import place_of


def main() -> int:
    """Describe each file; files that are not checkpoints are reported, and the others are still described."""
    args = make_parser().parse_args()
    if bool(args.files) == args.list:
        raise InputError("give checkpoints to describe, or only --list (see show_checkpoint.py --help)")
    start_logging()
    if args.list:
        sys.stdout.write(list_published(args.json))
        return EXIT_DONE
    found, failed = [], 0
    for path in args.files:
        try:
            found.append(export.checkpoint_facts(path))
        except InputError as error:
            sys.stderr.write(f"error: {one_line(str(error))}\n")
            failed += 1
    if args.json:
        sys.stdout.write(json.dumps(found, indent=2, default=str) + "\n")
    else:
        sys.stdout.write("\n".join("".join(f"{line}\n" for line in export.describe_facts(facts)) for facts in found))
    return EXIT_DONE if not failed else EXIT_WITH_FAILURES if found else EXIT_BAD_INPUT


def list_published(as_json: bool) -> str:
    """The published checkpoints, as a table or as JSON."""
    places = {entry.name: place_of(entry) for entry in zoo.published_checkpoints()}
    if not as_json:
        where = {name: how for name, (how, _) in places.items()}
        return "".join(f"{line}\n" for line in zoo.describe_published(where))
    facts = zoo.published_facts()
    for fact in facts:
        how, file = places[fact["name"]]
        fact |= {"weights": how, "file": file and str(file)}
    return json.dumps(facts, indent=2) + "\n"


def make_parser() -> argparse.ArgumentParser:
    """The parser of this tool."""
    parser = Parser(description=__doc__)
    parser.add_argument("files", nargs="*", metavar="FILE", help="checkpoints to describe")
    parser.add_argument("--list", action="store_true", help="list the published checkpoints, with published figures")
    parser.add_argument("--json", action="store_true", help="print JSON: a list with one object per file")
    return parser


if __name__ == "__main__":
    run(main)
