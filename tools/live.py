"""Predict what a running camera sees: a camera number, a device, an RTSP stream, or a file at its own speed.

    python tools/live.py --weights ckpt.best.pth.tar
    python tools/live.py rtsp://10.0.0.7/stream --weights ckpt.best.pth.tar --smoothing 1 --threshold 0.5
    python tools/live.py film.mp4 --weights ckpt.best.pth.tar --json

Frames that arrive too fast are dropped. q or Esc in the window, or Ctrl-C, ends it.
"""

import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ops import live, models
from ops.common.arguments import Parser, add_compute_options, add_runtime_option
from ops.common.console import start_logging
from ops.common.errors import run
from ops.live.options import add_live_options
from ops.predict.options import add_device_option, add_network_options


def main() -> int:
    """Open the camera, load the model, and predict until the camera ends."""
    args = make_parser().parse_args()
    start_logging()
    if args.json:  # standard output is reserved for JSON
        logging.getLogger("ops").setLevel(logging.WARNING)
    models.check_weights(args.weights)
    return live.predict_live(live.live_predictor(args), live.live_options(args), args.dataset)


def make_parser() -> Parser:
    """The parser of this tool."""
    parser = Parser(description=__doc__, usage="%(prog)s [CAMERA] --weights CKPT [options]")
    add_live_options(parser)
    add_network_options(parser)
    group = parser.add_argument_group("machine")
    add_device_option(group)
    add_compute_options(group)
    add_runtime_option(group)
    return parser


if __name__ == "__main__":
    run(main)
