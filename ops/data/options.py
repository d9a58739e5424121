"""Flags about data: extensions of videos, names of frames, sampling and crops. Imports nothing heavy."""

import argparse
import os
import re
from typing import Any

from ops.common.arguments import positive
from ops.data.file_search import VIDEO_EXTENSIONS

TEST_CROPS = (1, 3, 5, 10)
"""Values of --test_crops: crops per frame, see `ops.data.transforms.test_plan`."""


def add_endings_option(parser: argparse.ArgumentParser) -> None:
    """Add --videos_exts, the file extensions of videos."""
    parser.add_argument("-e", "--videos_exts", type=_extension, nargs="+", default=list(VIDEO_EXTENSIONS),
                        metavar="EXT", help="file extensions of videos (default: all usual)")  # fmt: skip


def _extension(text: str) -> str:
    """`mp4` or `.mp4` → `.mp4`."""
    if not text.strip(".") or os.sep in text:
        raise argparse.ArgumentTypeError(f"{text!r} must be a file extension, such as mp4")
    return "." + text.lstrip(".").lower()


def add_template_option(parser: Any) -> None:
    """Add --frame_template, the names of frames; `parser` may be a group."""
    parser.add_argument("--frame_template", type=frame_template, metavar="NAME",
                        help="read only frames named like shot-%%04d.png")  # fmt: skip


def frame_template(text: str) -> str:
    """An argparse type: `img_%05d.jpg`, `img_{:05d}.jpg` or `img_{index:05d}.jpg` → the last, for `FrameTemplate`.

    If flow has separate images of x and y, `{axis}` stands for x or y.
    """
    pattern = re.sub(r"%0?(\d*)d", lambda found: f"{{index:0{found[1]}d}}" if found[1] else "{index:d}", text)
    pattern = re.sub(r"\{:", "{index:", pattern.replace("{}", "{index:d}").replace("{index}", "{index:d}"))
    fields = re.findall(r"\{[^}]*\}", pattern)
    allowed = all(re.fullmatch(r"\{(index:0?\d*d?|axis|video:0?\d*d?)\}", field) for field in fields)
    indices = sum(field.startswith("{index") for field in fields)
    rest = re.sub(r"\{[^}]*\}", "", pattern)  # no other conversions such as `%s`
    if not allowed or indices != 1 or set(rest) & {"{", "}", "%", os.sep} or "." not in pattern.rpartition("}")[2]:
        raise argparse.ArgumentTypeError(f"{text!r} must be a file name with one number, such as img_%05d.jpg")
    return pattern


def add_protocol_options(group: Any, tsm_flags: bool = False) -> None:
    """Add the flags of sampling and crops to a `group`: which frames, and which parts of them, a model gets.

    With `tsm_flags` also --dense_sample and --twice_sample, as TSM's test has them.
    """
    sample = group.add_mutually_exclusive_group()
    sample.add_argument("--sample", metavar="KIND-N",
                        help="dense-N, uniform-N or twice (default: as trained)")  # fmt: skip
    if tsm_flags:
        sample.add_argument("--dense_sample", dest="sample", action="store_const", const="dense-10",
                            help="the same as --sample dense-10")  # fmt: skip
        sample.add_argument("--twice_sample", dest="sample", action="store_const", const="twice",
                            help="the same as --sample twice: at the centres and the starts of segments")  # fmt: skip
    group.add_argument("--test_crops", type=int, choices=TEST_CROPS, default=1, metavar="N",
                       help="crops per clip: 1, 3, 5 or 10 (default: 1)")  # fmt: skip
    group.add_argument("--full_res", action="store_true",
                       help="crop the whole short side (1 or 3 crops only)")  # fmt: skip
    group.add_argument("--input_size", type=positive, metavar="PIXELS",
                       help="input size (default: as trained, else 224)")  # fmt: skip
