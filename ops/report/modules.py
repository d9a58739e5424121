"""Comparing temporal modules, each trained with several seeds: one page, a Markdown table and a CSV file."""

import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from ops.common.csv_tables import TableWriter
from ops.common.figures import curves_figure
from ops.common.html import figure_uri, write_page
from ops.common.storage import atomic_file
from ops.report import over_seeds
from ops.report.over_seeds import number_cell
from ops.report.results import Results, finite, read_json, table

RUN_NAME = re.compile(r"(?P<module>.+)_seed(?P<seed>\d+)")
"""The folder of a run: its module, or whatever distinguishes it, and its seed."""

EXPLANATION = Path("explain", "explain.json")
"""In the folder of a run, if `tools/explain.py --fix_kernels` has scored the test's videos."""

FIXED = "{}, fixed kernels"
"""The row of a module whose kernels were replaced by their means over all videos."""


@dataclass(frozen=True)
class Cost:
    """What a network costs: `parameters`, multiply-adds `macs` of a clip, and `latency` of a clip in seconds."""

    parameters: int
    macs: int
    latency: float | None = None


@dataclass
class Module:
    """The runs of one module.

    Attributes:
        top1: the test's top-1 in percent, by seed.
        step: seconds of computing per training step, the median over epochs and seeds; None if not logged.
        classes: top-1 in percent of each class, the mean over seeds.
        problems: what is missing, in words.
    """

    name: str
    top1: dict[int, float] = field(default_factory=dict)
    step: float | None = None
    classes: dict[str, float] = field(default_factory=dict)
    rows: list[Mapping[str, str]] = field(default_factory=list)
    cost: Cost | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def mean(self) -> float | None:
        """Mean top-1 over seeds, in percent."""
        return over_seeds.mean(self.top1)

    @property
    def deviation(self) -> float | None:
        """Standard deviation over seeds (of a sample); None for fewer than two."""
        return over_seeds.spread(self.top1)


def group_runs(found: Sequence[Results]) -> list[Module]:
    """The runs by module, in the order in which modules appear; runs without a test are named as problems.

    The accuracies with fixed kernels, if they were measured, have a separate row.
    """
    modules: dict[str, Module] = {}
    steps: dict[str, list[float]] = {}
    per_class: dict[str, dict[str, list[float]]] = {}
    for results in found:
        match = RUN_NAME.fullmatch(results.name)
        name, seed = (match["module"], int(match["seed"])) if match else (results.name, 0)
        module = modules.setdefault(name, Module(name))
        top1 = results.test.metric("top1") if results.test else None
        if top1 is None:
            module.problems.append(f"{results.name} has no result of a test")
            continue
        module.top1[seed] = top1
        fixed = _top1_with_fixed_kernels(results)
        if fixed is not None:
            modules.setdefault(FIXED.format(name), Module(FIXED.format(name))).top1[seed] = fixed
        for row in results.test.classes if results.test else ():
            if row.top1 is not None:
                per_class.setdefault(name, {}).setdefault(row.name, []).append(row.top1)
        if results.training and results.training.rows:
            module.rows = module.rows or list(results.training.rows)
            steps.setdefault(name, []).extend(_step_seconds(results.training.rows))
    for name, module in modules.items():
        module.step = statistics.median(steps[name]) if steps.get(name) else None
        module.classes = {key: statistics.fmean(values) for key, values in per_class.get(name, {}).items()}
    return list(modules.values())


def _top1_with_fixed_kernels(results: Results) -> float | None:
    """Top-1 in percent with the mean kernels of all videos; None if it was not measured."""
    path = results.folder / EXPLANATION
    written: dict[str, Any] = results.read(path, read_json, {}) if path.exists() else {}
    found = table(written.get("fixed_kernels"))
    right, labelled = finite(found.get("right_fixed")), finite(found.get("labelled"))
    return 100 * right / labelled if right is not None and labelled else None


def _step_seconds(rows: Sequence[Mapping[str, str]]) -> list[float]:
    """Seconds of computing per step in each epoch; `step` in a log counts from the beginning of the run."""
    out, before = [], 0
    for row in rows:
        steps, seconds = int(row.get("step") or 0) - before, float(row.get("compute_seconds") or 0)
        before += steps
        if steps > 0 and seconds > 0:
            out.append(seconds / steps)
    return out


COLUMNS = ("module", "top-1 %", "over seeds", "seeds", "parameters (M)", "GMACs", "latency (ms)", "training step (ms)")


def cells_of(module: Module) -> list[str]:
    """A row of the table, by `COLUMNS`."""
    cost = module.cost
    return [
        module.name,
        number_cell(module.mean),
        over_seeds.spread_cell(module.top1),
        over_seeds.seeds_cell(module.top1),
        number_cell(cost.parameters / 1e6 if cost else None, 2),
        number_cell(cost.macs / 1e9 if cost else None, 3),
        number_cell(1e3 * cost.latency if cost and cost.latency else None, 1),
        number_cell(1e3 * module.step if module.step else None, 0),
    ]


def markdown_table(modules: Sequence[Module]) -> str:
    """The table, best module first, as Markdown."""
    return over_seeds.markdown_table(COLUMNS, [cells_of(module) for module in _ranked(modules)])


def _ranked(modules: Sequence[Module]) -> list[Module]:
    return sorted(modules, key=lambda module: -(module.mean if module.mean is not None else -1))


def write_csv(path: Path, modules: Sequence[Module]) -> None:
    """One row per module and seed, with all digits."""
    with atomic_file(path, "w", newline="", encoding="utf-8") as file:
        writer = TableWriter(file)
        writer.writerow(("module", "seed", "top1", "parameters", "macs", "latency_seconds", "step_seconds"))
        for module in modules:
            cost = module.cost
            facts = (cost.parameters, cost.macs, cost.latency or "") if cost else ("", "", "")
            for seed, top1 in sorted(module.top1.items()):
                writer.writerow((module.name, seed, f"{top1:.6g}", *facts, module.step or ""))


def accuracy_figure(modules: Sequence[Module], chance: float | None) -> Figure:
    """A row per module: the accuracy of each seed as a dot, their mean as a bar, and chance as a line."""
    ranked = [module for module in _ranked(modules) if module.top1][::-1]
    figure = Figure(figsize=(8, 0.42 * len(ranked) + 1.1), layout="constrained")
    axes = figure.subplots()
    for place, module in enumerate(ranked):
        axes.barh(place, module.mean or 0, color="#4a90d9", alpha=0.35)
        axes.plot(list(module.top1.values()), [place] * len(module.top1), "o", color="#1d4e89", markersize=4)
    if chance is not None:
        axes.axvline(chance, color="#6b7280", linestyle=":")
        axes.text(chance, len(ranked) - 0.4, " chance", fontsize=8, color="#6b7280")
    axes.set_yticks(range(len(ranked)), [module.name for module in ranked])
    axes.set_xlim(0, 101)
    axes.set_xlabel("top-1 (%)")
    return figure


def write_modules_page(path: Path, modules: Sequence[Module], facts: Mapping[str, str], chance: float | None) -> None:
    """The page about `modules`; `facts` are names and values that are shown below the title."""
    ranked = _ranked(modules)
    curves = {module.name: module.rows for module in ranked if module.rows}
    names = sorted({name for module in modules for name in module.classes})
    write_page(
        path,
        "modules.html",
        title="Temporal modules compared",
        facts=dict(facts),
        columns=COLUMNS,
        rows=[cells_of(module) for module in ranked],
        accuracies=figure_uri(accuracy_figure(modules, chance)) if any(module.top1 for module in modules) else "",
        curves=figure_uri(curves_figure(curves)) if curves else "",
        modules=[module.name for module in ranked if module.classes],
        classes=[(name, [module.classes.get(name) for module in ranked if module.classes]) for name in names],
        problems=[problem for module in modules for problem in module.problems],
    )
