"""The predictions for the windows of a video, as a table and as a plot."""

import os
import warnings

import numpy as np
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Patch

from ops.common.csv_tables import TableWriter
from ops.common.figures import save_figure
from ops.common.storage import atomic_file
from ops.common.text import counted
from ops.predict.fonts import font_file
from ops.predict.windows import Timeline

CURVES = 8
"""How many classes get a curve: those that are best for longest, then those that come closest to it."""

COLOURS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#17becf")
OTHER = "#c0c0c0"

MARKED = 40
"""With at most this many windows, each is marked by a point."""

LONG_NAME = 42
"""Characters of a class name that fit in the plot."""


def write_timeline(path: str | os.PathLike[str], timeline: Timeline) -> None:
    """A row per window: its frames [start, end), its seconds, the best class, and the probability of each class."""
    count = len(timeline.windows[0].logits)
    with atomic_file(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = TableWriter(file)
        head = ("start_frame", "end_frame", "start_s", "end_s", "prediction", "probability")
        writer.writerow((*head, *map(timeline.name, range(count))))
        for window, shares in zip(timeline.windows, timeline.probabilities, strict=True):
            best = int(shares.argmax())
            place = (window.start, window.stop, f"{window.start_s:.3f}", f"{window.stop_s:.3f}")
            writer.writerow((*place, timeline.name(best), f"{shares[best]:.4f}", *(f"{share:.4f}" for share in shares)))


def draw_timeline(path: str | os.PathLike[str], timeline: Timeline) -> None:
    """A PNG: the probability of the top classes at the middle of each window, and the best class over time."""
    windows, shares = timeline.windows, timeline.probabilities
    shown = top_classes(timeline)
    colours = dict(zip(shown, COLOURS, strict=False))
    figure = Figure(figsize=(12, 4.6))
    axes, strip = figure.subplots(2, 1, sharex=True, height_ratios=(12, 1), gridspec_kw={"hspace": 0.06})
    edges = timeline.edges
    times = [edges[0], *((window.start_s + window.stop_s) / 2 for window in windows), edges[-1]]
    marked = list(range(1, len(windows) + 1)) if len(windows) <= MARKED else []
    for number, k in enumerate(shown):
        curve = 100 * shares[[0, *range(len(windows)), -1], k]
        axes.plot(times, curve, color=colours[k], marker="o", markevery=marked, markersize=4, linewidth=1.8,
                  zorder=3 - 0.1 * number)  # fmt: skip
    best = shares.argmax(axis=1)
    for first, last in timeline.runs():
        strip.axvspan(edges[first], edges[last + 1], color=colours.get(int(best[first]), OTHER), linewidth=0)
    most = 100 * float(shares[:, shown].max())
    top = 100.0 if most > 40 else max(most, 0.01)  # with many classes, an uncertain model gives each only a few percent
    axes.set_ylim(-0.02 * top, 1.04 * top)
    axes.set_xlim(edges[0], max(edges[-1], edges[0] + 1e-3))
    axes.set_ylabel("probability (%)")
    axes.grid(alpha=0.3)
    title = _short(os.path.basename(timeline.path), 90)
    axes.set_title(title, fontproperties=FontProperties(fname=font_file([title]), size=11))
    strip.set_yticks([0.5], ["best"])
    strip.set_ylim(0, 1)
    strip.set_xlabel("time (s)")
    _add_legend(figure, timeline, shown, {int(k) for k in best} - set(shown))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a character that no font has is shown as a box
        save_figure(figure, path, dpi=110)


def top_classes(timeline: Timeline, count: int = CURVES) -> list[int]:
    """The `count` classes that are best in most windows, or come closest to it."""
    shares = timeline.probabilities
    wins = np.bincount(shares.argmax(axis=1), minlength=shares.shape[1])
    order = np.lexsort((-shares.max(axis=0), -wins))
    return [int(k) for k in order[:count]]


def _add_legend(figure: Figure, timeline: Timeline, shown: list[int], others: set[int]) -> None:
    """Put the names beside the plot, where there are no curves; `$` is escaped, because it would start a formula."""
    handles = [Patch(color=c, label=_short(timeline.name(k))) for k, c in zip(shown, COLOURS, strict=False)]
    if others:
        handles.append(Patch(color=OTHER, label=counted(len(others), "other class")))
    font = FontProperties(fname=font_file(str(handle.get_label()) for handle in handles), size=10)
    figure.legend(handles=handles, loc="center left", bbox_to_anchor=(0.91, 0.5), frameon=False, prop=font)


def _short(name: str, most: int = LONG_NAME) -> str:
    text = name if len(name) <= most else name[: most - 1] + "…"
    return text.encode("utf-8", "replace").decode().replace("$", r"\$")
