"""The flags of live predictions."""

import argparse

from ops.common.arguments import fraction, not_negative, number

DISPLAYS = ("auto", "window", "terminal")

_seconds = number(float, lambda value: 0 < value <= 86_400, "a number above 0, at most 86400")
_speed = number(float, lambda value: 0.01 <= value <= 1000, "a number from 0.01 to 1000")


def add_live_options(parser: argparse.ArgumentParser) -> None:
    """The flags that `ops.live.run_live` reads."""
    parser.add_argument("camera", nargs="?", default="0", metavar="CAMERA",
                        help="number or device of a camera (default: 0), rtsp://… or a video file")  # fmt: skip
    group = parser.add_argument_group("live")
    group.add_argument("--window", type=_seconds, metavar="SECONDS",
                       help="length of the sliding window (default: as trained)")  # fmt: skip
    group.add_argument("--stride", type=_seconds, metavar="SECONDS",
                       help="predict this often (default: with each new frame)")  # fmt: skip
    group.add_argument("--smoothing", type=not_negative, default=0.0, metavar="SECONDS",
                       help="average probabilities over time (default: 0, off)")  # fmt: skip
    group.add_argument("--threshold", type=fraction, metavar="P",
                       help="labels have at least this probability (default: 0; several per video: 0.5)")  # fmt: skip
    group.add_argument("--speed", type=_speed, default=1.0, metavar="FACTOR",
                       help="play a file so many times faster (default: 1)")  # fmt: skip
    group.add_argument("--display", choices=DISPLAYS, default="auto",
                       help="default: a window where there is a desktop")  # fmt: skip
    group.add_argument("--json", action="store_true", help="print one JSON object per prediction instead")
