"""Figures over the seeds of a setting, and tables of them in Markdown."""

import statistics
from collections.abc import Mapping, Sequence


def mean(values: Mapping[int, float]) -> float | None:
    """The mean over seeds; None without any."""
    return statistics.fmean(values.values()) if values else None


def spread(values: Mapping[int, float]) -> float | None:
    """The standard deviation over seeds (of a sample); None for fewer than two."""
    return statistics.stdev(values.values()) if len(values) > 1 else None


def number_cell(value: float | None, places: int = 1) -> str:
    """A number with `places` decimals, or a dash for None."""
    return "–" if value is None else f"{value:.{places}f}"


def spread_cell(values: Mapping[int, float]) -> str:
    """The `spread` with its sign, or a dash."""
    return f"± {number_cell(spread(values))}" if len(values) > 1 else "–"


def seeds_cell(values: Mapping[int, float]) -> str:
    """The value of each seed, in the order of the seeds, or a dash."""
    return " ".join(f"{value:.1f}" for _, value in sorted(values.items())) or "–"


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n" for row in (columns, *rows)]
    return "".join([lines[0], f"|{' --- |' * len(columns)}\n", *lines[1:]])
