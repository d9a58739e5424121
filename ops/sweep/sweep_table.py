"""The results of a sweep: a row for each setting, with the mean and the spread over its seeds, and the page."""

import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ops.common.csv_tables import TableWriter
from ops.common.errors import InputError
from ops.common.storage import atomic_file
from ops.report.over_seeds import markdown_table, mean, number_cell, seeds_cell, spread, spread_cell
from ops.report.page import write_report
from ops.report.results import Results, read_results
from ops.sweep.runs import Run
from ops.training.main_metric import TOP1, MainMetric, main_metric

log = logging.getLogger(__name__)

MISTAKES = 12
"""How many mistakes of each test the page shows."""


@dataclass
class Setting:
    """The runs of one setting, by seed: validation `metric` in percent at the end (`last`) and at best, and seconds."""

    values: Mapping[str, str]
    metric: MainMetric = TOP1
    last: dict[int, float] = field(default_factory=dict)
    best: dict[int, float] = field(default_factory=dict)
    seconds: dict[int, float] = field(default_factory=dict)
    results: list[Results] = field(default_factory=list)


def read_settings(out: Path, runs: Sequence[Run]) -> list[Setting]:
    """The results of the finished `runs` in the folder `out`, best setting first; runs without results are logged.

    The metric is top-1, or mAP if all runs have several labels per video.
    """
    found: list[tuple[Run, Results]] = []
    for run in runs:
        try:
            found += [(run, result) for result in read_results([f"{run.name}={out / run.name}"])]
        except InputError as error:
            log.warning("%s", error)
    trainings = [results.training for _, results in found if results.training]
    metric = main_metric(bool(trainings) and all(training.arguments.get("multi_label") for training in trainings))
    settings = {tuple(run.setting.values()): Setting(run.setting, metric) for run in runs}
    for run, results in found:
        setting = settings[tuple(run.setting.values())]
        setting.results.append(results)
        rows = results.training.rows if results.training else []
        values = [float(row[metric.column]) for row in rows if row.get(metric.column)]
        if not values:
            log.warning("%s: its log has no validation", run.name)
            continue
        setting.last[run.seed], setting.best[run.seed] = values[-1], max(values)
        setting.seconds[run.seed] = sum(float(row.get("seconds") or 0) for row in rows)
    return sorted(settings.values(), key=lambda setting: -(mean(setting.last) or -1.0))


def cells_of(setting: Setting) -> list[str]:
    """The row of a setting, formatted for people."""
    return [
        *setting.values.values(),
        number_cell(mean(setting.last)),
        spread_cell(setting.last),
        seeds_cell(setting.last),
        number_cell(mean(setting.best)),
        spread_cell(setting.best),
        number_cell(mean(setting.seconds), 0),
    ]


def columns_of(settings: Sequence[Setting]) -> list[str]:
    """The titles of `cells_of`."""
    names = list(settings[0].values) if settings else []
    metric = settings[0].metric if settings else TOP1
    return [*names, f"val {metric.words} %", "over seeds", "each seed", "best epoch %", "over seeds", "seconds"]


def write_results(out: Path, settings: Sequence[Setting]) -> None:
    """Write `sweep.csv`, `sweep.md` and `report.html` in the folder `out`, and print the table."""
    with atomic_file(out / "sweep.csv", "w", newline="", encoding="utf-8") as file:
        writer = TableWriter(file)
        names = list(settings[0].values) if settings else []
        metric = settings[0].metric if settings else TOP1
        figures = [f"{column}_{what}" for column in (metric.column, metric.best) for what in ("mean", "std")]
        writer.writerow([*names, "seeds", *figures, "seconds_mean"])
        for setting in settings:
            numbers = [mean(setting.last), spread(setting.last), mean(setting.best), spread(setting.best)]
            cells = ["" if value is None else f"{value:.6g}" for value in (*numbers, mean(setting.seconds))]
            writer.writerow([*setting.values.values(), " ".join(map(str, sorted(setting.last))), *cells])
    table = markdown_table(columns_of(settings), [cells_of(setting) for setting in settings])
    with atomic_file(out / "sweep.md", "w", encoding="utf-8") as file:
        file.write(table)
    found = [results for setting in settings for results in setting.results]
    if not found:
        return
    sys.stdout.write(table)
    write_report(str(out / "report.html"), found, None, MISTAKES)
    log.info("written: %s, sweep.csv and sweep.md", out / "report.html")
