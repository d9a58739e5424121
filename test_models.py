"""Test checkpoints on extracted frames.

    python test_models.py kinetics --weights ckpt.best.pth.tar --test_crops 3 --full_res --sample dense-10

What it writes and how to go on from it: README.md.
"""

from ops.common.errors import run
from ops.data.frames import frame_reader
from ops.testing.evaluate import evaluate
from ops.training.options import test_parser

if __name__ == "__main__":
    parser = test_parser(__doc__)
    run(lambda: evaluate(parser.parse_args(), frame_reader))
