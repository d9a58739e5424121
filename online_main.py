"""Train TANet (or TSN) on videos, which are decoded during training.

    python online_main.py kinetics RGB --tam --num_segments 8 --dense_sample --npb -b 8 --scale_lr 64 --gd 20

docs/training.md describes the files that it writes and how to continue a run.
"""

from functools import partial

from ops import data, training
from ops.common.errors import run


def main() -> int:
    """Parse the command line and train."""
    args = training.train_parser(__doc__, tuple(data.DECODERS)).parse_args()
    data.check_lists_exist(args, "train", "val")
    training.check_tune_from(args)
    return training.run_training(args, partial(data.video_reader, decoder=args.decoder))


if __name__ == "__main__":
    run(main)
