"""The log of single training steps (`--log_every`): `steps.csv`, and a TensorBoard file in the folder `steps`."""

import csv
import time
from pathlib import Path

import torch
from torch import Tensor

from ops.common import distributed
from ops.common.errors import InputError
from ops.common.storage import appended_file, atomic_file, make_folder
from ops.training.tensorboard_events import EventFile

COLUMNS = ("step", "epoch", "loss", "lr", "grad_norm", "clips_per_second", "data_seconds")


class StepLog:
    """Logs every `every`-th step of a run (0: none) in `folder`; None in all processes but the first.

    When resuming after `done` steps, rows of later steps are dropped, so that no step has two rows. Steps are counted
    over the whole run. `loss` is that of the step, the mean over all clips of all processes; `grad_norm` the norm of
    all gradients before clipping; `lr` the base rate. `clips_per_second`, over all processes, and `data_seconds`,
    the wait of the first process for clips per step, are averages since the last row or the start of the epoch.

    The folder `steps` is separate because the TensorBoard file of the epochs, when it hides the epochs that a resumed
    run repeats, would also hide steps in its folder. Only logged steps read from the device, which makes the host wait.
    """

    def __init__(self, every: int = 0, folder: Path | None = None, done: int = 0) -> None:
        self.every, self._events = every, None
        self._path = folder / "steps.csv" if folder else None
        if self._path and (every or self._path.exists()):
            _keep_rows(self._path, done)
        if folder and every:
            self._events = EventFile(make_folder(folder / "steps"), done + 1 if done else 0)
        self._values: tuple[Tensor, Tensor] | None = None
        self.start_pass()

    def start_pass(self) -> None:
        """Reset the counts of clips and time, at the start of an epoch or of a part of one."""
        self._mark, self._clips, self._steps, self._waited = time.perf_counter(), 0, 0, 0.0

    def observe(self, loss: Tensor, norm: Tensor) -> None:
        """Remember a step's loss and gradient norm, scalars on the device that are only read if they are logged."""
        if self.every:
            self._values = loss, norm

    def is_due(self, step: int) -> bool:
        """Whether the step with this number, counted from 1, is logged."""
        return bool(self.every) and step % self.every == 0

    def count(self, clips: int) -> None:
        """Count the `clips` of a step, of all processes."""
        self._clips, self._steps = self._clips + clips, self._steps + 1

    def write(self, step: int, epoch: int, rate: float, weight: float, waited: float) -> None:
        """Log the step observed last; all processes must call this together. InputError if it cannot be written.

        `weight` is the factor on the gradients of this process's clips, `waited` the seconds for which this pass has
        waited for clips so far.
        """
        if self._values is None:
            return
        loss, norm = self._values
        loss = distributed.sum_over_ranks(loss.detach() * weight) / distributed.world_size()
        if not self._path or not self._events:
            return
        mean_loss, grad_norm = torch.stack([loss, norm.to(loss)]).tolist()
        now = time.perf_counter()
        row = {
            "loss": mean_loss,
            "lr": rate,
            "grad_norm": grad_norm,
            "clips_per_second": self._clips / max(now - self._mark, 1e-9),
            "data_seconds": (waited - self._waited) / max(self._steps, 1),
        }
        self._mark, self._clips, self._steps, self._waited = now, 0, 0, waited
        with appended_file(self._path, newline="") as file:
            csv.writer(file).writerow((step, epoch, *(f"{row[name]:.6g}" for name in COLUMNS[2:])))
        self._events.add({f"step_{name}": value for name, value in row.items() if value == value}, step)

    def close(self) -> None:
        """Close the TensorBoard file; everything has already been written."""
        if self._events:
            self._events.close()


def _keep_rows(path: Path, done: int) -> None:
    """Rewrite the log at `path` with the rows of the first `done` steps only; a line that was cut off goes too."""
    rows = []
    try:
        if done and path.exists():
            with path.open(newline="", encoding="utf-8", errors="replace") as file:
                rows = [row for row in csv.reader(file) if len(row) == len(COLUMNS) and row[0].isdecimal()]
    except (OSError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read ({error}); move it away to start a new log") from None
    with atomic_file(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, *(row for row in rows if int(row[0]) <= done)])
