"""Console output: progress bars, and log lines that do not break them."""

import copy
import logging
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from tqdm import tqdm

from ops.common.text import one_line, printable


class _BarSafeHandler(logging.Handler):
    """Writes records through tqdm, so that they do not break a progress bar.

    Warnings go to standard error, all others to standard output.

    Line breaks in a message's arguments are escaped, unless the record has `lines` set.
    """

    def emit(self, record: logging.LogRecord) -> None:
        is_warning = record.levelno >= logging.WARNING
        prefix, stream = ("warning: ", sys.stderr) if is_warning else ("", sys.stdout)
        encoding = stream.encoding or "utf-8"  # may lack characters that occur in file names
        record = copy.copy(record)  # other handlers must get the original
        if isinstance(record.args, tuple) and not getattr(record, "lines", False):
            record.args = tuple(map(_in_one_line, record.args))
        text = printable(f"{prefix}{record.getMessage()}").encode(encoding, "backslashreplace").decode(encoding)
        sys.stdout.flush()  # keeps the order of earlier output if both go to the same place
        tqdm.write(text, file=stream)
        stream.flush()


def _in_one_line(value: Any) -> Any:
    """Escape line breaks in text that is not ours, such as a path or the message of an error."""
    return one_line(str(value)) if isinstance(value, str | os.PathLike | BaseException) else value


def start_logging(is_main: bool = True) -> None:
    """Send log lines to the console: all of them in the first process, only errors in the others."""
    logger = logging.getLogger("ops")
    logger.handlers[:] = [_BarSafeHandler()]
    logger.setLevel(logging.INFO if is_main else logging.ERROR)
    logger.propagate = False


def progress(
    items: Iterable[Any] | None,
    total: int | None,
    what: str,
    unit: str,
    shown: bool,
    leave: bool = True,
    unit_scale: bool = False,
) -> "tqdm[Any]":
    """A progress bar on standard error over `items` (or advanced by hand); updated less often if not on a terminal.

    Without `leave`, which is for parts of a job, it appears after one second and disappears when complete. With
    `unit_scale`, numbers are shortened, such as to 3.4M.
    """
    every = 0.2 if sys.stderr.isatty() else 10.0
    return tqdm(
        items, total=total, desc=what, unit=unit, disable=not shown, mininterval=every, dynamic_ncols=True,
        leave=leave, delay=0 if leave else 1, unit_scale=unit_scale,
    )  # fmt: skip


def terminal_columns() -> int | None:
    """The width of the terminal that shows standard error; None if there is no terminal or its width is unknown."""
    with suppress(OSError, ValueError):
        return os.get_terminal_size(sys.stderr.fileno()).columns or None
    return None


def set_figures(bar: "tqdm[Any]", figures: Mapping[str, str], first: Sequence[str]) -> None:
    """Let `bar` show `figures`, which are names and values, instead of its own times.

    On a terminal that is too narrow for all of them, those named in `first` have precedence, in this order.
    """
    columns = terminal_columns()
    room = sys.maxsize if columns is None else columns - 2 * len(str(bar.total)) - len(f"{bar.desc}: /,") - 1
    kept = set()
    for name in sorted(figures, key=lambda name: first.index(name) if name in first else len(first)):
        width = len(f" {name} {figures[name]}")
        if width <= room:
            kept.add(name)
            room -= width
    bar.bar_format = "{desc}: {n_fmt}/{total_fmt}{postfix}"
    bar.set_postfix_str(" ".join(f"{name} {figures[name]}" for name in figures if name in kept), refresh=False)


def duration(seconds: float) -> str:
    """A time in at most six characters: `42s`, `7m05s`, `3h07m`, `5d04h`."""
    total = round(max(seconds, 0))
    if total < 60:
        return f"{total}s"
    minutes, hours, days = total // 60, total // 3600, total // 86400
    if minutes < 60:
        return f"{minutes}m{total % 60:02d}s"
    return f"{hours}h{minutes % 60:02d}m" if hours < 48 else f"{days}d{hours % 24:02d}h"


def has_colours() -> bool:
    """Whether standard output may be coloured: it is a terminal, and NO_COLOR is not set."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
