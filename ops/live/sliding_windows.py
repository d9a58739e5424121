"""Which frames of a stream a sliding window samples: arithmetic on frame numbers.

A stream is divided into slots of equal duration, which are the frames of a video of constant frame rate. A window is a
run of slots, and its clips are sampled from it like those of a video of as many frames.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ops.data.sampling import DENSE_WINDOW, Indices, Sample

USUAL_RATE = 30.0
"""Frames per second, if a camera does not give its rate."""

USUAL_RATES = 20.0, 35.0
"""The frame rates of usual datasets: 64 frames of such a stream last as long as in training."""


@dataclass(frozen=True)
class SlidingWindows:
    """Window k is the slots `[k · stride, k · stride + length)`.

    Attributes:
        rate: slots per second.
        length, stride: in slots.
        offsets: the slots that the clips of a window sample, relative to its start: `[V, T]`.
    """

    rate: float
    length: int
    stride: int
    offsets: Indices

    @cached_property
    def last_offset(self) -> int:
        """The last slot that a window samples, relative to its start: it can be scored when this frame is there."""
        return int(self.offsets.max())

    @cached_property
    def _places(self) -> list[int]:
        return [int(place) for place in np.unique(self.offsets)]

    def slots(self, number: int) -> Indices:
        """The slots that the clips of window `number` sample, `[V, T]`."""
        return number * self.stride + self.offsets

    def first_slot(self, number: int) -> int:
        """The first of the `slots` of window `number`."""
        return number * self.stride + self._places[0]

    def is_wanted(self, slot: int) -> bool:
        """Whether any window samples this slot."""
        return any(slot >= place and (slot - place) % self.stride == 0 for place in self._places)

    def last_complete(self, newest: int) -> int:
        """The last window that can be scored once slot `newest` is there; -1 if there is none."""
        return max((newest - self.last_offset) // self.stride, -1)

    def span(self, number: int) -> tuple[float, float]:
        """Start and end of window `number` in seconds from the first frame."""
        start = number * self.stride
        return start / self.rate, (start + self.length) / self.rate


def sliding_windows(
    choose: Callable[[int], Indices],
    sample: Sample,
    rate: float,
    num_segments: int,
    seconds: float | None = None,
    stride: float | None = None,
    trained: float | None = None,
) -> SlidingWindows:
    """Windows of `seconds` that start every `stride` seconds, in a stream of `rate` frames per second.

    Dense sampling always has windows of 64 slots, as in training. By default a window lasts as long as 64 frames of
    the stream or, with uniform sampling, about `trained` seconds: then it has a multiple of the segments' number of
    slots. The stride is by default the distance of two segments, so that such windows share all frames but one.

    `choose` gives the first frames `[V, T]` of the clips for a number of frames.
    """
    usual = DENSE_WINDOW / (rate if USUAL_RATES[0] <= rate <= USUAL_RATES[1] else USUAL_RATE)
    if sample.kind == "dense":
        slots_per_second, length = DENSE_WINDOW / (seconds or usual), DENSE_WINDOW
    elif seconds:
        slots_per_second, length = rate, max(round(seconds * rate), 1)
    else:
        slots_per_second, length = rate, max(round((trained or usual) * rate / num_segments), 1) * num_segments
    step = round(stride * slots_per_second) if stride else length // num_segments
    return SlidingWindows(slots_per_second, length, max(step, 1), choose(length))
