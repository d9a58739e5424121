"""What all command lines share: a parser whose errors are bad input like any other, and kinds of numbers."""

import argparse
import functools
import os
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from ops.errors import InputError
from ops.tree import VIDEO_EXTENSIONS


class Parser(argparse.ArgumentParser):
    """Errors become InputError, so that they end in one line and status 2 like all bad input."""

    def __init__(self, **options: Any) -> None:
        layout = functools.partial(argparse.RawDescriptionHelpFormatter, max_help_position=28)
        super().__init__(allow_abbrev=False, formatter_class=layout, **options)

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """As usual; InputError on a file whose name begins with `-`, which would be taken for a flag."""
        given = list(sys.argv[1:] if args is None else args)
        flags = given[: given.index("--")] if "--" in given else given
        for name in flags:
            if name.startswith("-") and name not in self._option_string_actions and os.path.lexists(name):
                raise InputError(f"{name}: a file whose name begins with -; write ./{name}, or ./* in patterns")
        return super().parse_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Called by argparse on arguments that do not parse."""
        after = " (what comes after -- is no flag: put flags before it)" if "--" in sys.argv else ""
        raise InputError(f"{message}{after} (see {self.prog} --help)")


def number(kind: type, check: Any, wanted: str) -> Any:
    """An argparse type: a number of `kind` for which `check` holds, else an error that says what is `wanted`."""

    def convert(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not check(value):
            raise argparse.ArgumentTypeError(f"{text!r} must be {wanted}")
        return value

    return convert


positive = number(int, lambda value: value >= 1, "an integer of at least 1")
count = number(int, lambda value: value >= 0, "an integer of at least 0")
not_negative = number(float, lambda value: 0 <= value < float("inf"), "a number of at least 0")
above_zero = number(float, lambda value: 0 < value < float("inf"), "a number above 0")
fraction = number(float, lambda value: 0 <= value < 1, "a number in [0, 1)")

MAX_CLASSES = 1_000_000
class_count = number(int, lambda value: 1 <= value <= MAX_CLASSES, f"an integer from 1 to {MAX_CLASSES}")
seed = number(int, lambda value: 0 <= value < 2**63, "an integer from 0 to 2^63 - 1")


def add_endings_option(parser: argparse.ArgumentParser) -> None:
    """The flag that says what is a video."""
    parser.add_argument("-e", "--videos_exts", type=_extension, nargs="+", default=list(VIDEO_EXTENSIONS),
                        metavar="EXT", help="endings of videos (default: all usual ones)")  # fmt: skip


def _extension(text: str) -> str:
    """`mp4` or `.mp4` → `.mp4`."""
    if not text.strip(".") or os.sep in text:
        raise argparse.ArgumentTypeError(f"{text!r} must be the ending of a file's name, such as mp4")
    return "." + text.lstrip(".").lower()


def add_template_option(parser: Any) -> None:
    """The flag that says how frames are named; `parser` may be a group."""
    parser.add_argument("--frame_template", type=frame_template, metavar="NAME",
                        help="names of frames, such as shot-%%04d.png")  # fmt: skip


def frame_template(text: str) -> str:
    """An argparse type: `img_%05d.jpg`, `img_{:05d}.jpg` or `img_{index:05d}.jpg` → the last, for `FrameTemplate`.

    Of flow in two images, `{axis}` stands for x and y.
    """
    pattern = re.sub(r"%0?(\d*)d", lambda found: f"{{index:0{found[1]}d}}" if found[1] else "{index:d}", text)
    pattern = re.sub(r"\{:", "{index:", pattern.replace("{}", "{index:d}").replace("{index}", "{index:d}"))
    fields = re.findall(r"\{[^}]*\}", pattern)
    allowed = all(re.fullmatch(r"\{(index:0?\d*d?|axis|video:0?\d*d?)\}", field) for field in fields)
    indices = sum(field.startswith("{index") for field in fields)
    rest = re.sub(r"\{[^}]*\}", "", pattern)  # `%s` and the like are none of it
    if not allowed or indices != 1 or set(rest) & {"{", "}", "%", os.sep} or "." not in pattern.rpartition("}")[2]:
        raise argparse.ArgumentTypeError(f"{text!r} must be a file's name with one number, such as img_%05d.jpg")
    return pattern
