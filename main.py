"""Train TANet (or TSN) on extracted frames.

    python main.py kinetics RGB --tam --num_segments 8 --dense_sample --npb -b 8 --scale_lr 64 --gd 20

What it writes and how to go on from it: README.md.
"""

from ops.common.errors import run
from ops.data.frames import frame_reader
from ops.training.options import train_parser
from ops.training.train import train

if __name__ == "__main__":
    parser = train_parser(__doc__)
    run(lambda: train(parser.parse_args(), frame_reader))
