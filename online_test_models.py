"""Test checkpoints on videos, decoding them on the way.

    python online_test_models.py kinetics --weights ckpt.best.pth.tar --test_crops 3 --full_res --sample dense-10

Everything it writes and every flag: README.md, `python online_test_models.py --help`.
"""

from ops.errors import run
from ops.evaluate import evaluate
from ops.opts import test_parser
from ops.videos import video_reader

if __name__ == "__main__":
    parser = test_parser(__doc__)
    run(lambda: evaluate(parser.parse_args(), video_reader))
