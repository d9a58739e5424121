"""Cropping, resizing and mirroring of frames are exact to the pixel."""

from collections import Counter

import numpy as np
import pytest
import torch
from media import Pixels, draw
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2.functional import resize as resize_image

from ops.data.resize import resize
from ops.data.transforms import FLOW_SCALES, RGB_SCALES, Box, FramePlan, crop_places, scaled_size, test_plan, train_plan

# (height, width) before and after: smaller, larger, one side only, odd, upright, extreme
RESIZES = [
    ((48, 64), (32, 42)),
    ((32, 43), (48, 64)),
    ((47, 63), (21, 28)),
    ((63, 47), (28, 21)),
    ((33, 41), (33, 20)),
    ((33, 41), (20, 41)),
    ((17, 64), (64, 17)),
    ((1, 1), (7, 5)),
    ((2, 64), (16, 16)),
]


def noise(height: int, width: int) -> Pixels:
    return np.random.default_rng([height, width]).integers(0, 256, (height, width, 3), dtype=np.uint8)


def tensor(pixels: Pixels) -> Tensor:
    return torch.from_numpy(pixels).permute(2, 0, 1)


def pillow(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    return np.array(Image.fromarray(pixels).resize(size[::-1], Image.Resampling.BILINEAR))


def apply(plan: FramePlan, frame: Tensor) -> Tensor:
    """All views of a frame: `[views, C, H, W]`."""
    region = plan(frame)
    assert region.shape == (len(frame), plan.region.height, plan.region.width)
    return torch.stack([plan.mirror(number, plan.cut(number, region)) for number in range(len(plan.views))])


def resized(pixels: Pixels, size: tuple[int, int], crop: Box | None = None) -> Pixels:
    whole = (Box(0, 0, *size),)
    plan = FramePlan(pixels.shape[:2], crop, size, whole, (False,))
    return apply(plan, tensor(pixels))[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize(("before", "after"), RESIZES)
def test_resizing_is_within_one_level_of_pillow(before: tuple[int, int], after: tuple[int, int]) -> None:
    pixels = noise(*before)
    off = np.abs(resized(pixels, after).astype(int) - pillow(pixels, after))
    assert off.max() <= 1
    assert (off > 0).mean() < 0.02


@pytest.mark.parametrize("layout", ["planes", "images", "a cut of images", "flow", "a cut of planes"])
@pytest.mark.parametrize(("before", "after"), RESIZES)
def test_resizing_gives_torchvisions_bits_and_keeps_the_memory_format(
    before: tuple[int, int], after: tuple[int, int], layout: str
) -> None:
    generator = torch.Generator().manual_seed(before[0] * after[1])
    channels, margin = 2 if layout == "flow" else 3, 5 if "cut" in layout else 0
    height, width = before[0] + margin, before[1] + margin
    frame = torch.randint(0, 256, (channels, height, width), dtype=torch.uint8, generator=generator)
    if "images" in layout:
        frame = frame.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    frame = frame[:, margin:, margin:]
    ours, theirs = resize(frame, after), resize_image(frame, list(after), antialias=True)
    assert torch.equal(ours, theirs)
    if layout == "a cut of images" and before != (1, 1):  # as clips are stored: copying needs no transposition
        assert ours.permute(1, 2, 0).is_contiguous()
    else:
        assert ours.stride() == theirs.stride()


@pytest.mark.parametrize("size", [(48, 64), (47, 63), (64, 33), (1, 5)])
def test_a_frame_that_has_the_size_is_left_alone(size: tuple[int, int]) -> None:
    np.testing.assert_array_equal(resized(noise(*size), size), noise(*size))


def test_resizing_does_not_depend_on_the_memory_layout() -> None:
    frame = tensor(noise(47, 63))
    plan = test_plan(47, 63, 20, 24, 3)
    assert torch.equal(apply(plan, frame), apply(plan, frame.contiguous()))


def test_a_cut_is_resized_without_its_surroundings() -> None:
    pixels, crop = noise(48, 64), Box(5, 7, 30, 40)
    np.testing.assert_array_equal(
        resized(pixels, (20, 21), crop), resized(pixels[5:35, 7:47].copy(), (20, 21)), "a cut, then resized"
    )


@pytest.mark.parametrize(
    ("height", "width", "short", "size"),
    [
        (256, 340, 256, (256, 340)),
        (240, 320, 256, (256, 341)),
        (340, 256, 224, (297, 224)),
        (50, 50, 16, (16, 16)),
        (1080, 1920, 256, (256, 455)),
    ],
)
def test_the_short_side_is_scaled_and_the_long_one_rounded_down(
    height: int, width: int, short: int, size: tuple[int, int]
) -> None:
    assert scaled_size(height, width, short) == size


LANDSCAPE, UPRIGHT, SQUARE = (32, 64), (64, 32), (32, 32)  # scaled to a short side of 16, then cropped to 12 x 12
FIVE = {
    LANDSCAPE: [(0, 0), (0, 20), (4, 0), (4, 20), (2, 10)],
    UPRIGHT: [(0, 0), (0, 4), (20, 0), (20, 4), (10, 2)],
    SQUARE: [(0, 0), (0, 4), (4, 0), (4, 4), (2, 2)],
}


@pytest.mark.parametrize(
    ("crops", "size", "places"),
    [
        (1, LANDSCAPE, [(2, 10)]),
        (1, UPRIGHT, [(10, 2)]),
        (1, SQUARE, [(2, 2)]),
        (3, LANDSCAPE, [(2, 0), (2, 20), (2, 10)]),
        (3, UPRIGHT, [(0, 2), (20, 2), (10, 2)]),
        (3, SQUARE, [(2, 0), (2, 4), (2, 2)]),
        *((5, size, places) for size, places in FIVE.items()),
        *((10, size, [place for place in places for _ in "ab"]) for size, places in FIVE.items()),
    ],
)
def test_crops_of_a_test_lie_at_the_published_places(
    crops: int, size: tuple[int, int], places: list[tuple[int, int]]
) -> None:
    plan = test_plan(*size, input_size=12, scale_size=16, crops=crops)
    assert plan.views == tuple(Box(top, left, 12, 12) for top, left in places)
    assert plan.mirrored == tuple(crops == 10 and place % 2 == 1 for place in range(crops))
    frame = tensor(noise(*size))
    whole = tensor(resized(noise(*size), plan.size))
    for view, (top, left), mirrored in zip(apply(plan, frame), places, plan.mirrored, strict=True):
        cut = whole[:, top : top + 12, left : left + 12]
        assert torch.equal(view, cut.flip(-1) if mirrored else cut)


@pytest.mark.parametrize("crops", [1, 3])
@pytest.mark.parametrize(("size", "longer"), [(LANDSCAPE, 32), (UPRIGHT, 32), (SQUARE, 16)])
def test_crops_as_large_as_the_short_side_reach_the_edges(size: tuple[int, int], longer: int, crops: int) -> None:
    plan = test_plan(*size, input_size=16, scale_size=16, crops=crops)
    starts = sorted(max(box.top, box.left) for box in plan.views)
    assert starts == ([0, (longer - 16) // 2, longer - 16] if crops == 3 else [(longer - 16) // 2])


def test_a_mirror_image_of_flow_inverts_x_and_leaves_y() -> None:
    frame = tensor(noise(32, 64))[:2]
    plain, mirrored = apply(test_plan(32, 64, 12, 16, 10, flow=True), frame)[:2]
    assert torch.equal(mirrored[0], 255 - plain[0].flip(-1))
    assert torch.equal(mirrored[1], plain[1].flip(-1))


def test_flow_that_is_not_mirrored_keeps_its_sign() -> None:
    frame = tensor(noise(32, 64))[:2]
    assert torch.equal(apply(test_plan(32, 64, 12, 16, 5, True), frame), apply(test_plan(32, 64, 12, 16, 5), frame))


def test_training_mirrors_flow_as_testing_does() -> None:
    frame = tensor(noise(16, 16))[:2]
    plans = [train_plan(16, 16, 16, np.random.default_rng(seed), (1.0,), flow=True) for seed in range(20)]
    assert {plan.mirrored for plan in plans} == {(True,), (False,)}
    for plan in plans:
        want = torch.stack([255 - frame[0].flip(-1), frame[1].flip(-1)]) if plan.mirrored[0] else frame
        assert torch.equal(apply(plan, frame)[0], want)


@pytest.mark.parametrize("scales", [RGB_SCALES, FLOW_SCALES])
@pytest.mark.parametrize(
    ("height", "width"), [(48, 64), (64, 48), (47, 63), (40, 40), (16, 17), (2, 3), (3, 64), (64, 2), (5, 64)]
)
def test_training_crops_have_the_scales_and_lie_inside(height: int, width: int, scales: tuple[float, ...]) -> None:
    sides = [int(min(height, width) * scale) for scale in scales]
    sides = [16 if abs(side - 16) < 3 else side for side in sides]
    pairs = {
        (min(h, height), min(w, width)) for i, h in enumerate(sides) for j, w in enumerate(sides) if abs(i - j) <= 1
    }
    drawn = set()
    for seed in range(400):
        plan = train_plan(height, width, 16, np.random.default_rng(seed), scales)
        crop = plan.crop
        assert crop is not None
        assert crop.top >= 0 and crop.left >= 0
        assert crop.top + crop.height <= height and crop.left + crop.width <= width
        assert (crop.top, crop.left) in crop_places(height, width, crop.height, crop.width)
        assert apply(plan, torch.zeros(3, height, width, dtype=torch.uint8)).shape == (1, 3, 16, 16)
        drawn.add((crop.height, crop.width))
    assert drawn == pairs


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 40), (40, 1)])
def test_training_crops_of_frames_one_pixel_wide_are_not_empty(height: int, width: int) -> None:
    for seed in range(40):
        plan = train_plan(height, width, 16, np.random.default_rng(seed))
        apply(plan, torch.zeros(3, height, width, dtype=torch.uint8))


def test_training_crops_use_all_13_places_equally_often() -> None:
    places = crop_places(48, 64, 40, 40)
    assert len(set(places)) == 13
    assert set(places) == {(y * 2, x * 6) for y in (0, 2, 4) for x in (0, 2, 4)} | {
        (y * 2, x * 6) for y in (1, 3) for x in (1, 3)
    }
    drawn: Counter[tuple[int, int]] = Counter()
    for seed in range(2600):
        crop = train_plan(48, 64, 16, np.random.default_rng(seed), (40 / 48,)).crop
        assert crop is not None
        drawn[crop.top, crop.left] += 1
    assert set(drawn) == set(places)
    assert max(drawn.values()) < 2 * min(drawn.values())


def test_training_mirrors_half_of_the_time_or_never() -> None:
    def mirrored(allowed: bool) -> float:
        plans = [train_plan(48, 64, 16, np.random.default_rng(seed), mirror=allowed) for seed in range(400)]
        return float(np.mean([plan.mirrored[0] for plan in plans]))

    assert 0.4 < mirrored(allowed=True) < 0.6
    assert mirrored(allowed=False) == 0


def test_training_plans_depend_on_the_generator_alone() -> None:
    plans = [train_plan(48, 64, 16, np.random.default_rng(seed)) for seed in (1, 1, 2, 3, 4)]
    assert plans[0] == plans[1]
    assert len({(plan.crop, plan.mirrored) for plan in plans}) > 1


def test_crops_close_to_the_input_size_get_exactly_that_size() -> None:
    crops = {train_plan(34, 60, 32, np.random.default_rng(seed), (1.0,)).crop for seed in range(50)}
    assert {(crop.height, crop.width) for crop in crops if crop} == {(32, 32)}


@pytest.mark.parametrize("plan", [test_plan(48, 64, 12, 16, 10), train_plan(48, 64, 16, np.random.default_rng(3))])
def test_frames_of_another_size_are_brought_to_that_of_the_first(plan: FramePlan) -> None:
    other = draw(0, (31, 57))
    brought = tensor(resized(other, (48, 64)))
    assert torch.equal(apply(plan, tensor(other)), apply(plan, brought))


def test_no_more_of_a_frame_is_kept_than_views_show() -> None:
    assert test_plan(48, 96, 12, 16, 1).region == Box(2, 10, 12, 12)
    assert test_plan(48, 96, 16, 16, 3).region == Box(0, 0, 16, 32)
    assert test_plan(48, 96, 12, 16, 3).region == Box(2, 0, 12, 32)
