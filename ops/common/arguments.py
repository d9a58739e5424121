"""Shared by all command lines: a parser that reports its errors as bad input, and types for numeric arguments."""

import argparse
import functools
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from ops.common.errors import InputError

AMP = ("off", "bf16", "fp16")
"""Values of --amp: the precision of convolutions and matrix products."""

RUNTIMES = ("auto", "torch", "onnxruntime", "openvino")
"""Values of --runtime: what computes a trained network."""


class Arguments(argparse.Namespace):
    """Parsed arguments. `given` are the names of those on the command line; it is not one of the arguments itself."""

    __slots__ = ("given",)  # so that vars() contains only the arguments

    given: frozenset[str]


class Parser(argparse.ArgumentParser):
    """Raises InputError instead of exiting, so that errors end in one line and exit status 2 like all bad input.

    It returns `Arguments`, which distinguish arguments that were given from defaults.
    """

    def __init__(self, **options: Any) -> None:
        layout = functools.partial(argparse.RawDescriptionHelpFormatter, max_help_position=28)
        super().__init__(allow_abbrev=False, formatter_class=layout, **options)
        self._parsing: Sequence[str] = ()

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """As in argparse; InputError if a file's name begins with `-` and would be mistaken for a flag."""
        given = list(sys.argv[1:] if args is None else args)
        flags = given[: given.index("--")] if "--" in given else given
        for name in flags:
            if name.startswith("-") and name not in self._option_string_actions and os.path.lexists(name):
                raise InputError(f"{name}: this file's name begins with -; write ./{name}, or ./* in patterns")
        self._parsing = given
        parsed = super().parse_args(given, namespace or Arguments())
        if isinstance(parsed, Arguments):
            parsed.given = self._names_given(given)
        return parsed

    def _names_given(self, args: Sequence[str]) -> frozenset[str]:
        """The names of the flags in `args`, which are valid: those that have a value if nothing has a default.

        Arguments without a flag always count as given.
        """
        defaults, self._defaults = self._defaults, {}
        before = [(action, action.default) for action in self._actions if action.option_strings]
        try:
            for action, _ in before:
                action.default = argparse.SUPPRESS
            return frozenset(vars(super().parse_args(args, argparse.Namespace())))
        finally:
            self._defaults = defaults
            for action, default in before:
                action.default = default

    def error(self, message: str) -> NoReturn:
        """Called by argparse when parsing fails."""
        after = " (arguments after -- are not read as flags: put flags before it)" if "--" in self._parsing else ""
        raise InputError(f"{message}{after} (see {self.prog} --help)")


def number(kind: type, check: Any, wanted: str) -> Any:
    """An argparse type: a number of type `kind` that passes `check`; the error message says what is `wanted`."""

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
not_negative = number(float, lambda value: 0 <= value <= 1e9, "a number of at least 0, at most 1e9")
above_zero = number(float, lambda value: 0 < value <= 1e9, "a number above 0, at most 1e9")
fraction = number(float, lambda value: 0 <= value < 1, "a number in [0, 1)")

SEGMENT_FLAGS = ("--num_segments", "--test_segments", "--segments", "--to_segments")
"""The flags for the frames of a clip: a script shows one of them in its help and accepts all."""


def add_segments_option(group: Any, shown: str, **options: Any) -> None:
    """Add the flag `shown`, one of `SEGMENT_FLAGS`, and the others as further spellings that the help does not show.

    `group` is a parser or one of its groups; `options` are those of `add_argument`.
    """
    group.add_argument(shown, **options)
    others = [flag for flag in SEGMENT_FLAGS if flag != shown]
    hidden = {"dest": shown.removeprefix("--"), "help": argparse.SUPPRESS, "default": argparse.SUPPRESS}
    group.add_argument(*others, **{**options, **hidden})


MAX_CLASSES = 1_000_000
class_count = number(int, lambda value: 1 <= value <= MAX_CLASSES, f"an integer from 1 to {MAX_CLASSES}")
seed = number(int, lambda value: 0 <= value < 2**63, "an integer from 0 to 2^63 - 1")


def add_compute_options(group: argparse._ArgumentGroup) -> None:
    """The flags that `ops.common.device.compute_of` reads."""
    group.add_argument("--amp", choices=AMP, default="off", help="mixed precision (default: off, fp32 throughout)")
    group.add_argument("--channels_last", action="store_true", help="keep tensors in channels-last memory format")
    group.add_argument("--tf32", action="store_true", help="compute float32 as TF32 on a GPU (default: off)")
    group.add_argument("--compile", action="store_true", help="use torch.compile; needs a C++ compiler or a GPU")
    group.add_argument("--deterministic", action="store_true",
                       help="bit-identical results in every run on one machine")  # fmt: skip


def add_runtime_option(group: argparse._ArgumentGroup) -> None:
    """The flag of tools that only compute scores, see `ops.models.runtimes`."""
    group.add_argument("--runtime", choices=RUNTIMES, default="auto", metavar="NAME",
                       help="auto (default), torch, onnxruntime or openvino")  # fmt: skip
