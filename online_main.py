"""Train TANet (or TSN) on videos, decoding them on the way.

    python online_main.py kinetics RGB --tam --num_segments 8 --dense_sample --npb -b 8 --scale_lr 64 --gd 20

What it writes and how to go on from it: README.md.
"""

from functools import partial

from ops.common.errors import run
from ops.data.decoders import DECODERS, video_reader
from ops.training.options import train_parser
from ops.training.train import train


def main() -> int:
    """Parse the command line and do what it says."""
    args = train_parser(__doc__, tuple(DECODERS)).parse_args()
    return train(args, partial(video_reader, decoder=args.decoder))


if __name__ == "__main__":
    run(main)
