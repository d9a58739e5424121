"""What a training run writes about itself: arguments, a row per epoch, curves, TensorBoard events, bad samples."""

import csv
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tensorboardX import SummaryWriter

from ops.datasets import Failure
from ops.figures import draw_curves
from ops.provenance import software
from ops.storage import appended_file, atomic_file
from ops.tables import TableWriter

COLUMNS = (
    "epoch", "step", "lr", "train_loss", "train_top1", "train_top5", "val_loss", "val_top1", "val_top5",
    "val_scored", "val_failed", "best_top1", "data_seconds", "compute_seconds", "seconds", "bad_samples",
)  # fmt: skip


class RunLog:
    """The logs of one run in `folder`, which exists.

    On resuming at `first_epoch` rows of that epoch and later ones are dropped, so that every epoch has one row.
    """

    def __init__(self, folder: Path, first_epoch: int) -> None:
        self.folder = folder
        self._rows = _rows_before(folder / "log.csv", first_epoch)
        self._write_rows()
        self._events = SummaryWriter(str(folder), purge_step=first_epoch if first_epoch else None)

    def arguments(self, args: Mapping[str, Any], **facts: Any) -> None:
        """Write `args.json`: the command, the arguments and what ran them."""
        content = {"command": sys.argv, "arguments": dict(args), **software(), **facts}
        with atomic_file(self.folder / "args.json", "w", encoding="utf-8") as file:
            json.dump(content, file, indent=2, default=str)

    def epoch(self, row: Mapping[str, Any]) -> None:
        """Add the row of an epoch (keys of `COLUMNS`; what is missing stays empty)."""
        self._rows.append({name: _short(row.get(name, "")) for name in COLUMNS})
        self._write_rows()
        for name, value in row.items():
            if name != "epoch" and isinstance(value, int | float) and value == value:
                self._events.add_scalar(name.replace("_", "/", 1), value, row["epoch"])
        self._events.flush()
        draw_curves(self._rows, self.folder / "curves.png")

    def bad_samples(self, epoch: int, failures: Sequence[tuple[str, Failure]]) -> None:
        """Append videos that were broken ("replaced", "left out") or "cut short" to `bad_samples.csv`.

        Without any there is a header at least, which says that none was found.
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
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(self._rows)


def _rows_before(path: Path, epoch: int) -> list[dict[str, str]]:
    if not epoch or not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = [{name: row.get(name) or "" for name in COLUMNS} for row in csv.DictReader(file)]
    return [row for row in rows if row["epoch"].isdecimal() and int(row["epoch"]) < epoch]


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}" if value == value else ""
    return str(value)
