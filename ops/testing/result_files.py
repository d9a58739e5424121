"""The result files of a test: they replace those of an earlier test all together, or not at all."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from ops.common.csv_tables import header_line
from ops.common.errors import InputError, RunStoppedError
from ops.common.storage import atomic_file, begins_with, make_folder, sync
from ops.testing import multi_label_results, results
from ops.testing.multi_label_results import MultiLabelResult
from ops.testing.results import MISTAKES, PER_CLASS, PREDICTIONS, WORST, TestResult

METRICS = "metrics.json"
"""Written last and removed first: if it is missing, the results are incomplete."""

TABLES = {
    "predictions.csv": (PREDICTIONS[:7],),
    "per_class.csv": (PER_CLASS[:7], multi_label_results.PER_CLASS),
    "mistakes.csv": (MISTAKES,),
}
"""The CSV files and what their first columns can be, which earlier versions wrote too."""

FILES = (*TABLES, "worst.txt", "confusion.npy", "confusion.png", METRICS)
"""All result files, in the order in which they are moved into place. Not every test writes all of them."""

LINES = 20
"""How many classes and mistakes `worst.txt` lists."""

_STAGED = ".results."
"""Prefix of the name of the temporary folder."""


@contextmanager
def whole_results(folder: Path) -> Iterator[Path]:
    """An empty folder to write some of `FILES` to; after the block, `folder` contains these, and no others of `FILES`.

    `folder` is created again if it was removed. After an error nothing has changed. A kill while files are being moved
    leaves results without metrics.json, which the next test replaces. RunStoppedError if files cannot be written.
    """
    staged: Path | None = None
    try:
        make_folder(folder)
        for left in folder.glob(f"{_STAGED}*"):  # left by a test that was killed
            shutil.rmtree(left, ignore_errors=True)
        staged = Path(tempfile.mkdtemp(prefix=_STAGED, dir=folder))
        yield staged
        for name in reversed(FILES):
            if name == METRICS or not (staged / name).exists():
                (folder / name).unlink(missing_ok=True)
        for name in FILES:
            if (staged / name).exists():
                os.replace(staged / name, folder / name)
        sync(folder)
    except OSError as error:
        raise RunStoppedError(f"{folder}: results cannot be written ({error.strerror or error})") from error
    except InputError as error:  # for example, the disk is full
        raise RunStoppedError(str(error).replace(os.fspath(staged or folder), os.fspath(folder))) from error
    finally:
        if staged:
            shutil.rmtree(staged, ignore_errors=True)


def check_results_replaceable(folder: Path) -> None:
    """InputError if one of `FILES` exists in `folder` and was not written by a test."""
    for name in FILES:
        if os.path.lexists(folder / name) and not _is_result(folder, name):
            raise InputError(
                f"{folder / name}: already exists and was not written by a test; move it away, or give another --output"
            )


def _is_result(folder: Path, name: str) -> bool:
    path = folder / name
    if name in TABLES:
        return any(begins_with(path, header_line(columns, end="")) for columns in TABLES[name])
    if name == "worst.txt":
        return begins_with(path, WORST.encode())
    if name == METRICS:
        with suppress(OSError, ValueError, RecursionError):
            content = json.loads(path.read_bytes())
            return isinstance(content, dict) and {"expected", "scored", "failed"} <= content.keys()
        return False
    # Arrays and images do not show who wrote them, but come with this table.
    return path.is_file() and _is_result(folder, "per_class.csv")


def write_files(
    folder: Path, result: TestResult, class_names: list[str] | None, softmax: bool, facts: Mapping[str, Any]
) -> None:
    """Write the `result` of a test to `folder`, with `facts` about it in metrics.json; see `whole_results`.

    With `softmax`, scores are probabilities.
    """
    if isinstance(result, MultiLabelResult):
        _write_multi_label_files(folder, result, class_names, facts)
        return
    with whole_results(folder) as staged:
        results.write_predictions(staged / "predictions.csv", result, class_names, softmax)
        if result.counted.any():
            _write_details(staged, result, class_names, softmax)
        results.write_metrics(staged / METRICS, result, facts)


def _write_multi_label_files(
    folder: Path, result: MultiLabelResult, class_names: list[str] | None, facts: Mapping[str, Any]
) -> None:
    """The same for videos with several labels: there is no confusion matrix, and no list of mistakes."""
    with whole_results(folder) as staged:
        multi_label_results.write_predictions(staged / "predictions.csv", result, class_names)
        if result.counted.any():
            names = class_names or [str(k) for k in range(result.scores.shape[1])]
            multi_label_results.write_per_class(staged / "per_class.csv", result, names)
        multi_label_results.write_metrics(staged / METRICS, result, facts)


def _write_details(folder: Path, result: TestResult, class_names: list[str] | None, softmax: bool) -> None:
    """The files that need labels: accuracy of each class, confusion matrix, the most confident mistakes."""
    from ops.common.figures import draw_confusion  # slow to import

    names = class_names or [str(k) for k in range(result.scores.shape[1])]
    confusion = results.confusion_matrix(result)
    with atomic_file(folder / "confusion.npy") as file:
        np.save(file, confusion)
    draw_confusion(confusion, names, folder / "confusion.png")
    worst = results.write_per_class(folder / "per_class.csv", result, names)
    mistakes = results.write_mistakes(folder / "mistakes.csv", result, names, softmax)
    with atomic_file(folder / "worst.txt", "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(f"{results.WORST}\n" + "".join(f"  {line}\n" for line in worst[:LINES]))
        file.write("\nThe most confident mistakes:\n\n" + "".join(f"  {line}\n" for line in mistakes[:LINES]))
