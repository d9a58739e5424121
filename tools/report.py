"""Make one self-contained HTML page about training runs and tests, from the files that they wrote.

    python tools/report.py checkpoints/mine
    python tools/report.py "with TAM=runs/a" "without TAM=runs/b" --output compared.html

FOLDER is the folder of a training run (with its test/, if there is one) or of a test's results. The page shows
accuracies beside the published ones, curves, the confusion matrix, a table of the classes, the most confident mistakes
with frames of each video, broken videos, protocol and hashes, and for several runs also the differences per class. It
lists files that are missing from a folder, and videos that are no longer where the test found them.
"""

import argparse
import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ops import report
from ops.common.arguments import Parser, count
from ops.common.console import start_logging
from ops.common.errors import EXIT_DONE, InputError, run
from ops.common.storage import check_writable

log = logging.getLogger("ops.testing.results")


def make_parser() -> argparse.ArgumentParser:
    """The parser of this tool."""
    parser = Parser(description=__doc__)
    parser.add_argument("folders", nargs="+", metavar="[NAME=]FOLDER",
                        help="a name for the run or test, and its folder")  # fmt: skip
    parser.add_argument("--output", metavar="FILE.html", help="default: FOLDER/report.html; for several, ./report.html")
    parser.add_argument("--root_path", metavar="DIR",
                        help="folder that paths in the lists are relative to (default: as in the test)")  # fmt: skip
    parser.add_argument("--mistakes", type=count, default=12, metavar="N",
                        help="mistakes to show of each test (default: 12)")  # fmt: skip
    return parser


def main() -> int:
    """Read the results, and write the page."""
    args = make_parser().parse_args()
    start_logging()
    found = report.read_results(args.folders)
    if args.root_path and not Path(args.root_path).is_dir():
        raise InputError(f"--root_path {args.root_path}: no such folder")
    output = Path(args.output) if args.output else (found[0].folder if len(found) == 1 else Path()) / "report.html"
    check_writable(output)
    report.write_report(output, found, args.root_path, args.mistakes)
    for results in found:
        for line in results.missing:
            log.warning("missing: %s", line)
    log.info("written: %s (%.1f MB)", output, output.stat().st_size / 1e6)
    return EXIT_DONE


if __name__ == "__main__":
    run(main)
