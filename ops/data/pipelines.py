"""How clips are sampled and transformed in training, in validation and in a test.

Everything here is picklable, because it is sent to the loader's workers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from ops.data.datasets import ClipPipeline
from ops.data.randaugment import RandAugment
from ops.data.sampling import Indices, Sample, train_indices, val_indices, view_indices
from ops.data.transforms import FLOW_SCALES, RGB_SCALES, FramePlan, test_plan, train_plan
from ops.data.views import MakePlan

FLOW_LENGTH = 5
"""Consecutive flow frames in one stack."""


@dataclass(frozen=True)
class ClipShape:
    """The input of a model: T segments, each an RGB frame or a stack of flow, `input_size` pixels square."""

    num_segments: int
    modality: str
    input_size: int

    @property
    def new_length(self) -> int:
        """Frames per segment: 1 for RGB, 5 for Flow."""
        return FLOW_LENGTH if self.modality == "Flow" else 1

    @property
    def scale_size(self) -> int:
        """The short side of a frame before cropping: 256 for an input size of 224."""
        return self.input_size * 256 // 224


def training_pipeline(
    shape: ClipShape,
    dense: bool,
    mirror: bool,
    partners: Indices,
    scales: Sequence[float] | None = None,
    augment: str = "published",
) -> ClipPipeline:
    """Random sampling and cropping; `mirror` if the dataset allows it, `partners [K]` the classes of mirror images.

    `scales` are the sides of crops as fractions of the short side (None: the published ones).
    With `augment` "randaugment", clips go through `RandAugment` after cropping and mirroring.
    """
    scales = scales or (FLOW_SCALES if shape.modality == "Flow" else RGB_SCALES)
    return ClipPipeline(
        partial(_training_indices, shape, dense),
        partial(_training_plan, shape, mirror, partners, scales),
        partners,
        shape.new_length,
        RandAugment() if augment == "randaugment" else None,
    )


def validation_pipeline(shape: ClipShape, dense: bool, num_classes: int) -> ClipPipeline:
    """One clip from the middle of the video, centre crop."""
    return ClipPipeline(
        partial(_validation_indices, shape, dense),
        partial(_validation_plan, shape),
        np.arange(num_classes),
        shape.new_length,
    )


def view_pixels(shape: ClipShape, crops: int, full_res: bool) -> int:
    """The side of a crop in a test, in pixels."""
    return shape.scale_size if full_res and crops in (1, 3) else shape.input_size


def test_plan_for(shape: ClipShape, crops: int, full_res: bool) -> MakePlan:
    """The frame plan of a test. With `full_res`, 1 or 3 crops have the whole short side."""
    size = view_pixels(shape, crops, full_res)
    return partial(test_plan, input_size=size, scale_size=shape.scale_size, crops=crops, flow=shape.modality == "Flow")


def choose_views(num_frames: int, segments: Sequence[int], sample: Sample, new_length: int) -> list[Indices]:
    """For models with these numbers of `segments`, the first frames `[V, T]` of the clips given by `sample`."""
    return [view_indices(num_frames, count, sample, new_length) for count in segments]


def _training_indices(shape: ClipShape, dense: bool, num_frames: int, rng: np.random.Generator) -> Indices:
    return train_indices(num_frames, shape.num_segments, dense, rng, shape.new_length)


def _training_plan(
    shape: ClipShape,
    mirror: bool,
    partners: Indices,
    scales: Sequence[float],
    height: int,
    width: int,
    label: int | Indices,
    rng: np.random.Generator,
) -> FramePlan:
    flow = shape.modality == "Flow"
    mirror = mirror and bool(np.all(partners[label] >= 0))
    return train_plan(height, width, shape.input_size, rng, scales, mirror, flow)


def _validation_indices(shape: ClipShape, dense: bool, num_frames: int, rng: np.random.Generator) -> Indices:
    return val_indices(num_frames, shape.num_segments, dense, shape.new_length)


def _validation_plan(
    shape: ClipShape, height: int, width: int, label: int | Indices, rng: np.random.Generator
) -> FramePlan:
    return test_plan(height, width, shape.input_size, shape.scale_size, 1, shape.modality == "Flow")


test_plan_for.__test__ = False  # type: ignore[attr-defined]  # pytest would collect it
