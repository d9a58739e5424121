"""The logs of a training run: arguments, a row per epoch, curves, TensorBoard events, bad samples."""

import argparse
import csv
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ops.common.csv_tables import TableWriter
from ops.common.errors import InputError
from ops.common.storage import appended_file, atomic_file
from ops.data.datasets import Failure
from ops.models.checkpoint import Checkpoint
from ops.training.main_metric import TOP1, MainMetric, main_metric
from ops.training.resume import Progress
from ops.training.run_metadata import arithmetic, software
from ops.training.tensorboard_events import EventFile
from ops.training.tracking import Tracker, open_tracker
from ops.training.train_val_data import Data

log = logging.getLogger(__name__)

COLUMNS = (
    "epoch", "step", "lr", "train_loss", "train_top1", "train_top5", "val_loss", "val_top1", "val_top5",
    "val_scored", "val_failed", "best_top1", "data_seconds", "compute_seconds", "seconds", "bad_samples",
)  # fmt: skip


class RunLog:
    """The logs of one run in `folder`, which must exist.

    When resuming at `first_epoch`, rows of that epoch and later ones are dropped, so that each epoch has one row. A
    `metric` other than top-1 gets additional columns at the end.
    """

    def __init__(self, folder: Path, first_epoch: int, metric: MainMetric = TOP1) -> None:
        self.folder = folder
        self._columns = COLUMNS if metric == TOP1 else (*COLUMNS, metric.column, metric.best)
        self._rows = _rows_before(folder / "log.csv", first_epoch, self._columns)
        self._write_rows()
        self._events = EventFile(folder, first_epoch)
        self.tracker = Tracker()

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
        self.tracker.epoch(row)
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


def open_log(
    args: argparse.Namespace,
    rate: float,
    data: Data,
    folder: Path,
    progress: Progress,
    origin: Checkpoint | None,
    device: torch.device,
) -> RunLog:
    """Open the log of the run in `folder` at `progress`, and write its arguments.

    `origin` is the checkpoint that the run resumes from.
    """
    runlog = RunLog(Path(args.root_log) / folder.name, progress.epoch, main_metric(args.multi_label))
    runlog.tracker = open_tracker(args.track, runlog.folder, vars(args), origin is not None)
    if origin and isinstance(origin.rest.get("log_row"), Mapping):
        runlog.restore(origin.rest["log_row"], progress.epoch)
    runlog.arguments(
        vars(args), rate=rate, device=str(device), decoder=data.decoder, lists_sha256=data.list_hashes(),
        arithmetic=arithmetic(device),
    )  # fmt: skip
    return runlog


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
