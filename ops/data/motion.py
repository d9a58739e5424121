"""The built-in dataset: short clips whose class is a motion, generated from a seed on first use.

It has eight classes in four pairs: left/right, up/down, grow/shrink, clockwise/counter-clockwise. A clip of one class,
played backwards, is a clip of the other class of its pair. Backgrounds, shapes, colours, sizes, speeds and positions
vary. As in real scenes, single frames show which kind of motion is possible (a rail, rings, an orbit), but only time
shows its direction.

Each clip exists in both directions in the same split, made from the same raw frames, and every frame is a key frame of
constant quality, so that both contain the same decoded pictures in opposite order. With 8 segments, `uniform-1` picks
the same pictures from both (`59 - index` maps the picked indices onto themselves): a model that averages single frames
gives both the same scores, so it is right on at most one of them. Its accuracy cannot exceed 50 %.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ops.data.drawing import FIXED, FIXED_BITS, Image, bright_colour, texture
from ops.data.generated_dataset import Clip, GeneratedDataset

CLASSES = ("left", "right", "up", "down", "grow", "shrink", "clockwise", "counter-clockwise")
REVERSE = {"right": "left", "down": "up", "grow": "shrink", "clockwise": "counter-clockwise"}
"""Each motion that is rendered, and the class of the same clip played backwards."""

NUM_FRAMES = 60
SIZE = 64
"""Height and width of a clip in pixels: the short side for an input size of 56."""

PAIRS = {"train": 320, "val": 80}
"""Rendered clips per split; each is stored forwards and backwards."""

SEED = 200506803
VERSION = 2
"""Stored in the marker file: data of another version are generated again."""


@dataclass(frozen=True)
class Film:
    """One clip: a shape that moves on a background. Lengths are in pixels, angles in radians.

    A point moves from `start` to `stop`, an angle from `angle[0]` to `angle[1]`, and the shape's radius from
    `radius[0]` to `radius[1]`, all at constant speed. The shape is rotated by the angle, and its centre is `orbit`
    pixels away from the point in the direction of the angle.
    """

    background: Image
    outline: NDArray[np.float64]
    colour: tuple[int, ...]
    start: tuple[float, float]
    stop: tuple[float, float]
    radius: tuple[float, float]
    angle: tuple[float, float]
    orbit: float = 0.0

    def frames(self) -> Iterator[Image]:
        """The raw frames, RGB uint8 `[h, w, 3]`."""
        for index in range(NUM_FRAMES):
            passed = index / (NUM_FRAMES - 1)
            x, y = (a + (b - a) * passed for a, b in zip(self.start, self.stop, strict=True))
            radius, angle = (a + (b - a) * passed for a, b in (self.radius, self.angle))
            turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
            points = self.outline @ turn * radius + (x, y) + self.orbit * turn[0]
            image = self.background.copy()
            corners = np.array([_fixed(*point) for point in points], dtype=np.int32)
            cv2.fillPoly(image, [corners], self.colour, lineType=cv2.LINE_AA, shift=FIXED_BITS)
            yield image


def draw_film(motion: str, rng: np.random.Generator) -> Film:
    """A random clip of `motion` (a key of `REVERSE`)."""
    radius = rng.uniform(0.16, 0.24) * SIZE
    free = SIZE - 2 * radius
    x, y = (float(radius + rng.random() * free) for _ in range(2))
    start, stop, radii, orbit = (x, y), (x, y), (radius, radius), 0.0
    angle = rng.uniform(0, 2 * math.pi)
    angles = (angle, angle)
    background = texture(rng, SIZE, cells=(2, 7), brightest=90)
    rail = tuple(int(value) for value in rng.integers(90, 150, 3))
    if motion in ("right", "down"):
        way = rng.uniform(0.8, 1.0) * free
        first = float(radius + rng.random() * (free - way))
        if motion == "right":
            start, stop = (first, y), (first + way, y)
            _line(background, (0, y), (SIZE, y), rail, 2)
        else:
            start, stop = (x, first), (x, first + way)
            _line(background, (x, 0), (x, SIZE), rail, 2)
    elif motion == "grow":
        radii = (radius * rng.uniform(0.25, 0.4), radius * rng.uniform(1.5, 1.9))
        for share in (0.8, 1.5, 2.2):
            cv2.circle(background, _fixed(x, y), int(radius * share * FIXED), rail, 1, cv2.LINE_AA, FIXED_BITS)
    else:
        x, y = SIZE / 2 + rng.uniform(-4, 4, 2)
        start, stop, orbit = (x, y), (x, y), rng.uniform(0.27, 0.33) * SIZE
        radii = (radius * 0.8, radius * 0.8)
        top, way = 1.5 * math.pi + rng.uniform(-0.4, 0.4), rng.uniform(0.6, 0.8) * math.pi  # y points down
        angles = (top - way / 2, top + way / 2)
        cv2.circle(background, _fixed(x, y), int(orbit * FIXED), rail, 2, cv2.LINE_AA, FIXED_BITS)
    colour = bright_colour(rng)
    return Film(background, _outline(rng), colour, start, stop, radii, angles, orbit)


def _fixed(x: float, y: float) -> tuple[int, int]:
    """A point in OpenCV's fixed-point coordinates, for motion by fractions of a pixel."""
    return round(x * FIXED), round(y * FIXED)


def _line(
    image: Image, start: tuple[float, float], stop: tuple[float, float], colour: tuple[int, ...], width: int
) -> None:
    cv2.line(image, _fixed(*start), _fixed(*stop), colour, width, cv2.LINE_AA, FIXED_BITS)


def _outline(rng: np.random.Generator) -> NDArray[np.float64]:
    """The corners `[P, 2]` of a shape of radius 1, from stars to polygons."""
    corners = int(rng.integers(3, 8))
    angles = np.linspace(0, 2 * math.pi, 2 * corners, endpoint=False)
    radii = np.tile([1.0, rng.uniform(0.45, 1.0)], corners)
    return np.stack([np.cos(angles) * radii, np.sin(angles) * radii], axis=1)


def films(split: str) -> Iterator[tuple[str, str, Film]]:
    """All clips of a split: name, motion and clip. The same in every call."""
    motions = list(REVERSE)
    for number in range(PAIRS[split]):
        rng = np.random.default_rng([SEED, list(PAIRS).index(split), number])
        motion = motions[number % len(motions)]
        yield f"{number:04d}", motion, draw_film(motion, rng)


def clips(split: str) -> Iterator[Clip]:
    """Every clip of a split forwards and backwards."""
    for name, motion, film in films(split):
        frames = list(film.frames())
        yield Clip(name, CLASSES.index(motion), frames)
        yield Clip(name, CLASSES.index(REVERSE[motion]), frames[::-1])


def make(root: Path, kind: str, shown: bool) -> None:
    """Generate the dataset under `root` unless it exists; see `GeneratedDataset.make`."""
    fingerprint = f"version {VERSION}, seed {SEED}, {PAIRS} films of {NUM_FRAMES} frames of {SIZE} x {SIZE}\n"
    sizes = {split: 2 * count for split, count in PAIRS.items()}
    GeneratedDataset("motion", CLASSES, sizes, clips, NUM_FRAMES, fingerprint).make(root, kind, shown)
