"""CSV files that are safe to open in a spreadsheet, and that are read back unchanged.

A spreadsheet treats a cell that begins with one of = + - @ as a formula, and formulas can send data elsewhere. Paths
and class names are not ours to trust. Such a cell is therefore written with an apostrophe in front, which spreadsheets
read as "text", unless it is a number. `read_rows` removes the apostrophe again; other programs see it.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-](inf|nan)")


def protected(cell: Any) -> Any:
    """`cell` as it is written: text that would be a formula, or that is already protected, gets one more ' in front."""
    if isinstance(cell, str) and _FORMULA.match(cell) and not _NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell


def restored(cell: str) -> str:
    """The inverse of `protected`."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


class TableWriter:
    """A `csv.writer` on `file` that writes all cells `protected`."""

    def __init__(self, file: IO[str], **options: Any) -> None:
        self._writer = csv.writer(file, **options)

    def writerow(self, row: Iterable[Any]) -> None:
        """Write one row."""
        self._writer.writerow(map(protected, row))

    def writerows(self, rows: Iterable[Iterable[Any]]) -> None:
        """Write several rows."""
        for row in rows:
            self.writerow(row)


def read_rows(file: Iterable[str]) -> tuple[Sequence[str], Iterator[dict[str, str]]]:
    """The column names and the rows of a CSV file written by `TableWriter`; "" for cells missing from a line."""
    reader = csv.DictReader(file, restval="")
    names = [restored(name) for name in reader.fieldnames or ()]
    return names, ({restored(str(key)): restored(str(value)) for key, value in row.items()} for row in reader)


def header_line(columns: Sequence[str], end: str = "\r\n") -> bytes:
    """The header line of a CSV file with these columns."""
    text = io.StringIO()
    csv.writer(text, lineterminator=end).writerow(columns)
    return text.getvalue().encode()
