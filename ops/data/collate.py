"""Collating clips into batches."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ops.data.datasets import Clip, Failure


@dataclass(frozen=True)
class ClipBatch:
    """A batch of clips: uint8 `[N, T, L·C, H, W]` and labels, int64 `[N]`; or float32 `[N, K]` if clips have several.

    Clips without pixels are left out, so N can be less than the number `asked` for; `indices` are the positions in
    the list of those that remain.
    """

    pixels: Tensor
    labels: Tensor
    indices: list[int]
    asked: int
    failures: list[Failure] = field(default_factory=list)
    warnings: list[Failure] = field(default_factory=list)

    def pin_memory(self) -> "ClipBatch":
        """The same in page-locked memory; called by the DataLoader."""
        pixels, labels = self.pixels.pin_memory(), self.labels.pin_memory()
        return ClipBatch(pixels, labels, self.indices, self.asked, self.failures, self.warnings)


def _labels(labels: Sequence[int | NDArray[np.float32]]) -> Tensor:
    """Labels of clips → int64 `[N]`, or float32 `[N, K]`."""
    several = [label for label in labels if not isinstance(label, int)]
    return torch.from_numpy(np.stack(several)) if several else torch.tensor(labels, dtype=torch.int64)


def collate_clips(clips: Sequence[Clip]) -> ClipBatch:
    """Clips → one batch."""
    there = [clip for clip in clips if clip.pixels is not None]
    pixels = [clip.pixels.movedim(-3, -1) for clip in there if clip.pixels is not None]
    return ClipBatch(
        torch.stack(pixels).movedim(-1, -3) if pixels else torch.empty(0, dtype=torch.uint8),
        _labels([clip.label for clip in there]),
        [clip.index for clip in there],
        len(clips),
        [failure for clip in clips for failure in clip.failures],
        [warning for clip in clips for warning in clip.warnings],
    )
