"""The logs of a training run: arguments, a row per epoch, curves, TensorBoard events, bad samples."""

import csv
import json
import logging
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.summary import scalar

from ops.common.csv_tables import TableWriter
from ops.common.errors import InputError
from ops.common.storage import appended_file, atomic_file
from ops.data.datasets import Failure
from ops.training.main_metric import TOP1, MainMetric
from ops.training.run_metadata import software

log = logging.getLogger(__name__)

COLUMNS = (
    "epoch", "step", "lr", "train_loss", "train_top1", "train_top5", "val_loss", "val_top1", "val_top5",
    "val_scored", "val_failed", "best_top1", "data_seconds", "compute_seconds", "seconds", "bad_samples",
)  # fmt: skip


class _Events:
    """The TensorBoard file of a run, written synchronously: a writer thread would not report a full disk."""

    def __init__(self, folder: Path, first_epoch: int) -> None:
        self._folder = folder
        with self._written():
            self._writer = EventsWriter(str(folder / "events"))
            if first_epoch:  # hides what an earlier run logged from here on
                start = SessionLog(status=SessionLog.START)
                self._writer.write_event(Event(step=first_epoch, session_log=start, wall_time=time.time()))
            self._writer.flush()

    def add(self, values: Mapping[str, float], step: int) -> None:
        """Write scalars and flush them."""
        with self._written():
            for name, value in values.items():
                summary = scalar(name.replace("_", "/", 1), value)
                self._writer.write_event(Event(step=step, summary=summary, wall_time=time.time()))
            self._writer.flush()

    def close(self) -> None:
        """Close the file; everything has already been written."""
        with suppress(OSError, ValueError):
            self._writer.close()

    @contextmanager
    def _written(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or error
            raise InputError(f"{self._folder}: the TensorBoard file cannot be written ({reason})") from error


class RunLog:
    """The logs of one run in `folder`, which must exist.

    When resuming at `first_epoch`, rows of that epoch and later ones are dropped, so that each epoch has one row. A
    `metric` other than top-1 has columns of its own after the others.
    """

    def __init__(self, folder: Path, first_epoch: int, metric: MainMetric = TOP1) -> None:
        self.folder = folder
        self._columns = COLUMNS if metric == TOP1 else (*COLUMNS, metric.column, metric.best)
        self._rows = _rows_before(folder / "log.csv", first_epoch, self._columns)
        self._write_rows()
        self._events = _Events(folder, first_epoch)

    def arguments(self, args: Mapping[str, Any], **facts: Any) -> None:
        """Write `args.json`: the command, the arguments and the versions of the software."""
        content = {"command": sys.argv, "arguments": dict(args), **software(), **facts}
        with atomic_file(self.folder / "args.json", "w", encoding="utf-8") as file:
            json.dump(content, file, indent=2, default=str)

    def restore(self, row: Mapping[str, Any], first_epoch: int) -> None:
        """Add the row of the epoch before `first_epoch`, stored in its checkpoint, if it could not be logged then."""
        known = {written["epoch"] for written in self._rows}
        if row.get("epoch") == first_epoch - 1 and str(row["epoch"]) not in known:
            self.epoch(row)

    def epoch(self, row: Mapping[str, Any]) -> None:
        """Add the row of an epoch (keys of `COLUMNS`; missing values stay empty)."""
        self._rows.append({name: _short(row.get(name, "")) for name in self._columns})
        self._write_rows()
        numbers = {name: value for name, value in row.items() if name != "epoch" and isinstance(value, int | float)}
        self._events.add({name: value for name, value in numbers.items() if value == value}, row["epoch"])
        from ops.common.figures import draw_curves  # slow to import

        draw_curves(self._rows, self.folder / "curves.png")

    def bad_samples(self, epoch: int, failures: Sequence[tuple[str, Failure]]) -> None:
        """Append videos that were broken ("replaced", "left out") or "cut short" to `bad_samples.csv`.

        Without any, only the header is written, which shows that none were found.
        """
        path = self.folder / "bad_samples.csv"
        new = not path.exists()
        with appended_file(path, newline="") as file:
            writer = TableWriter(file)
            if new:
                writer.writerow(("epoch", "index", "path", "what", "reason"))
            for what, failure in failures:
                writer.writerow((epoch, failure.index, failure.path, what, failure.reason))

    def close(self) -> None:
        """Close the TensorBoard file."""
        self._events.close()

    def _write_rows(self) -> None:
        with atomic_file(self.folder / "log.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self._columns)
            writer.writeheader()
            writer.writerows(self._rows)


def _rows_before(path: Path, epoch: int, columns: Sequence[str]) -> list[dict[str, str]]:
    if not epoch or not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            rows = [{name: _number(path, row.get(name), name) for name in columns} for row in csv.DictReader(file)]
    except (OSError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read ({error}); move it away to start a new log") from None
    return [row for row in rows if row["epoch"].isdecimal() and int(row["epoch"]) < epoch]


def _number(path: Path, cell: Any, column: str) -> str:
    """A cell of the log; "" if it is not a number, because somebody may have edited the file."""
    try:
        float(cell or "nan")
    except (TypeError, ValueError):
        log.warning("%s: %r is not a number (%s) and is left out", path, cell, column)
        return ""
    return cell or ""


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}" if value == value else ""
    return str(value)
