"""The flags of the page: where it is served, and what it accepts."""

import argparse

from ops.common.arguments import number, positive

LOCALHOST = "127.0.0.1"
PORT = 7860
MAX_MB = 200

_port = number(int, lambda value: 1 <= value <= 65_535, "an integer from 1 to 65535")


def add_app_options(parser: argparse.ArgumentParser) -> None:
    """The flags that `ops.app.server.ServerOptions` and `ops.app.analysis.open_analyst` read."""
    group = parser.add_argument_group("page")
    group.add_argument("--host", default=LOCALHOST, metavar="ADDRESS",
                       help="address to serve at; 0.0.0.0: all networks (default: 127.0.0.1)")  # fmt: skip
    group.add_argument("--port", type=_port, default=PORT, metavar="N", help="port to serve at (default: 7860)")
    group.add_argument("--share", action="store_true",
                       help="also open a public address, by Gradio's service (default: off)")  # fmt: skip
    group.add_argument("--max_mb", type=positive, default=MAX_MB, metavar="MB",
                       help="largest file that is accepted (default: 200)")  # fmt: skip
    group.add_argument("--window", type=positive, metavar="N", help="frames of a timeline's windows (default: 64)")
    group.add_argument("--stride", type=positive, metavar="N",
                       help="start a window every N frames (default: a quarter)")  # fmt: skip
