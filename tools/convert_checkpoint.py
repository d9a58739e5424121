"""Write a checkpoint anew: in other dialects and formats, with classes in another order, for other numbers of segments.

    python tools/convert_checkpoint.py ckpt.best.pth.tar tanet.safetensors --to safetensors
    python tools/convert_checkpoint.py ours.pth.tar theirs.pth --to mmaction2
    python tools/convert_checkpoint.py published.pth.tar mine.pth.tar --classes_from theirs.txt --classes_to mine.txt
    python tools/convert_checkpoint.py 8f.pth.tar 16f.pth.tar --to_segments 16

IN is ours, published, of MMAction2, or one of these as safetensors. The result is read again, and put in place only if
its logits on a random clip are those of IN. Optimizer states are left out. Files of class names have one name per line.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ops import export
from ops.common.arguments import Parser, positive, seed
from ops.common.console import start_logging
from ops.common.errors import EXIT_DONE, run
from ops.common.storage import check_writable
from ops.data.class_names import read_class_names
from ops.export.options import TARGETS


def main() -> int:
    """Convert one checkpoint."""
    args = make_parser().parse_args()
    start_logging()
    check_writable(args.target)
    now, wanted = (read_class_names(file) if file else None for file in (args.classes_from, args.classes_to))
    export.convert_checkpoint(
        args.source, args.target, args.to, export.Classes(now, wanted), args.to_segments, args.seed
    )
    return EXIT_DONE


def make_parser() -> argparse.ArgumentParser:
    """The parser of this tool."""
    parser = Parser(description=__doc__)
    parser.add_argument("source", metavar="IN", help="the checkpoint to convert, which stays as it is")
    parser.add_argument("target", metavar="OUT", help="the file to write; .safetensors gives that format")
    parser.add_argument("--to", choices=TARGETS, default="ours", help="names and format (default: ours)")
    parser.add_argument(
        "--classes_from", "--classes-from", metavar="FILE", help="names of its classes, where it does not know them"
    )
    parser.add_argument(
        "--classes_to", "--classes-to", metavar="FILE", help="the same names in the order that is wanted"
    )
    parser.add_argument("--to_segments", type=positive, metavar="T",
                        help="for clips of T frames; TAM's global branch starts anew")  # fmt: skip
    parser.add_argument("--seed", type=seed, default=0, help="of what starts anew (default: 0)")
    return parser


if __name__ == "__main__":
    run(main)
