"""The figures that training and testing write. Matplotlib draws them without a display."""

import gc
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter
from numpy.typing import NDArray

from ops.common.storage import atomic_file

NUMBERS_UP_TO = 20
"""With more classes than this, the cells of a confusion matrix show no numbers."""


def save_figure(figure: Figure, path: str | os.PathLike[str], dpi: int = 100, tight: bool = True) -> None:
    """Write a PNG, completely or not at all; `tight` fits its size to what is drawn, which takes as long again."""
    with atomic_file(path) as file:
        figure.savefig(file, format="png", dpi=dpi, bbox_inches="tight" if tight else None)


def cluster_order(confusion: NDArray[np.int64]) -> NDArray[np.int64]:
    """An order of the classes that puts classes that are confused with each other side by side: `[K, K]` → `[K]`.

    Hierarchical clustering (average linkage) on the rate of confusion between two classes, in both directions.
    """
    count = len(confusion)
    if count < 3:
        return np.arange(count)
    from scipy.cluster.hierarchy import leaves_list, linkage  # slow to import
    from scipy.spatial.distance import squareform

    share = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    distance = 1.0 - (share + share.T) / 2
    np.fill_diagonal(distance, 0.0)
    tree = linkage(squareform(distance, checks=False), method="average", optimal_ordering=count <= 500)
    order: NDArray[np.int64] = leaves_list(tree).astype(np.int64)
    return order


def draw_confusion(confusion: NDArray[np.int64], class_names: Sequence[str], path: Path) -> None:
    """`confusion.png`: see `confusion_figure`."""
    save_figure(confusion_figure(confusion, class_names), path)


def confusion_figure(confusion: NDArray[np.int64], class_names: Sequence[str]) -> Figure:
    """The confusion matrix as a figure: a row per true class, in percent of the row; confused classes are neighbours.

    The figure grows with the number of classes, so that every name is legible with 8 classes and with 400.
    """
    count = len(confusion)
    order = cluster_order(confusion)
    rows = confusion[order][:, order]
    share = 100.0 * rows / np.maximum(rows.sum(axis=1, keepdims=True), 1)
    side = float(np.clip(0.12 * count, 3.0 + 0.35 * min(count, NUMBERS_UP_TO), 48.0))
    small = count > NUMBERS_UP_TO
    font = 6 if small else 9
    figure = Figure(figsize=(side, side))
    axes = figure.add_subplot()
    image = axes.imshow(share, cmap="Blues", norm=PowerNorm(0.5, 0, 100), interpolation="nearest")
    names = [_plain(class_names[k]) for k in order]
    axes.set_xticks(range(count), names, rotation=90, fontsize=font)
    axes.set_yticks(range(count), names, fontsize=font)
    axes.set_xlabel("prediction")
    axes.set_ylabel("label")
    axes.set_title("Confusion in percent of each true class\n(classes that are confused are neighbours)", fontsize=10)
    if small:
        axes.tick_params(length=1, pad=1)
    else:
        for y, x in np.ndindex(count, count):
            if rows[y, x]:
                colour = "white" if share[y, x] > 40 else "black"
                axes.text(x, y, f"{share[y, x]:.0f}", ha="center", va="center", fontsize=8, color=colour)
    figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02, shrink=0.6)
    return figure


def draw_curves(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """`curves.png`: loss, top-1 and learning rate over the epochs of a run's `log.csv`."""
    save_figure(curves_figure({"": rows}), path, tight=False)
    # A figure and its artists refer to each other. During training, Python's garbage collector runs so rarely that
    # the figures of many epochs would pile up.
    gc.collect()


def curves_figure(runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """Loss, top-1 and learning rate over the epochs: name of a run → rows of its `log.csv`.

    Runs with several labels per video have mAP instead of top-1. With one run, training and validation have a colour
    each; with several, each run has a colour, and training is dashed.
    """
    figure = Figure(figsize=(12, 3.4))
    panels = figure.subplots(1, 3)
    for axes, title, names in (
        (panels[0], "loss", ("train_loss", "val_loss")),
        (panels[1], _accuracy(runs), ("train_top1", "val_top1")),
        (panels[2], "learning rate", ("lr",)),
    ):
        for number, (run, rows) in enumerate(runs.items()):
            several = any(_has(row, "val_mAP") for row in rows)
            for name in ("val_mAP",) if several and axes is panels[1] else names:
                points = [(int(row["epoch"]) + 1, float(row[name])) for row in rows if _has(row, name)]
                label = {"train": "training", "val": "validation"}.get(name.split("_")[0], name)
                style: dict[str, Any] = {}
                if len(runs) > 1:
                    style = {"color": f"C{number}", "linestyle": "--" if label == "training" else "-"}
                    label = f" {_plain(run)}, {label}"  # the space, because legends leave out labels that begin with _
                if points:
                    axes.plot(*zip(*points, strict=True), marker=".", label=label, **style)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True)
    _finish_curves(figure, [float(row["lr"]) for rows in runs.values() for row in rows if _has(row, "lr")], len(runs))
    return figure


def _accuracy(runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """The title of the panel with the main metric of the runs."""
    several = [any(_has(row, "val_mAP") for row in rows) for rows in runs.values()]
    return "mAP (%)" if several and all(several) else "top-1 or mAP (%)" if any(several) else "top-1 (%)"


def _finish_curves(figure: Figure, rates: Sequence[float], runs: int) -> None:
    loss, accuracy, rate = figure.axes
    accuracy.set_ylim(0, 103)
    if any(rates):  # a cosine schedule ends near zero, which would dominate a logarithmic axis
        rate.set_yscale("log")
        rate.yaxis.set_major_formatter(LogFormatter())  # 1e-02: mathematical type takes longer to draw
        rate.yaxis.set_minor_formatter(LogFormatter())
        least = min(value for value in rates if value > 0)
        rate.set_ylim(max(least / 2, max(rates) * 1e-4), max(rates) * 2)
    if runs == 1:
        loss.legend()
    figure.subplots_adjust(left=0.05, right=0.99, bottom=0.15, top=0.91, wspace=0.19)
    if runs > 1:
        lines, labels = loss.get_legend_handles_labels()
        figure.legend(lines, labels, loc="upper center", bbox_to_anchor=(0.5, 0), ncols=2, fontsize=9)


def _has(row: Mapping[str, Any], name: str) -> bool:
    return str(row.get(name, "")) != ""


def _plain(text: str) -> str:
    """`text` for Matplotlib: a $ does not start a formula, and characters that cannot be encoded are escaped."""
    return text.encode("utf-8", "backslashreplace").decode().replace("$", r"\$")
