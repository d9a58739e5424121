"""Serve a page on this machine that predicts and explains videos in a browser.

    python tools/app.py --weights ckpt.best.pth.tar
    python tools/app.py --weights ckpt.best.pth.tar --port 8000 --max_mb 50

Drop a video on the page or record one with the camera. Nothing is kept. Ctrl-C ends it.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ops import app, models
from ops.app.options import add_app_options
from ops.common.arguments import Parser
from ops.common.console import start_logging
from ops.common.errors import run
from ops.common.optional_packages import need
from ops.predict.options import add_predictor_options


def main() -> int:
    """Load the model and serve the page until Ctrl-C."""
    args = make_parser().parse_args()
    start_logging()
    models.check_weights(args.weights)
    need("gradio", "captum")
    options = app.ServerOptions(args.host, args.port, args.share, args.max_mb)
    return app.serve(app.open_analyst(args), options)


def make_parser() -> Parser:
    """The parser of this tool."""
    parser = Parser(description=__doc__, usage="%(prog)s --weights CKPT [options]")
    add_app_options(parser)
    add_predictor_options(parser)
    return parser


if __name__ == "__main__":
    run(main)
