"""The flags of tools/finetune.py. Imports nothing heavy."""

import argparse

from ops.common.arguments import Parser, fraction, positive
from ops.prepare.options import KINDS


def finetune_parser(description: str | None) -> argparse.ArgumentParser:
    """The parser of the tool; flags that it does not know are passed to the training."""
    parser = Parser(description=description, usage="%(prog)s DATA --weights CKPT [options] [flags of the training]")
    parser.add_argument("data", metavar="DATA", help="folder of the videos or frames, or list of paths and labels")
    parser.add_argument(
        "--weights",
        required=True,
        metavar="CKPT",
        help="start from: file, published name, address or hf:owner/name",
    )
    parser.add_argument("--out", metavar="OUT", help="folder for all results (default: checkpoints/finetune_DATA)")
    parser.add_argument("--epochs", type=positive, metavar="N",
                        help="number of epochs (default: 15, or as many as make 300 steps)")  # fmt: skip
    parser.add_argument("-b", "--batch_size", "--batch-size", type=positive, metavar="N",
                        help="clips per step (default: 8, or all of fewer); scales the rate, 0.001 for 8")  # fmt: skip
    parser.add_argument("--val_fraction", type=fraction, default=0.2, metavar="F",
                        help="share of each class for testing, not for training (default: 0.2)")  # fmt: skip
    parser.add_argument("--root_path", metavar="DIR", help="folder that paths in a list are relative to")
    parser.add_argument("--kind", choices=KINDS, help="what DATA contains (default: detected)")
    parser.add_argument("--dry_run", action="store_true", help="print the commands, and run none of them")
    return parser
