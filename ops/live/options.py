"""The flags of live predictions."""

import argparse

from ops.common.arguments import above_zero, fraction, not_negative

DISPLAYS = ("auto", "window", "terminal")


def add_live_options(parser: argparse.ArgumentParser) -> None:
    """The flags that `ops.live.run_live` reads."""
    parser.add_argument("camera", nargs="?", default="0", metavar="CAMERA",
                        help="number or device of a camera (default: 0), rtsp://… or a video file")  # fmt: skip
    group = parser.add_argument_group("live")
    group.add_argument("--window", type=above_zero, metavar="SECONDS",
                       help="length of the sliding window (default: as trained)")  # fmt: skip
    group.add_argument("--stride", type=above_zero, metavar="SECONDS",
                       help="predict this often (default: with each new frame)")  # fmt: skip
    group.add_argument("--smoothing", type=not_negative, default=0.0, metavar="SECONDS",
                       help="average probabilities over time (default: 0, off)")  # fmt: skip
    group.add_argument("--threshold", type=fraction, default=0.0, metavar="P",
                       help="below this probability there is no label (default: 0)")  # fmt: skip
    group.add_argument("--speed", type=above_zero, default=1.0, metavar="FACTOR",
                       help="play a file so many times faster (default: 1)")  # fmt: skip
    group.add_argument("--display", choices=DISPLAYS, default="auto",
                       help="default: a window where there is a desktop")  # fmt: skip
    group.add_argument("--json", action="store_true", help="print one JSON object per prediction instead")
