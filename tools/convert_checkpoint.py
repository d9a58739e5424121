"""Convert a checkpoint to another format, another order of the classes or another number of segments.

    python tools/convert_checkpoint.py ckpt.best.pth.tar tanet.safetensors --to safetensors
    python tools/convert_checkpoint.py ckpt.best.pth.tar upload/ --to hf
    python tools/convert_checkpoint.py ours.pth.tar theirs.pth --to mmaction2
    python tools/convert_checkpoint.py published.pth.tar mine.pth.tar --classes_from theirs.txt --classes_to mine.txt
    python tools/convert_checkpoint.py 8f.pth.tar 16f.pth.tar --to_segments 16

IN is a checkpoint of this project, of the published code or of MMAction2, or one of these as safetensors. The result is
read back, and OUT is written only if both give the same logits for a random clip. Optimizer states are left out. Files
of class names have one name per line. hf writes a folder to upload to the Hugging Face Hub: weights, config.json and a
model card.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ops import export, models
from ops.common.arguments import Parser, add_segments_option, positive, seed
from ops.common.console import start_logging
from ops.common.errors import EXIT_DONE, run
from ops.common.storage import check_writable
from ops.data.class_names import read_class_names
from ops.export.options import TARGETS
from ops.models.hub import WEIGHTS


def main() -> int:
    """Convert one checkpoint."""
    args = make_parser().parse_args()
    start_logging()
    models.check_weights(args.source)
    check_writable(Path(args.target, WEIGHTS) if args.to == "hf" else args.target)
    now, wanted = (read_class_names(file) if file else None for file in (args.classes_from, args.classes_to))
    export.convert_checkpoint(
        args.source, args.target, args.to, export.Classes(now, wanted), args.to_segments, args.seed
    )
    return EXIT_DONE


def make_parser() -> argparse.ArgumentParser:
    """The parser of this tool."""
    parser = Parser(description=__doc__)
    parser.add_argument("source", metavar="IN", help="the checkpoint to convert; it is not changed")
    parser.add_argument(
        "target", metavar="OUT", help="file, or folder for hf, to write; .safetensors selects that format"
    )
    parser.add_argument("--to", choices=TARGETS, default="ours", help="tensor names and file format (default: ours)")
    parser.add_argument(
        "--classes_from", "--classes-from", metavar="FILE", help="class names of IN, if it does not contain them"
    )
    parser.add_argument("--classes_to", "--classes-to", metavar="FILE", help="the same class names in the wanted order")
    add_segments_option(parser, "--to_segments", type=positive, metavar="T",
                        help="change to clips of T frames; TAM's global branch is initialised again")  # fmt: skip
    parser.add_argument("--seed", type=seed, default=0, help="seed of that initialisation (default: 0)")
    return parser


if __name__ == "__main__":
    run(main)
