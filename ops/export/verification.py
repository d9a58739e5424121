"""Comparing an exported file with PyTorch: logits of clips, accuracy on a list, latency."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from ops.common.console import progress
from ops.common.errors import InputError, MediaError
from ops.common.timing import median_seconds
from ops.data.lists import read_records
from ops.models.runtimes import Session
from ops.predict.predictor import Predictor

log = logging.getLogger(__name__)

BOUNDS = {"fp32": 1e-4, "fp16": 1e-2, "int8": 0.25}
"""The largest allowed difference from PyTorch's logits in float32, as ‖a - b‖ / ‖b‖.

fp32: the tolerance of this project towards the published code; another order of summation gives 2e-7 (TANet-50).
fp16: each rounding is up to 2^-11 = 5e-4 of a value; over all layers of TANet-50 this gives 1e-3, and ten times that
would be an error.
int8: this only finds mistakes; the loss of quality shows in the accuracy (`accuracies`).
"""

BATCHES = (1, 3)
"""The file is verified with these batch sizes: one, and a size that was not used for the export."""

RUNS = 9
"""Number of timings; the median is reported."""

Clips = NDArray[np.uint8]


@dataclass(frozen=True)
class Exported:
    """The result of an export: for each batch size the largest difference of the logits, and the relative difference of
    norms; and the median seconds that PyTorch, in float32 as in `tools/predict.py`, and the file need for one clip.
    """

    differences: Mapping[int, tuple[float, float]]
    torch_seconds: float
    file_seconds: float


@dataclass(frozen=True)
class ListedClips:
    """One clip `[1, T, C, H, W]` of each video of a list that could be read, and its label (-1: none)."""

    clips: Sequence[Clips]
    labels: Sequence[int]


def read_clips(predictor: Predictor, path: str, root: str, most: int | None = None) -> ListedClips:
    """The clips of the first `most` videos in the list `path`; InputError if none can be read."""
    records = read_records(path, False, predictor.class_names)
    records.check_some_exist(root, "videos")
    records = records.head(most) if most else records
    single = replace(predictor, sample=predictor.sample.one_clip, crops=1)
    clips, labels = [], []
    with progress(None, len(records), "reading", "video", True) as bar:
        for record in records:
            try:
                views = single.views(os.path.join(root, record.path))
                clips.append(views.clip(0, views.clips[0][0]).numpy()[None])
                labels.append(record.label)
            except MediaError as error:
                log.warning("left out: %s: %s", error.path, error.reason)
            bar.update()
    if not clips:
        raise InputError(f"{path}: none of its videos could be read")
    return ListedClips(clips, labels)


def verify(
    session: Session, predictor: Predictor, shape: Sequence[int], target: str, precision: str, runtime: str,
    real: Sequence[Clips] = (),
) -> Exported:  # fmt: skip
    """Compare `session` with PyTorch for clips `real`, else for random ones of `shape [T, C, H, W]`, and time both.

    InputError, which says that `target` is not written, if they do not agree within `BOUNDS`.
    """
    batches = [np.concatenate([real[n % len(real)] for n in range(batch)]) for batch in BATCHES] if real else [
        _random_clips((batch, *shape)) for batch in BATCHES
    ]  # fmt: skip
    differences = {len(clips): _difference(session, predictor, clips) for clips in batches}
    worst = max(relative for _, relative in differences.values())
    if not worst <= BOUNDS[precision]:
        raise InputError(
            f"{target}: not written: the logits of {runtime} differ from PyTorch's by {worst:.1e} of their "
            f"norm, but only {BOUNDS[precision]:g} is allowed for {precision}"
        )
    network, pixels = predictor.network, torch.from_numpy(batches[0])
    with torch.inference_mode():
        torch_seconds, file_seconds = median_seconds((lambda: network(pixels), lambda: session(batches[0])), RUNS)
    return Exported(differences, torch_seconds, file_seconds)


@torch.inference_mode()
def accuracies(session: Session, predictor: Predictor, listed: ListedClips) -> tuple[float, float, int]:
    """Top-1 accuracy in percent of PyTorch and of the file, and the number of labelled clips; InputError for none."""
    pairs = [(clip, label) for clip, label in zip(listed.clips, listed.labels, strict=True) if label >= 0]
    if not pairs:
        raise InputError("--verify_list: the list has no labels")
    hits = np.zeros(2)
    for clip, label in pairs:
        scores = predictor.network(torch.from_numpy(clip)).numpy(), session(clip)
        hits += [int(logits.argmax()) == label for logits in scores]
    torch_share, file_share = (100 * hits / len(pairs)).tolist()
    return torch_share, file_share, len(pairs)


def _random_clips(shape: tuple[int, ...]) -> Clips:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0)).numpy()


@torch.inference_mode()
def _difference(session: Session, predictor: Predictor, clips: Clips) -> tuple[float, float]:
    """The largest and the relative difference of the logits."""
    wanted = predictor.network(torch.from_numpy(clips)).numpy()
    difference = session(clips) - wanted
    return float(np.abs(difference).max()), float(np.linalg.norm(difference) / np.linalg.norm(wanted))
