"""Test checkpoints on videos, which are decoded during the test.

    python online_test_models.py kinetics --weights ckpt.best.pth.tar --test_crops 3 --full_res --sample dense-10

docs/training.md describes the files that it writes.
"""

from functools import partial

from ops import data, models, testing
from ops.common.errors import run


def main() -> int:
    """Parse the command line and run the test."""
    args = testing.test_parser(__doc__, tuple(data.DECODERS)).parse_args()
    data.check_lists_exist(args, "test")
    models.check_weights(*args.weights)
    return testing.run_evaluation(args, partial(data.video_reader, decoder=args.decoder))


if __name__ == "__main__":
    run(main)
