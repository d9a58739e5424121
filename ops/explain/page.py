"""Saving the pictures of explained videos, and the page that shows and describes them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ops.common.figures import save_figure
from ops.common.html import image_uri, write_page
from ops.common.text import counted
from ops.explain.explainer import Explanation, class_name
from ops.explain.figures import draw_cam, draw_importance, draw_kernels, draw_shares, draw_weights
from ops.explain.kernel_spread import KernelSpread, offset_name, offsets
from ops.explain.numbers import FixedKernels, Numbers
from ops.models.network_name import model_name

DPI = 110

IMPORTANCE = (
    "What the local branch of each block gives every frame, between 0 and 1, before frames are mixed. Left, over the "
    "channels of the block: the median (line), the mean (dotted) and the middle half (band). Right: one line per "
    "channel, with similar channels together and their number at the side. A bright column is a frame that counts more "
    "in that block; rows of one colour treat all frames alike. All blocks have the same scale. The first and the last "
    "frame can stand out because the branch sees zeros beyond them."
)
KERNELS = (
    "The kernels that the global branch of each block derives from the whole clip: for every channel (a thin line) the "
    "weights of the frames before it, of the frame itself and of those after it. They add up to 1; the dotted line is "
    "1/{taps}, a plain average. Black: median and quartiles over the channels. Blue lines lean to the past, red ones "
    "to the future."
)
WEIGHTS = (
    "How often each kernel weight occurs among all channels of all {videos} videos; dashed: medians. Where the "
    "colours lie apart, the block prefers one direction in time; where they are wide, channels or videos differ. "
    "(The idea is the paper's, which shows such statistics for networks trained on Kinetics-400.)"
)
SHARES = (
    "Why kernel weights differ. Grey is the part due to the channel alone, which kernels learnt once for all videos "
    "have too; violet is the part due to the video. Kernels that do not adapt would be all grey. "
    "Here {least} to {most} %, depending on the block, is adaptation: weights change with the video, which alone does "
    "not show that the change helps. With few videos, grey is overestimated."
)


@dataclass(frozen=True)
class Picture:
    """One picture of the page: its file, its title, and how to read it."""

    file: str
    title: str
    caption: str
    address: str


class Album:
    """Saves pictures to `folder`, and keeps those of each video for the page."""

    def __init__(self, folder: Path, limit: int, temporal: bool = False) -> None:
        """Only the first `limit` videos are drawn. `temporal`: whether the network has a temporal module."""
        self.folder, self.limit, self.temporal = folder, limit, temporal
        self.videos: list[list[Picture]] = []

    def add(self, explanation: Explanation) -> None:
        """Draw one video, if the limit is not reached yet."""
        number = len(self.videos) + 1
        if number > self.limit:
            return
        clip, watch = explanation.clip, explanation.watch
        pixels, frames = clip.pixels.permute(0, 2, 3, 1).numpy(), clip.frames.tolist()
        name = re.sub(r"[^\w.-]+", "_", Path(explanation.video.path).stem)[:60]
        stem = f"{number:03d}_{name}"
        pictures = []
        if watch.importance:
            figure = draw_importance(pixels, frames, watch.importance)
            pictures.append(self._save(figure, f"{stem}_importance.png", "Importance of frames", IMPORTANCE))
        if watch.kernels:
            caption = KERNELS.format(taps=next(iter(watch.kernels.values())).shape[1])
            pictures.append(self._save(draw_kernels(watch.kernels), f"{stem}_kernels.png", "Kernels", caption))
        figure = draw_cam(pixels, frames, explanation.cam)
        pictures.append(
            self._save(figure, f"{stem}_cam.png", "Where the evidence is", _cam_caption(explanation, self.temporal))
        )
        self.videos.append(pictures)

    def overview(self, numbers: Numbers, spreads: Sequence[KernelSpread]) -> list[Picture]:
        """Draw the kernels of all videos together."""
        kernels = numbers.kernels()
        adaptive = [100 * spread.adaptive for spread in spreads]
        texts = {"videos": len(numbers.rows), "least": f"{min(adaptive):.0f}", "most": f"{max(adaptive):.0f}"}
        return [
            self._save(draw_weights(kernels), "kernel_weights.png", "Kernel weights", WEIGHTS.format(**texts)),
            self._save(draw_shares(spreads), "kernel_variance.png", "Do they adapt?", SHARES.format(**texts)),
        ]

    def _save(self, figure: Figure, name: str, title: str, caption: str) -> Picture:
        save_figure(figure, self.folder / name, DPI)
        return Picture(name, title, caption, image_uri((self.folder / name).read_bytes()))


def _cam_caption(explanation: Explanation, temporal: bool) -> str:
    target = class_name(explanation.target, explanation.prediction.class_names)
    logit = float(explanation.prediction.logits[explanation.target])
    height, width = explanation.cam.shape[1:]
    bias = round(logit - float(explanation.cam.sum()), 2) + 0.0  # adding 0 turns -0 into 0
    through = ", and through its temporal modules also of the frames around it" if temporal else ""
    nothing = "" if (explanation.cam > 0).any() else " Here no position is evidence for the class."
    return (
        f"How much each position of each frame adds to the score of “{target}” (class activation map of the last "
        f"stage): the brighter, the more; dark positions add nothing or are evidence against it.{nothing} The number "
        f"is the sum over a frame. The sum over all frames is the logit, {logit:.2f}, minus the bias, {bias:.2f}. "
        f"The map has only {height} × {width} positions, enlarged here, and each sees far more of the picture than it "
        f"covers{through}: it shows roughly where the evidence is, not what it is."
    )


def write_explain_page(
    path: Path, numbers: Numbers, album: Album, spreads: Sequence[KernelSpread], fixed: FixedKernels | None
) -> None:
    """`explain.html`: each video's prediction and pictures, and, for several videos, statistics of all."""
    rows, predictor = numbers.rows, numbers.predictor
    model = predictor.model
    several = len(rows) > 1
    title = f"{len(rows)} videos explained" if several else f"{Path(rows[0]['name']).name}, explained"
    write_page(
        path,
        "explain.html",
        title=title,
        network=model_name(model.arch, model.temporal),
        facts=_facts(numbers),
        tam=model.tam,
        several=several,
        labelled=any(row["label"] is not None for row in rows),
        rows=rows,
        albums=album.videos,
        failures=numbers.failures,
        overview=album.overview(numbers, spreads) if several and spreads else [],
        blocks=[_table_row(spread) for spread in spreads],
        offsets=[offset_name(place) for place in offsets(len(spreads[0].mean))] if spreads else [],
        fixed=fixed,
    )


def _facts(numbers: Numbers) -> str:
    predictor = numbers.predictor
    shape = predictor.shape
    return (
        f"{predictor.checkpoint.path}, {counted(predictor.model.num_classes, 'class')}. For each video, one clip of "
        f"{counted(shape.num_segments, 'frame')} ({predictor.sample.one_clip.kind} sampling) is explained, the centre "
        f"crop of {shape.input_size} × {shape.input_size} pixels; a test may average several."
    )


def _table_row(spread: KernelSpread) -> dict[str, Any]:
    _, common, own = spread.shares()
    return {
        "block": spread.block,
        "channels": spread.channels,
        "mean": [f"{value:.3f}" for value in spread.mean],
        "std": [f"{value:.3f}" for value in spread.deviation],
        "change": f"{np.sqrt((spread.change**2).mean()):.3f}",
        "adaptive": f"{100 * (common + own):.0f}",
        "common": f"{100 * common:.0f}",
    }
