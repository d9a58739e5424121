"""Print the results of several tests side by side.

    python tools/compare.py "with TAM=runs/a/test" "without TAM=runs/b/test"

FOLDER is the folder in which a test wrote metrics.json.
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ops.common.arguments import Parser
from ops.common.errors import EXIT_DONE, InputError, run

COLUMNS = (("top1", "top-1 %"), ("top5", "top-5 %"), ("mean_class_accuracy", "class mean %"))
MULTI_LABEL = (("mAP", "mAP %"),)
"""The column of tests of videos with several labels."""


def main() -> int:
    """Read each test's metrics and print a row for each."""
    args = make_parser().parse_args()
    tests = [
        (*argument.rpartition("=")[::2], read_metrics(Path(argument.rpartition("=")[2]))) for argument in args.tests
    ]
    columns = (*MULTI_LABEL, *COLUMNS) if any("mAP" in metrics for _, _, metrics in tests) else COLUMNS
    rows = [("", *(title for _, title in columns), "videos")]
    for name, folder, metrics in tests:
        figures = [f"{metrics[key]:.1f}" if metrics.get(key) is not None else "-" for key, _ in columns]
        rows.append((name or folder, *figures, f"{metrics['scored']} of {metrics['expected']} scored"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = [text.rjust(width) for text, width in zip(others, widths[1:], strict=True)]
        sys.stdout.write("  ".join([first.ljust(widths[0]), *cells]).rstrip() + "\n")
    return EXIT_DONE


def make_parser() -> argparse.ArgumentParser:
    """The parser of this tool."""
    parser = Parser(description=__doc__)
    parser.add_argument(
        "tests", nargs="+", metavar="[NAME=]FOLDER", help="a name for the test, and the folder of its results"
    )
    return parser


def read_metrics(folder: Path) -> dict[str, float]:
    """The content of `folder/metrics.json`; InputError if there is none."""
    path = folder / "metrics.json"
    try:
        metrics = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        within = sorted(str(inner.parent) for inner in folder.glob("*/metrics.json"))
        hint = f"; did you mean {' or '.join(within)}?" if within else ""
        raise InputError(f"{path}: cannot read the results of a test ({type(error).__name__}){hint}") from None
    if not isinstance(metrics, dict) or not {"scored", "expected"} <= metrics.keys():
        raise InputError(f"{path}: contains no results of a test")
    return metrics


if __name__ == "__main__":
    run(main)
