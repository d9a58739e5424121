"""The flags of tools/sweep.py. Imports nothing heavy."""

import argparse
import re
import sys
from collections.abc import Sequence

from ops.common.arguments import Parser, count, positive, seed
from ops.common.errors import InputError


def sweep_parser(description: str | None) -> argparse.ArgumentParser:
    """The parser of the tool, for the arguments before the `--`."""
    usage = "%(prog)s --out DIR --set NAME=V1,V2 [--set ...] [options] -- online_main.py DATASET RGB [flags]"
    parser = Parser(description=description, usage=usage)
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the runs and the results")
    parser.add_argument("--set", action="append", default=[], type=_values, metavar="NAME=V1,V2",
                        help="a flag of the training and its values; several: all combinations")  # fmt: skip
    parser.add_argument("--seeds", type=seed, nargs="+", default=[0], metavar="N", help="seeds (default: 0)")
    parser.add_argument("--jobs", type=positive, metavar="N",
                        help="runs at the same time (default: one per GPU, or 1 on a CPU)")  # fmt: skip
    parser.add_argument("--gpus", type=count, nargs="+", metavar="ID", help="GPUs to use (default: all)")
    parser.add_argument("--engine", choices=("local", "tune"), default="local",
                        help="tune: as trials of Ray Tune, on the cluster in RAY_ADDRESS if there is one")  # fmt: skip
    parser.add_argument("--dry_run", action="store_true", help="print the commands, and run none of them")
    return parser


def parse_sweep(description: str | None, words: Sequence[str] | None = None) -> tuple[argparse.Namespace, list[str]]:
    """The arguments of the tool, and the training command after the `--`."""
    given = list(sys.argv[1:] if words is None else words)
    place = given.index("--") if "--" in given else len(given)
    own, command = given[:place], given[place + 1 :]
    for number in reversed(range(len(own) - 1)):
        if own[number] == "--set" and re.match(r"-+\w[\w-]*=", own[number + 1]):  # else argparse takes it for a flag
            own[number : number + 2] = [f"--set={own[number + 1]}"]
    args = sweep_parser(description).parse_args(own)
    if not command:
        raise InputError("give the training command after --, such as: -- online_main.py kinetics RGB --tam")
    return args, command


def _values(text: str) -> tuple[str, list[str]]:
    """`lr=0.1,0.2` → ("lr", ["0.1", "0.2"])."""
    name, equals, values = text.partition("=")
    parts = [part.strip() for part in values.split(",")]
    if not (name.strip("-") and equals and all(parts)):
        raise argparse.ArgumentTypeError(f"{text!r} must be a flag and its values, such as lr=0.01,0.02")
    if len(set(parts)) < len(parts):
        raise argparse.ArgumentTypeError(f"{text!r} has a value twice")
    return name.lstrip("-"), parts
