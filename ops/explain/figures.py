"""The figures of an explanation: kernels, importance, class activation maps, and the kernels of many videos."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import matplotlib
import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage
from torch import Tensor
from torch.nn import functional as F

from ops.explain.kernel_spread import KernelSpread, offset_name, offsets

Pixels = NDArray[np.uint8]
Weights = Mapping[str, NDArray[np.float32]]

COLOURS = {-1: "#2b6cb0", 0: "#6b7280", 1: "#dd6b20"}
"""The frame before, the frame itself, the frame after."""

PER_ROW = 6
"""Blocks in one row: the third stage of a ResNet-50 has six."""

FRAMES_PER_ROW = 8


def draw_importance(pixels: Pixels, frames: Sequence[int], importance: Weights) -> Figure:
    """Below the clip's frames, a row per block: the importance `[C, T]` as quartiles over channels, and all channels.

    `pixels` are uint8 `[T, H, W, 3]`, `frames [T]` are their numbers in the video. All rows have the same scale.
    """
    count = len(frames)
    rows = len(importance)
    strip = 6.0 / count + 0.05  # frames are square, and a panel is 6 inches wide
    heights = [strip, *([0.62] * rows)]
    figure = Figure(
        figsize=(13.6, sum(heights) * 1.08 + 0.6),
        layout=ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.015, hspace=0, wspace=0.01),
    )
    panels = figure.subplots(rows + 1, 2, gridspec_kw={"height_ratios": heights}, sharex=True, squeeze=False)
    for axes, title in zip(panels[0], ("quartiles over channels", "all channels, similar ones together"), strict=True):
        _strip(axes, pixels, title)
    everything = np.concatenate([a.ravel() for a in importance.values()])
    quartiles = {block: np.percentile(a, (25, 50, 75), axis=0) for block, a in importance.items()}
    low = min(float(q.min()) for q in quartiles.values())
    high = max(float(q.max()) for q in quartiles.values())
    margin = max(0.08 * (high - low), 0.01)
    span = np.percentile(everything, (1, 99))
    image = None
    for (curve, heat), (block, values) in zip(panels[1:], importance.items(), strict=True):
        first, middle, third = quartiles[block]
        curve.fill_between(range(count), first, third, color=COLOURS[-1], alpha=0.25, linewidth=0)
        curve.plot(range(count), middle, color=COLOURS[-1], marker=".")
        curve.plot(range(count), values.mean(axis=0), color="black", linewidth=0.8, linestyle=":")
        curve.set_ylim(low - margin, high + margin)
        curve.grid(alpha=0.3)
        curve.tick_params(labelsize=8)
        curve.set_ylabel(block, rotation=0, ha="right", va="center", fontsize=9)
        extent = (-0.5, count - 0.5, 0, 1)
        image = heat.imshow(values[similarity_order(values)], aspect="auto", extent=extent, interpolation="nearest",
                            cmap="viridis", vmin=span[0], vmax=span[1])  # fmt: skip
        heat.set_yticks([])
        heat.set_ylabel(f"{len(values)}", rotation=0, ha="right", va="center", fontsize=8)
    for axes in panels[-1]:
        axes.set_xticks(range(count), [str(frame) for frame in frames], fontsize=8)
        axes.set_xlabel("frame of the video", fontsize=9)
    if image is not None:
        figure.colorbar(image, ax=panels[:, 1], fraction=0.02, pad=0.01, shrink=0.5).set_label("importance", fontsize=9)
    return figure


def _strip(axes: Any, pixels: Pixels, title: str) -> None:
    """Draw the frames side by side, each one unit wide."""
    count = len(pixels)
    axes.imshow(np.concatenate(list(pixels), axis=1), extent=(-0.5, count - 0.5, 0, 1), aspect="auto")
    axes.set_yticks([])
    axes.set_title(title, fontsize=10)
    axes.tick_params(bottom=False)
    for place in range(1, count):
        axes.axvline(place - 0.5, color="white", linewidth=1)


def similarity_order(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """An order of the rows of `values [C, T]` in which similar rows are neighbours: `[C]` (Ward's linkage)."""
    if len(values) < 3:
        return np.arange(len(values))
    order: NDArray[np.int64] = leaves_list(linkage(values, method="ward")).astype(np.int64)
    return order


def draw_kernels(kernels: Weights) -> Figure:
    """A panel per block, a row per stage: the kernels `[C, K]`, one line per channel over their offsets."""
    figure, panels = _blocks_figure(list(kernels), 1.75)
    leaning = matplotlib.colormaps["coolwarm"]
    for axes, (block, weights) in zip(panels, kernels.items(), strict=True):
        places = offsets(weights.shape[1])
        lean = weights @ np.sign(places)  # [C], from -1 (all before) to 1 (all after)
        lines = [np.column_stack([places, row]) for row in weights]
        alpha = float(np.clip(30 / len(weights), 0.08, 0.5))
        axes.add_collection(LineCollection(lines, colors=leaning((lean + 1) / 2), alpha=alpha, linewidths=0.8))
        low, middle, high = np.percentile(weights, (25, 50, 75), axis=0)
        axes.errorbar(places, middle, [middle - low, high - middle], color="black", marker="o", markersize=4, capsize=3)
        axes.axhline(1 / len(places), color="black", linewidth=0.7, linestyle=":")
        axes.set_title(f"{block} · {len(weights)} channels", fontsize=9)
        axes.set_ylim(0, 1)
        axes.set_xlim(places[0] - 0.3, places[-1] + 0.3)
        axes.set_xticks(places, [offset_name(place).replace("frame ", "") for place in places], fontsize=8)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.2)
    return figure


def draw_cam(pixels: Pixels, frames: Sequence[int], cam: NDArray[np.float32]) -> Figure:
    """The clip's frames, and below each the same frame with the evidence for the class in colour.

    `pixels` uint8 `[T, H, W, 3]`, `cam [T, h, w]`. All frames have one scale, from zero to the maximum.
    """
    count = len(frames)
    columns = min(count, FRAMES_PER_ROW)
    bands = -(-count // columns)
    figure = Figure(
        figsize=(1.65 * columns, 3.75 * bands),
        layout=ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, hspace=0.01, wspace=0.01),
    )
    panels = figure.subplots(2 * bands, columns, squeeze=False)
    for axes in panels.flat:
        axes.axis("off")
    coloured = cam_images(pixels, cam)
    for t in range(count):
        above, below = panels[2 * (t // columns), t % columns], panels[2 * (t // columns) + 1, t % columns]
        above.imshow(pixels[t])
        above.set_title(f"frame {frames[t]}", fontsize=9)
        below.imshow(coloured[t])
        below.set_title(f"{cam[t].sum():+.3g}", fontsize=9)
    return figure


def cam_images(pixels: Pixels, cam: NDArray[np.float32]) -> NDArray[np.float64]:
    """The frames in grey, with the evidence for the class in colour: RGB in [0, 1], `[T, H, W, 3]`.

    `pixels` uint8 `[T, H, W, 3]`, `cam [T, h, w]`. All frames have one scale, from zero to the maximum.
    """
    strength = _enlarged(cam, pixels.shape[1:3])
    share = np.clip(strength / max(float(strength.max()), 1e-12), 0, 1)[..., None]  # [T, H, W, 1]
    grey = pixels.mean(axis=3, keepdims=True) / 255
    heat: NDArray[np.float64] = matplotlib.colormaps["inferno"](share[..., 0])[..., :3]
    coloured: NDArray[np.float64] = (1 - 0.75 * share) * grey * 0.8 + 0.75 * share * heat
    return coloured


def _enlarged(cam: NDArray[np.float32], size: tuple[int, ...]) -> NDArray[np.float32]:
    """`cam [T, h, w]` resized to `size`."""
    large: NDArray[np.float32] = F.interpolate(Tensor(cam)[:, None], size, mode="bilinear")[:, 0].numpy()
    return large


def draw_weights(kernels: Weights) -> Figure:
    """A panel per block: histograms of the kernel weights of all channels of all videos, `[V, C, K]`, per offset."""
    figure, panels = _blocks_figure(list(kernels), 1.45)
    edges = np.linspace(0, 1, 51)
    for axes, (block, weights) in zip(panels, kernels.items(), strict=True):
        for k, offset in enumerate(offsets(weights.shape[2])):
            shares = np.histogram(weights[..., k], edges)[0] / weights[..., k].size
            colour = COLOURS.get(offset, f"C{k}")
            axes.stairs(shares, edges, fill=True, color=colour, alpha=0.35)
            axes.stairs(shares, edges, color=colour, label=offset_name(offset))
            axes.axvline(np.median(weights[..., k]), color=colour, linewidth=1, linestyle="--")
        axes.set_title(f"{block} · {weights.shape[1]} channels", fontsize=9)
        axes.set_xlim(0, 1)
        axes.set_yticks([])
        axes.tick_params(labelsize=8)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=9, frameon=False)
    return figure


def draw_shares(spreads: Sequence[KernelSpread]) -> Figure:
    """A bar per block: the fractions of the weights' variance between channels and between videos."""
    figure = Figure(figsize=(10, 0.3 * len(spreads) + 1.1), layout="constrained")
    axes = figure.subplots()
    shares = np.array([spread.shares() for spread in spreads])  # [blocks, 3]
    parts = (("the channel (so would a fixed kernel)", "#9ca3af"), ("the video, all channels alike", "#7c3aed"),
             ("the video, each channel differently", "#c4b5fd"))  # fmt: skip
    left = np.zeros(len(spreads))
    for part, (label, colour) in enumerate(parts):
        axes.barh(range(len(spreads)), 100 * shares[:, part], left=left, color=colour, label=label)
        left += 100 * shares[:, part]
    axes.set_yticks(range(len(spreads)), [spread.block for spread in spreads], fontsize=9)
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("% of the variance of kernel weights", fontsize=9)
    axes.tick_params(labelsize=8)
    figure.legend(loc="outside upper center", ncols=3, fontsize=9, frameon=False)
    return figure


def _blocks_figure(blocks: Sequence[str], height: float) -> tuple[Figure, list[Any]]:
    """A figure with a row per stage (more if a stage has many blocks), and the axes of each block."""
    places = list(_places(blocks))
    rows = places[-1][0] + 1
    columns = max(column for _, column in places) + 1
    figure = Figure(figsize=(max(2.2 * columns, 6.6), height * rows + 0.3), layout="constrained")
    panels: Any = figure.subplots(rows, columns, sharex=True, sharey="row", squeeze=False)
    used = set(places)
    for row, column in np.ndindex(rows, columns):
        if (row, column) not in used:
            panels[row, column].axis("off")
    for row, column in used:
        panels[row, column].xaxis.set_tick_params(labelbottom=True)
    return figure, [panels[place] for place in places]


def _places(blocks: Sequence[str]) -> Iterator[tuple[int, int]]:
    row = -1
    for _, stage in groupby(blocks, lambda block: block.split(".")[0]):
        for number, _ in enumerate(stage):
            row += number % PER_ROW == 0
            yield row, number % PER_ROW
