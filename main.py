"""Train TANet (or TSN) on extracted frames.

    python main.py kinetics RGB --tam --num_segments 8 --dense_sample --npb -b 8 --scale_lr 64 --gd 20

What it writes and how to go on from it: README.md.
"""

from ops.errors import run
from ops.frames import frame_reader
from ops.opts import train_parser
from ops.train import train

if __name__ == "__main__":
    parser = train_parser(__doc__)
    run(lambda: train(parser.parse_args(), frame_reader))
