"""Presentation times of the frames of a video, even if the timestamps in its file are unusable as they are."""

import numpy as np
from numpy.typing import NDArray

from ops.data.packet_index import UNKNOWN, PacketIndex


def frame_ticks(index: PacketIndex) -> NDArray[np.float64] | None:
    """The time of each frame in ticks of the stream, float64 `[F]`, increasing; None if there are too few timestamps.

    If timestamps restart, as in concatenated files, later ones are shifted to continue. If a file has only decoding
    timestamps, these are used, sorted. Frames without a timestamp, or with the same one, are spaced evenly between
    their neighbours.
    """
    packets = np.flatnonzero(index.shown) if index.order is None else index.order
    if not len(packets) or len(packets) != index.length:
        return None
    own = index.pts[packets]
    if (own != UNKNOWN).all() and (np.diff(own) > 0).all():
        return own.astype(np.float64)
    ticks = _continued(index)[packets]
    ticks = np.sort(ticks) if np.isfinite(ticks).all() else ticks
    rises = np.isfinite(ticks) & (np.fmax.accumulate(np.append(-np.inf, ticks))[:-1] < ticks)
    places = np.flatnonzero(rises)
    if len(places) < 2:
        return None if index.length > 1 else np.zeros(1)
    step = (ticks[places[-1]] - ticks[places[0]]) / (places[-1] - places[0])
    before, after = places[0], index.length - 1 - places[-1]
    spread = np.interp(np.arange(index.length), places, ticks[places])
    spread[:before] -= step * np.arange(before, 0, -1)
    spread[index.length - after :] += step * np.arange(1, after + 1)
    return spread


def _continued(index: PacketIndex) -> NDArray[np.float64]:
    """The times of packets, `[P]`, NaN where missing; shifted to continue wherever decoding timestamps fall."""
    pts, dts = (np.where(ticks == UNKNOWN, np.nan, ticks.astype(np.float64)) for ticks in (index.pts, index.dts))
    timed = np.flatnonzero(np.isfinite(dts))
    steps = np.diff(dts[timed])
    ahead = steps[steps > 0]
    shifts = np.zeros(len(dts))
    if len(ahead) and (steps < 0).any():
        shifts[timed[1:]] = np.where(steps < 0, np.median(ahead) - steps, 0)
    continued: NDArray[np.float64] = np.where(np.isfinite(pts), pts, dts) + np.cumsum(shifts)
    return continued
