"""The spread of the kernels of a block's TAM over channels and over videos."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ops.common.csv_tables import TableWriter
from ops.common.storage import atomic_file

PERCENTILES = (5, 25, 50, 75, 95)


def offsets(taps: int) -> range:
    """The places in time of a kernel's weights: -1, 0 and 1 for three `taps`."""
    return range(-(taps // 2), taps // 2 + 1)


def offset_name(offset: int) -> str:
    """ "frame before", "frame itself", "frame after", "2 frames after", …"""
    if offset == 0:
        return "frame itself"
    side = "before" if offset < 0 else "after"
    return f"frame {side}" if abs(offset) == 1 else f"{abs(offset)} frames {side}"


@dataclass(frozen=True)
class KernelSpread:
    """Statistics of the kernel weights of one block over V videos and C channels; `[K]`, one value per offset.

    The variance of a weight over all videos and channels is the sum of three parts. `fixed` is the variance of the
    channels' means over videos, which kernels that do not adapt have too. `common` is the variance of the videos' means
    over channels: all channels change together. `own` is the rest: each channel responds to the video differently. All
    are NaN for a single video.

    Attributes:
        mean, deviation: over videos and channels.
        percentiles: `[5, K]`, see `PERCENTILES`.
        change: the standard deviation of a channel's weight over videos (root mean square over channels).
    """

    block: str
    videos: int
    channels: int
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    percentiles: NDArray[np.float64]
    fixed: NDArray[np.float64]
    common: NDArray[np.float64]
    own: NDArray[np.float64]

    @property
    def change(self) -> NDArray[np.float64]:
        """The three parts, see above; NaN for a single video."""
        return np.sqrt(self.common + self.own)

    def shares(self) -> tuple[float, float, float]:
        """`fixed`, `common` and `own` of all offsets together, as fractions of their sum."""
        return _shares(self.fixed.sum(), self.common.sum(), self.own.sum())

    @property
    def adaptive(self) -> float:
        """The fraction of the variance between videos, for the same channel: 0 for kernels that do not adapt."""
        _, common, own = self.shares()
        return common + own


def kernel_spread(block: str, kernels: NDArray[np.float32]) -> KernelSpread:
    """The spread of `kernels [V, C, K]`."""
    weights = kernels.astype(np.float64)
    videos, channels = weights.shape[:2]
    mean = weights.mean(axis=(0, 1))
    by_channel, by_video = weights.mean(axis=0), weights.mean(axis=1)  # [C, K], [V, K]
    rest = weights - by_channel[None] - by_video[:, None] + mean
    parts = [by_channel.var(axis=0), by_video.var(axis=0), rest.var(axis=(0, 1))]
    if videos < 2:
        parts = [np.full(weights.shape[2], np.nan)] * 3
    percentiles = np.percentile(weights, PERCENTILES, axis=(0, 1))
    return KernelSpread(block, videos, channels, mean, weights.std(axis=(0, 1)), percentiles, *parts)


def _shares(fixed: float, common: float, own: float) -> tuple[float, float, float]:
    """Each as a fraction of the sum; if nothing varies, everything counts as fixed."""
    total = fixed + common + own
    return (1.0, 0.0, 0.0) if total == 0 else (float(fixed / total), float(common / total), float(own / total))


def spreads_of(kernels: Mapping[str, NDArray[np.float32]]) -> list[KernelSpread]:
    """`kernel_spread` of each block."""
    return [kernel_spread(block, weights) for block, weights in kernels.items()]


def write_spreads(path: Path, spreads: Sequence[KernelSpread]) -> None:
    """`kernels.csv`: a row per block and offset; cells that need more than one video are empty."""
    quantiles = [f"p{q:02d}" for q in PERCENTILES]
    head = ("block", "channels", "videos", "offset", "mean", "std", *quantiles)
    parts = ("share_fixed", "share_common", "share_own", "change_between_videos")
    with atomic_file(path, "w", newline="", encoding="utf-8") as file:
        writer = TableWriter(file)
        writer.writerow((*head, *parts))
        for spread in spreads:
            for k, offset in enumerate(offsets(len(spread.mean))):
                numbers = [spread.mean[k], spread.deviation[k], *spread.percentiles[:, k]]
                numbers += _shares(spread.fixed[k], spread.common[k], spread.own[k])
                cells = ["" if np.isnan(number) else f"{number:.6g}" for number in [*numbers, spread.change[k]]]
                writer.writerow((spread.block, spread.channels, spread.videos, offset, *cells))
