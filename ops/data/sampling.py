"""Sampling frames of a video: pure functions from frame counts to frame indices.

All indices are 0-based int64. `num_frames` is the length of the video; with `new_length` > 1 (stacks of
optical flow) an index is the first frame of a stack, chosen so that whole stacks fit if possible.
Sampling follows the published TAM code: "uniform" spreads the segments over the whole video (Wang et al.,
TSN, ECCV 2016), "dense" takes them at a fixed stride from a window of 64 frames (I3D, Non-local).
"""

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ops.common.errors import InputError

DENSE_WINDOW = 64

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Sample:
    """Sampling in a test: `clips` clips per video, each sampled "dense" or "uniform".

    "twice" is TSM's: two clips, at the centres and at the starts of the segments.
    """

    kind: Literal["dense", "uniform", "twice"]
    clips: int

    @property
    def one_clip(self) -> "Sample":
        """The same sampling with a single clip, in the middle."""
        return Sample("dense" if self.kind == "dense" else "uniform", 1)

    def __str__(self) -> str:
        return "twice" if self.kind == "twice" else f"{self.kind}-{self.clips}"


def parse_sample(text: str) -> Sample:
    """`"dense-10"` → `Sample("dense", 10)`; InputError for anything but twice, dense-N or uniform-N with N ≥ 1."""
    if text == "twice":
        return Sample("twice", 2)
    match = re.fullmatch(r"(dense|uniform)-([1-9]\d*)", text)
    if not match:
        raise InputError(f"sample ({text}) must be twice, or dense-N or uniform-N with N at least 1, like dense-10")
    return Sample("dense" if match[1] == "dense" else "uniform", int(match[2]))


def train_indices(
    num_frames: int, num_segments: int, dense: bool, rng: np.random.Generator, new_length: int = 1
) -> Indices:
    """Random indices `[T]` for one training clip.

    Uniform: one random frame from each of T equal segments, whose length is rounded down. Dense: T frames with
    stride 64 // T from a random start; in videos shorter than the window, indices wrap around, as published.
    """
    positions = _positions(num_frames, new_length)
    if dense:
        starts = _dense_starts(positions)
        start = int(rng.integers(starts - 1)) if starts > 1 else 0  # as published: the last start is never drawn
        return _dense_clip(start, positions, num_segments)
    length = positions // num_segments
    if length > 0:
        segments: Indices = np.arange(num_segments, dtype=np.int64)
        return segments * length + rng.integers(length, size=num_segments)
    # Fewer frames than segments: the published code repeats the first frame, which teaches nothing; spread them.
    return _floor((np.arange(num_segments) + rng.random(num_segments)) * positions / num_segments)


def val_indices(num_frames: int, num_segments: int, dense: bool, new_length: int = 1) -> Indices:
    """The indices `[T]` of the clip used in validation: the middle window, or the centres of the segments."""
    clips = view_indices(num_frames, num_segments, "dense-1" if dense else "uniform-1", new_length)
    middle: Indices = clips[0]
    return middle


def view_indices(num_frames: int, num_segments: int, sample: str | Sample, new_length: int = 1) -> Indices:
    """The indices `[V, T]` of the V clips of a test with `sample` ("dense-N" or "uniform-N", V = N; "twice", V = 2)."""
    spec = parse_sample(sample) if isinstance(sample, str) else sample
    positions = _positions(num_frames, new_length)
    if spec.kind == "dense":
        starts = _dense_starts(positions)
        first = [starts // 2] if spec.clips == 1 else _floor(np.linspace(0, starts - 1, spec.clips))
        return np.stack([_dense_clip(int(start), positions, num_segments) for start in first])
    tick = positions / num_segments
    if spec.kind == "twice":
        shifts = np.array([tick / 2, 0])
    else:
        shifts = np.array([tick / 2]) if spec.clips == 1 else np.floor(np.linspace(0, tick - 1, spec.clips))
    offsets = shifts[:, None] + tick * np.arange(num_segments)[None, :]  # [V, T]
    # A tick below 1 shifts the later clips by -1. The published code truncates, then wraps around.
    wrapped: Indices = np.trunc(offsets).astype(np.int64) % positions
    return wrapped


def stack_indices(starts: Indices, num_frames: int, new_length: int) -> Indices:
    """First frames `[...]` → the L consecutive frames of each stack `[..., L]`, clamped at the last frame."""
    stacks: Indices = np.minimum(starts[..., None] + np.arange(new_length), num_frames - 1)
    return stacks


def _positions(num_frames: int, new_length: int) -> int:
    """The number of possible first frames of a stack."""
    return max(num_frames - new_length + 1, 1)


def _dense_starts(positions: int) -> int:
    return max(1, 1 + positions - DENSE_WINDOW)


def _dense_clip(start: int, positions: int, num_segments: int) -> Indices:
    stride = DENSE_WINDOW // num_segments
    clip: Indices = (start + stride * np.arange(num_segments, dtype=np.int64)) % positions
    return clip


def _floor(values: NDArray[np.float64]) -> Indices:
    return np.floor(values).astype(np.int64)
