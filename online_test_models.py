"""Test checkpoints on videos, decoding them on the way.

    python online_test_models.py kinetics --weights ckpt.best.pth.tar --test_crops 3 --full_res --sample dense-10

What it writes and how to go on from it: README.md.
"""

from functools import partial

from ops.common.errors import run
from ops.data.decoders import DECODERS, video_reader
from ops.testing.evaluate import evaluate
from ops.training.options import test_parser


def main() -> int:
    """Parse the command line and do what it says."""
    args = test_parser(__doc__, tuple(DECODERS)).parse_args()
    return evaluate(args, partial(video_reader, decoder=args.decoder))


if __name__ == "__main__":
    run(main)
