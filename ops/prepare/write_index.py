"""Writing the index file beside a list from the outcomes of a job that has read its videos."""

import base64
import itertools
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from ops.common.errors import InputError
from ops.data.index_file import index_file_of, is_index_file, write_index_file
from ops.data.index_format import encode_index
from ops.data.video_index import VideoIndex
from ops.prepare.check_report import CheckedList
from ops.prepare.journal import Outcome
from ops.prepare.list_entries import plain_path

log = logging.getLogger(__name__)


def index_entry(index: VideoIndex) -> dict[str, str]:
    """The items about the index of a video in the value of an outcome."""
    return {"index": base64.b85encode(encode_index(index)).decode()}


def write_index(source: str | os.PathLike[str], paths: Iterable[str], outcome_of: Callable[[str], Outcome]) -> None:
    """Write the index file beside the list `source` of videos at `paths`, if any of them was read.

    `outcome_of` gives the outcome of a path. If the file cannot be written, this is logged, and training and tests work
    without it.
    """
    outcomes = ((path, outcome_of(plain_path(path))) for path in paths)
    rows = ((path, outcome.stamp, base64.b85decode(outcome.value["index"]))
            for path, outcome in outcomes if "index" in outcome.value)  # fmt: skip
    first = next(rows, None)
    if first is None:
        return
    path = index_file_of(source)
    try:
        if os.path.lexists(path) and not is_index_file(path):
            raise InputError(f"{path}: was not written by this project and is not overwritten")
        if write_index_file(path, itertools.chain([first], rows)):
            log.info("%s: lets training and tests read only the parts of videos that they need", path)
    except InputError as error:
        log.warning("%s; without this file, each process reads every video completely once", error)


def write_indexes(lists: Sequence[CheckedList], clean: Sequence[Path], outcome_of: Callable[[str], Outcome]) -> None:
    """`write_index` for each of `lists`, and for the lists `clean` of their good lines, if there are any."""
    for checked, path in itertools.zip_longest(lists, clean):
        records = checked.records
        write_index(records.source, map(records.path, range(len(records))), outcome_of)
        if path:
            write_index(path, map(records.path, np.flatnonzero(checked.good).tolist()), outcome_of)
