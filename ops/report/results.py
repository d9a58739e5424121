"""Reading the results of training runs and tests: all files that exist, and a message for each missing one."""

import csv
import json
import math
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ops.common.csv_tables import read_rows
from ops.common.errors import InputError
from ops.common.text import one_line
from ops.training.main_metric import MEAN_AP
from ops.training.run_log import COLUMNS

T = TypeVar("T")
Row = dict[str, str]

TRAINING_FILES = ("log.csv", "args.json", "curves.png", "bad_samples.csv", "preempted")
TEST_FILES = ("metrics.json", "predictions.csv", "per_class.csv", "confusion.npy", "confusion.png", "mistakes.csv")
LARGEST_JSON = 2**26
"""Size limit in bytes. A larger file was not written by a run or a test."""

TEST_FOLDER = "test"
"""The default folder of a test, in the folder of its run."""


@dataclass(frozen=True)
class ClassResult:
    """A row of `per_class.csv`: percentages are None if no video of the class was scored.

    A test of videos with several labels has `average_precision`, `precision` and `recall` instead of the others.
    """

    name: str
    videos: int
    top1: float | None
    top5: float | None
    taken_for: str
    times: int
    average_precision: float | None = None
    precision: float | None = None
    recall: float | None = None


@dataclass(frozen=True)
class Training:
    """The files of a training run: `args.json`, the rows of `log.csv` and `bad_samples.csv`.

    `stopped` is why it was stopped, "" if it was not; `picture` is `curves.png`, if there is no log.
    """

    folder: Path
    facts: dict[str, Any]
    rows: list[Row]
    bad_samples: list[Row]
    stopped: str
    picture: bytes

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of the training script, {} if unknown."""
        return table(self.facts.get("arguments"))


@dataclass(frozen=True)
class Test:
    """The files of a test: `metrics.json`, and those that need labels, if the list had any.

    `confusion [K, K]` has a row per true class; `picture` is `confusion.png`, if the numbers are missing.
    """

    __test__ = False  # not a pytest test

    folder: Path
    metrics: dict[str, Any]
    classes: list[ClassResult]
    confusion: NDArray[np.int64] | None
    mistakes: list[Row]
    predictions: list[Row]
    picture: bytes

    def metric(self, name: str) -> float | None:
        """A number from `metrics.json`, None if it is missing."""
        return finite(self.metrics.get(name))

    @property
    def multi_label(self) -> bool:
        """Whether the videos have several labels each."""
        return self.metrics.get("multi_label") is True

    @property
    def right(self) -> dict[str, bool]:
        """Path of each scored video with a label → whether it was predicted correctly."""
        return {
            row["path"]: row["label"] == row["prediction"]
            for row in self.predictions
            if row["ok"] == "True" and row["label"]
        }


@dataclass
class Results:
    """The training and test in a folder, with a name; `missing` says what cannot be shown, and why."""

    name: str
    folder: Path
    training: Training | None = None
    test: Test | None = None
    missing: list[str] = field(default_factory=list)

    def read(self, path: Path, how: Callable[[Path], T], otherwise: T) -> T:
        """`how(path)`; or, if the file is missing or malformed, `otherwise` and a message."""
        try:
            return how(path)
        except FileNotFoundError:
            self.missing.append(f"{path}: does not exist")
        except (OSError, ValueError, ArithmeticError, LookupError, RecursionError, MemoryError, csv.Error) as error:
            self.missing.append(one_line(f"{path}: cannot be read ({error or type(error).__name__})"))
        return otherwise


def read_results(folders: Sequence[str]) -> list[Results]:
    """The results in each folder, given as `FOLDER` or `NAME=FOLDER`; InputError if one contains none.

    Default names are those of the folders (for `test/`, that of the run's folder), made unique if necessary.
    """
    found = [_read_folder(*_name_of(argument)) for argument in folders]
    names = [results.name for results in found]
    for results in found:
        if names.count(results.name) > 1:
            results.name = f"{results.name} ({results.folder})"
    for number, results in enumerate(found):  # the same folder was given twice
        if results.name in [other.name for other in found[:number]]:
            results.name += f" #{number + 1}"
    return found


def table(value: Any) -> dict[str, Any]:
    """`value` if it is a dictionary, else {}."""
    return value if isinstance(value, dict) else {}


def finite(value: Any) -> float | None:
    """`value` if it is a finite number, else None."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) <= sys.float_info.max else None


def _name_of(argument: str) -> tuple[str, Path]:
    if "=" in argument and not os.path.isdir(argument):
        name, _, path = argument.rpartition("=")
        return name or path, Path(path)
    folder = Path(argument).absolute()
    return (folder.parent.name if folder.name == TEST_FOLDER else folder.name) or str(folder), Path(argument)


def _read_folder(name: str, folder: Path) -> Results:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give the folder of a training run or of a test's results")
    results = Results(name, folder)
    if _any_of(TRAINING_FILES, folder):
        results.training = _read_training(results)
    if _any_of(TEST_FILES, folder):
        results.test = _read_test(results, folder)
    elif _any_of(TEST_FILES, folder / TEST_FOLDER):
        results.test = _read_test(results, folder / TEST_FOLDER)
    elif results.training:
        results.missing.append(f"{folder / TEST_FOLDER}: contains no results of a test")
    if not (results.training or results.test):
        raise InputError(f"{folder}: contains no results; looked for {', '.join((*TRAINING_FILES, *TEST_FILES))}")
    return results


def _any_of(names: Sequence[str], folder: Path) -> bool:
    return any((folder / name).is_file() for name in names)


def _read_training(results: Results) -> Training:
    folder = results.folder
    rows: list[Row] = results.read(folder / "log.csv", _read_log, [])
    bad, marker, picture = (folder / name for name in ("bad_samples.csv", "preempted", "curves.png"))
    return Training(
        folder,
        results.read(folder / "args.json", read_json, {}),
        rows,
        results.read(bad, lambda path: _read_rows(path, ("path", "what", "reason")), []) if bad.exists() else [],
        results.read(marker, _read_text, "").strip() if marker.exists() else "",
        results.read(picture, _read_picture, b"") if not rows and picture.exists() else b"",
    )


def _read_test(results: Results, folder: Path) -> Test:
    metrics: dict[str, Any] = results.read(folder / "metrics.json", read_json, {})
    columns = ("path", "label", "prediction", "ok", "reason")
    rows: list[Row] = results.read(folder / "predictions.csv", lambda path: _read_rows(path, columns), [])
    if metrics and metrics.get("top1") is None and not (folder / "per_class.csv").exists():
        return Test(folder, metrics, [], None, [], rows, b"")  # no labels, or no video was scored: nothing is missing
    if metrics.get("multi_label") is True:
        classes: list[ClassResult] = results.read(folder / "per_class.csv", _read_class_figures, [])
        return Test(folder, metrics, classes, None, [], rows, b"")
    classes = results.read(folder / "per_class.csv", _read_classes, [])
    confusion = results.read(folder / "confusion.npy", _read_confusion, None)
    mistakes = ("path", "label", "prediction", "confidence", "confidence_in_label")
    picture = folder / "confusion.png"
    return Test(
        folder, metrics, classes, confusion,
        results.read(folder / "mistakes.csv", lambda path: _read_rows(path, mistakes), []), rows,
        results.read(picture, _read_picture, b"") if confusion is None and picture.exists() else b"",
    )  # fmt: skip


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; ValueError if it is larger than `LARGEST_JSON`, or no object."""
    if path.stat().st_size > LARGEST_JSON:
        raise ValueError(f"more than {LARGEST_JSON} bytes")
    value = json.loads(path.read_text("utf-8"))
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def _read_text(path: Path) -> str:
    return path.read_text("utf-8", "surrogateescape")


def _read_rows(path: Path, columns: Sequence[str]) -> list[Row]:
    """The rows of a CSV file, which must have `columns`; cells missing from a line are empty."""
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        names, rows = read_rows(file)
        lacking = [name for name in columns if name not in names]
        if lacking:
            raise ValueError(f"there is no column {lacking[0]}")
        return list(rows)


def _read_log(path: Path) -> list[Row]:
    """The rows of a log, whose cells must be numbers or empty."""
    rows = _read_rows(path, ("epoch", "lr", "train_loss"))
    for row in rows:
        int(row["epoch"])
        for name in (*COLUMNS, MEAN_AP.column):
            float(row.get(name) or 0)
        if not math.isfinite(float(row["lr"] or 0)):
            raise ValueError(f"a learning rate of {row['lr']}")
    return rows


def _read_classes(path: Path) -> list[ClassResult]:
    rows = _read_rows(path, ("name", "videos", "top1", "top5", "taken_for", "times"))
    return [
        ClassResult(
            row["name"], int(row["videos"]), _percent(row["top1"]), _percent(row["top5"]), row["taken_for"],
            int(row["times"] or 0),
        )
        for row in rows
    ]  # fmt: skip


def _read_class_figures(path: Path) -> list[ClassResult]:
    """The classes of a test of videos with several labels."""
    figures = ("average_precision", "precision", "recall")
    return [
        ClassResult(row["name"], int(row["videos"]), None, None, "", 0, *(_percent(row[name]) for name in figures))
        for row in _read_rows(path, ("name", "videos", *figures))
    ]


def _percent(cell: str) -> float | None:
    return float(cell) if cell else None


def _read_confusion(path: Path) -> NDArray[np.int64]:
    with np.errstate(over="ignore"):  # with a memory map, a file shorter than its header claims is refused
        matrix = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(matrix, np.ndarray) or matrix.ndim != 2 or len(set(matrix.shape)) != 1 or not matrix.size:
        raise ValueError("not a square matrix")
    if matrix.dtype.kind not in "iu" or (matrix < 0).any():
        raise ValueError("not a matrix of counts")
    return matrix.astype(np.int64)


def _read_picture(path: Path) -> bytes:
    content = path.read_bytes()
    if not content.startswith(b"\x89PNG"):
        raise ValueError("not a PNG image")
    return content
