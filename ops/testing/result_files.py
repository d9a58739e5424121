"""The files of a test's results: they appear together, in place of those of an earlier test, or not at all."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ops.common.csv_tables import header_line
from ops.common.errors import InputError, RunStoppedError
from ops.common.storage import begins_with, sync
from ops.testing.results import MISTAKES, PER_CLASS, PREDICTIONS, WORST

METRICS = "metrics.json"
"""Written last, and removed first: where it is not there, the results are not complete."""

TABLES = {"predictions.csv": PREDICTIONS, "per_class.csv": PER_CLASS, "mistakes.csv": MISTAKES}
"""The csv files and their columns."""

FILES = (*TABLES, "worst.txt", "confusion.npy", "confusion.png", METRICS)
"""All of them, in the order in which they are put in place. Not every test has all."""

_STAGED = ".results."
"""How the name of the folder begins in which they are made."""


@contextmanager
def whole_results(folder: Path) -> Iterator[Path]:
    """An empty folder to write some of `FILES` into; after the block they are in `folder`, and no others of `FILES`.

    After an error all is as it was. A kill while they are moved leaves results without metrics.json, which the next
    test replaces. RunStoppedError where files cannot be written.
    """
    for left in folder.glob(f"{_STAGED}*"):  # by a test that was killed
        shutil.rmtree(left, ignore_errors=True)
    staged: Path | None = None
    try:
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
    except InputError as error:  # the disk is full, say
        raise RunStoppedError(str(error).replace(os.fspath(staged or folder), os.fspath(folder))) from error
    finally:
        if staged:
            shutil.rmtree(staged, ignore_errors=True)


def check_results_replaceable(folder: Path) -> None:
    """InputError where one of `FILES` is in `folder` and was not written by a test."""
    for name in FILES:
        if os.path.lexists(folder / name) and not _is_result(folder, name):
            raise InputError(
                f"{folder / name}: is there already and was not written by a test; move it away, or give another "
                "--output"
            )


def _is_result(folder: Path, name: str) -> bool:
    path = folder / name
    if name in TABLES:
        return begins_with(path, header_line(TABLES[name]))
    if name == "worst.txt":
        return begins_with(path, WORST.encode())
    if name == METRICS:
        with suppress(OSError, ValueError, RecursionError):
            content = json.loads(path.read_bytes())
            return isinstance(content, dict) and {"expected", "scored", "failed"} <= content.keys()
        return False
    # Arrays and pictures say nothing of who made them, but come with this table.
    return path.is_file() and begins_with(folder / "per_class.csv", header_line(PER_CLASS))
