"""Train TANet (or TSN) on extracted frames.

    python main.py kinetics RGB --tam --num_segments 8 --dense_sample --npb -b 8 --scale_lr 64 --gd 20

docs/training.md describes the files that it writes and how to continue a run.
"""

from ops import data, training
from ops.common.errors import run


def main() -> int:
    """Parse the command line and train."""
    args = training.train_parser(__doc__).parse_args()
    data.check_lists_exist(args, "train", "val")
    training.check_tune_from(args)
    return training.run_training(args, data.frame_reader)


if __name__ == "__main__":
    run(main)
