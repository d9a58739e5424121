"""What happens to the frames of a clip: cutting, resizing, mirroring, on uint8 frames as they are decoded.

A `FramePlan` is made once per video from the size of its first frame and applied to each frame as it arrives, so a
1080p video never sits in memory at full size. Resizing is torchvision's antialiased bilinear one on uint8, which is
Pillow's to within one level, and the same in more than 99.5 % of the values. Random numbers are passed in.
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
"""How many steps of the scale list height and width of a training crop may lie apart."""

MAX_ASPECT = 16
"""How many times the short side the long one may be where the short side is given. A video of 2 x 16000 pixels, which
takes nothing on disk, would have 256 x 2048000."""


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
        crop: what to cut from the frame before resizing (training), or None.
        size: height and width to resize to.
        views: the squares to cut from the resized frame, all of one size.
        mirrored: for each view, whether it is mirrored left to right.
        flow: whether frames are optical flow, whose x component a mirror inverts.
    """

    source: tuple[int, int]
    crop: Box | None
    size: tuple[int, int]
    views: tuple[Box, ...]
    mirrored: tuple[bool, ...]
    flow: bool = False

    @cached_property
    def region(self) -> Box:
        """The part of the resized frame that views are cut from: no pixel more than some view shows."""
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
        """View `number` of `regions [..., C, H, W]`, not mirrored yet: no copy."""
        box = self.views[number]
        return Box(box.top - self.region.top, box.left - self.region.left, box.height, box.width).cut(regions)

    def mirror(self, number: int, clip: Tensor) -> Tensor:
        """`clip [..., C, H, W]`, which `cut` gave for view `number`, mirrored if that view is."""
        if not self.mirrored[number]:
            return clip
        clip = clip.flip(-1)
        if self.flow:
            clip[..., 0::2, :, :] = 255 - clip[..., 0::2, :, :]  # x and y in turn
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
    fixed places, resized to `input_size` square, and mirrored half of the time where `mirror` allows it.
    """
    short = min(height, width)
    # A side within two pixels of the input size is taken as the input size, which spares the resizing.
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
    """The 13 fixed places `(top, left)` of a training crop: corners, centre, mid-sides, and quarter points."""
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

    1: the centre. 3: both ends and the middle of the longer side, in the order left, right, centre (for upright
    videos top, bottom, centre, where the published code cut three times the same). 5: corners and centre.
    10: those five, each followed by its mirror image.
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

    ValueError where the sides differ by more than `MAX_ASPECT`: the result would fill the memory.
    """
    if max(height, width) > MAX_ASPECT * min(height, width):
        raise ValueError(f"frames of {width} x {height} pixels: one side is more than {MAX_ASPECT} times the other")
    if height <= width:
        return short_side, int(short_side * width / height)
    return int(short_side * height / width), short_side


# pytest collects functions named test_* that a test module imports
test_plan.__test__ = False  # type: ignore[attr-defined]
