"""What a person sees while a job runs: log lines that leave progress bars whole, and the bars themselves."""

import copy
import logging
import os
import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

from ops.common.text import one_line, printable


class _BarSafeHandler(logging.Handler):
    """Writes records to standard output through tqdm, so that a bar is never cut in two.

    The values put into a message are kept to one line each, unless the record has `lines`.
    """

    def emit(self, record: logging.LogRecord) -> None:
        prefix = "warning: " if record.levelno >= logging.WARNING else ""
        encoding = sys.stdout.encoding or "utf-8"  # which may not have all that file names hold
        record = copy.copy(record)  # other handlers get it as it was
        if isinstance(record.args, tuple) and not getattr(record, "lines", False):
            record.args = tuple(map(_in_one_line, record.args))
        text = printable(f"{prefix}{record.getMessage()}").encode(encoding, "backslashreplace").decode(encoding)
        tqdm.write(text, file=sys.stdout)
        sys.stdout.flush()


def _in_one_line(value: Any) -> Any:
    """What others wrote, such as a path or the message of an error, kept to its line."""
    return one_line(str(value)) if isinstance(value, str | os.PathLike | BaseException) else value


def start_logging(is_main: bool = True) -> None:
    """Let the library's log lines reach the console: all of the first process, only errors of the others."""
    logger = logging.getLogger("ops")
    logger.handlers[:] = [_BarSafeHandler()]
    logger.setLevel(logging.INFO if is_main else logging.ERROR)
    logger.propagate = False


def progress(
    items: Iterable[Any] | None, total: int, what: str, unit: str, shown: bool, leave: bool = True
) -> "tqdm[Any]":
    """A progress bar on standard error over `items` (or advanced by hand); calmer where it is not a terminal.

    Without `leave`, for a part of a job, it comes after a second and goes once it is full.
    """
    every = 0.2 if sys.stderr.isatty() else 10.0
    return tqdm(
        items, total=total, desc=what, unit=unit, disable=not shown, mininterval=every, dynamic_ncols=True,
        leave=leave, delay=0 if leave else 1,
    )  # fmt: skip


def has_colours() -> bool:
    """Whether what goes to standard output may be coloured: a terminal reads it, and NO_COLOR is not set."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
