"""Csv files that a spreadsheet shows as they are, and that are read back as they were.

A spreadsheet takes a cell that begins with one of = + - @ for a formula, which can fetch and send what it likes; paths
and class names come from others. Such a cell is written with an apostrophe before it, which says "text" there, unless
it is a number. `read_rows` takes the apostrophe off again; other programs find it in the cell.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-](inf|nan)")


def protected(cell: Any) -> Any:
    """`cell` as it is written: text that would be a formula, or looks like one protected, begins with one more '."""
    if isinstance(cell, str) and _FORMULA.match(cell) and not _NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell


def restored(cell: str) -> str:
    """What `protected` was given."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


class TableWriter:
    """A `csv.writer` on `file` whose cells are `protected`."""

    def __init__(self, file: IO[str], **options: Any) -> None:
        self._writer = csv.writer(file, **options)

    def writerow(self, row: Iterable[Any]) -> None:
        """Write one row."""
        self._writer.writerow(map(protected, row))

    def writerows(self, rows: Iterable[Iterable[Any]]) -> None:
        """Write rows, one after the other."""
        for row in rows:
            self.writerow(row)


def read_rows(file: Iterable[str]) -> tuple[Sequence[str], Iterator[dict[str, str]]]:
    """The columns of a csv file, and its rows as they were given to a `TableWriter`; "" where a line is too short."""
    reader = csv.DictReader(file, restval="")
    names = [restored(name) for name in reader.fieldnames or ()]
    return names, ({restored(str(key)): restored(str(value)) for key, value in row.items()} for row in reader)


def header_line(columns: Sequence[str], end: str = "\r\n") -> bytes:
    """The first line of a csv file with these columns."""
    text = io.StringIO()
    csv.writer(text, lineterminator=end).writerow(columns)
    return text.getvalue().encode()
