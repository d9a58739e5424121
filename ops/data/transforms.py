"""Transforms of frames: cropping, resizing and mirroring of uint8 frames as they are decoded.

A `FramePlan` is made once per video from the size of its first frame and applied to each frame as it arrives, so that
1080p videos are never held in memory at full size. Resizing is torchvision's antialiased bilinear one on uint8; it
differs from Pillow's by at most one level, in less than 0.5 % of the values. Random numbers are passed in.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from torch import Tensor

from ops.data.resize import resize

RGB_SCALES = (1.0, 0.875, 0.75, 0.66)
FLOW_SCALES = (1.0, 0.875, 0.75)
MAX_DISTORT = 1
"""How many steps of the list of scales the height and width of a training crop may differ by."""

MAX_ASPECT = 16
"""Largest aspect ratio if the short side is given. A tiny video of 2 x 16000 pixels would become 256 x 2048000."""


@dataclass(frozen=True)
class Box:
    """A rectangle of a frame, in pixels from its upper left corner."""

    top: int
    left: int
    height: int
    width: int

    def cut(self, frame: Tensor) -> Tensor:
        """`[..., H, W]` → the view `[..., height, width]`."""
        return frame[..., self.top : self.top + self.height, self.left : self.left + self.width]


@dataclass(frozen=True)
class FramePlan:
    """What to do with each frame of a clip.

    Attributes:
        source: height and width of the frames it was made for; others are resized to it first.
        crop: the crop taken before resizing (training), or None.
        size: height and width to resize to.
        views: the squares to crop from the resized frame, all of one size.
        mirrored: for each view, whether it is mirrored left to right.
        flow: whether frames are optical flow, whose x component is inverted by mirroring.
    """

    source: tuple[int, int]
    crop: Box | None
    size: tuple[int, int]
    views: tuple[Box, ...]
    mirrored: tuple[bool, ...]
    flow: bool = False

    @cached_property
    def region(self) -> Box:
        """The smallest part of the resized frame that contains all views."""
        top, left = min(box.top for box in self.views), min(box.left for box in self.views)
        bottom = max(box.top + box.height for box in self.views)
        right = max(box.left + box.width for box in self.views)
        return Box(top, left, bottom - top, right - left)

    def __call__(self, frame: Tensor) -> Tensor:
        """The `region` of `frame` (uint8 `[C, h, w]`) after resizing: uint8 `[C, H, W]`."""
        frame = resize(frame, self.source)
        if self.crop:
            frame = self.crop.cut(frame)
        return self.region.cut(resize(frame, self.size))

    def cut(self, number: int, regions: Tensor) -> Tensor:
        """View `number` of `regions [..., C, H, W]`, not yet mirrored, without a copy."""
        box = self.views[number]
        return Box(box.top - self.region.top, box.left - self.region.left, box.height, box.width).cut(regions)

    def mirror(self, number: int, clip: Tensor) -> Tensor:
        """`clip [..., C, H, W]`, the result of `cut` for view `number`, mirrored if that view is mirrored."""
        if not self.mirrored[number]:
            return clip
        clip = clip.flip(-1)
        if self.flow:
            clip[..., 0::2, :, :] = 255 - clip[..., 0::2, :, :]  # channels alternate between x and y
        return clip


def train_plan(
    height: int,
    width: int,
    input_size: int,
    rng: np.random.Generator,
    scales: Sequence[float] = RGB_SCALES,
    mirror: bool = True,
    flow: bool = False,
) -> FramePlan:
    """The published training augmentation: a crop of one of `scales` (sides may differ by a step) at one of 13
    fixed positions, resized to `input_size` square, and mirrored with probability 0.5 if `mirror` is set.
    """
    short = min(height, width)
    # A side within two pixels of the input size becomes the input size, which saves resizing.
    lengths = [max(int(short * scale), 1) for scale in scales]
    sides = [input_size if abs(length - input_size) < 3 else length for length in lengths]
    pairs = [(h, w) for i, h in enumerate(sides) for j, w in enumerate(sides) if abs(i - j) <= MAX_DISTORT]
    crop_h, crop_w = pairs[rng.integers(len(pairs))]
    crop_h, crop_w = min(crop_h, height), min(crop_w, width)
    places = crop_places(height, width, crop_h, crop_w)
    top, left = places[rng.integers(len(places))]
    flip = bool(mirror and rng.random() < 0.5)
    size = (input_size, input_size)
    return FramePlan((height, width), Box(top, left, crop_h, crop_w), size, (Box(0, 0, *size),), (flip,), flow)


def crop_places(height: int, width: int, crop_h: int, crop_w: int) -> list[tuple[int, int]]:
    """The 13 fixed positions `(top, left)` of a training crop: corners, centre, mid-sides, and quarter points."""
    dy, dx = (height - crop_h) // 4, (width - crop_w) // 4
    steps = [
        (0, 0),
        (0, 4),
        (4, 0),
        (4, 4),
        (2, 2),
        (2, 0),
        (2, 4),
        (4, 2),
        (0, 2),
        (1, 1),
        (1, 3),
        (3, 1),
        (3, 3),
    ]
    return [(y * dy, x * dx) for y, x in steps]


def test_plan(height: int, width: int, input_size: int, scale_size: int, crops: int, flow: bool = False) -> FramePlan:
    """The plan of validation and testing: the short side to `scale_size`, then 1, 3, 5 or 10 squares.

    1: the centre. 3: both ends and the middle of the longer side, in the order left, right, centre (for portrait
    videos top, bottom, centre; the published code took the same crop three times). 5: corners and centre.
    10: these five, each followed by its mirror image.
    """
    size = scaled_size(height, width, scale_size)
    free_y, free_x = size[0] - input_size, size[1] - input_size
    if crops == 1:
        places = [(round(free_y / 2), round(free_x / 2))]
    else:
        dy, dx = free_y // 4, free_x // 4
        three = [(0, 2), (4, 2), (2, 2)] if height > width else [(2, 0), (2, 4), (2, 2)]
        steps = three if crops == 3 else [(0, 0), (0, 4), (4, 0), (4, 4), (2, 2)]
        places = [(y * dy, x * dx) for y, x in steps]
    repeats = 2 if crops == 10 else 1
    views = tuple(Box(y, x, input_size, input_size) for y, x in places for _ in range(repeats))
    mirrored = tuple(repeat == 1 for _ in places for repeat in range(repeats))
    return FramePlan((height, width), None, size, views, mirrored, flow)


def scaled_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """Height and width with the short side at `short_side`, the long one rounded down (torchvision's rule).

    ValueError if the aspect ratio exceeds `MAX_ASPECT`: the result would fill the memory.
    """
    if max(height, width) > MAX_ASPECT * min(height, width):
        raise ValueError(f"frames of {width} x {height} pixels: one side is more than {MAX_ASPECT} times the other")
    if height <= width:
        return short_side, int(short_side * width / height)
    return int(short_side * height / width), short_side


# pytest collects functions named test_* that a test module imports
test_plan.__test__ = False  # type: ignore[attr-defined]
