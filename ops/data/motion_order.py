"""The built-in dataset that ranks temporal modules: the class is the order of three events, seen by a moving camera.

A shape leaves its home, a ring on the ground, and comes back: once it slides (to the left or the right), once it lifts
(up or down) and once it grows. The six classes are the six orders of these events. Each event takes a time of its own,
so that speeds differ within a film and between films; the camera pans over the ground during each event and is back
where it began at its end.

Every film exists in all six orders in the same split, cut from the same frames: events begin and end at rest, so any
order is a film without jumps. Frames are key frames of constant quality, so the six videos contain the same decoded
pictures, each as often. And the 8 frames that `uniform-1` samples tell nothing either, as long as their order is not
looked at: before each event there is a pause of 0 to 8 frames, as many as lie from one sample to the next. So every
phase of an event is sampled equally often, in any order, independently of the other events and of all lengths. A
network that averages frames is right in one of six cases, and one that sees time must relate events that lie apart.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ops.data.generated_dataset import Clip, GeneratedDataset, Image

EVENTS = ("slide", "lift", "grow")
ORDERS = tuple(itertools.permutations(range(len(EVENTS))))
CLASSES = tuple("-".join(EVENTS[event] for event in order) for order in ORDERS)

NUM_FRAMES = 72
TICK = 9
"""Frames from one sample of an 8-frame clip to the next; pauses take all lengths below this equally often."""

LENGTHS = (10, 16)
"""Frames of the shortest and of the longest event: with the longest pauses they fill the film."""

SIZE = 64
"""Height and width of a clip in pixels: the short side for an input size of 56."""

GROUND = 2 * SIZE
"""Side of the ground over which the camera moves, in pixels."""

FILMS = {"train": 80, "val": 30}
"""Films per split; each is stored in six orders."""

PAN = (3.0, 9.0)
"""How far the camera moves away during an event, in pixels."""

FIXED_BITS = 4
FIXED = 1 << FIXED_BITS
"""Fractional bits of the coordinates given to OpenCV."""

SEED = 200506804
VERSION = 2
"""Stored in the marker file: data of another version are generated again."""


@dataclass(frozen=True)
class Event:
    """What happens to the shape in one event, of `length` frames; lengths in pixels.

    At its middle the shape is `away` from home and `scale` times as large, and the camera `pan` away from its place.
    """

    length: int
    away: tuple[float, float]
    scale: float
    pan: tuple[float, float]


@dataclass(frozen=True)
class Film:
    """A film before its events are ordered.

    `pauses` are the frames of rest before the first, second and third event, whichever these are; what is missing to
    `NUM_FRAMES` comes last. `place` is where the camera looks at rest: pixels from home.
    """

    ground: Image
    outline: NDArray[np.float64]
    colour: tuple[int, ...]
    radius: float
    pauses: tuple[int, ...]
    place: tuple[float, float]
    events: tuple[Event, ...]

    def parts(self) -> list[list[Image]]:
        """The frames of each event, RGB uint8 `[h, w, 3]`. They begin and end next to rest."""
        return [
            [self._draw(event, (step + 0.5) / event.length) for step in range(event.length)] for event in self.events
        ]

    def still(self) -> Image:
        """The shape at home, the camera at its place."""
        return self._draw(self.events[0], 0.0)

    def ordered(self, order: tuple[int, ...]) -> list[Image]:
        """The film with its events in that order."""
        parts, still = self.parts(), self.still()
        frames: list[Image] = []
        for pause, event in zip(self.pauses, order, strict=True):
            frames += [still] * pause + parts[event]
        return frames + [still] * (NUM_FRAMES - len(frames))

    def _draw(self, event: Event, passed: float) -> Image:
        strength = math.sin(math.pi * passed) ** 2
        dx, dy = (at + strength * value for at, value in zip(self.place, event.pan, strict=True))
        left, top = (GROUND - SIZE) / 2 + dx, (GROUND - SIZE) / 2 + dy
        window = np.array([[1, 0, -left], [0, 1, -top]], dtype=np.float32)
        image = np.asarray(cv2.warpAffine(self.ground, window, (SIZE, SIZE), flags=cv2.INTER_LINEAR), dtype=np.uint8)
        centre = (
            GROUND / 2 - left + strength * event.away[0],
            GROUND / 2 - top + strength * event.away[1],
        )
        points = self.outline * self.radius * (1 + strength * (event.scale - 1)) + centre
        cv2.fillPoly(image, [np.rint(points * FIXED).astype(np.int32)], self.colour, cv2.LINE_AA, FIXED_BITS)
        return image


def draw_film(rng: np.random.Generator) -> Film:
    """A random film."""
    radius = float(rng.uniform(6, 9))
    distance = rng.uniform(9, 14, 2) * rng.choice([-1, 1], 2)
    aways = ((float(distance[0]), 0.0), (0.0, float(distance[1])), (0.0, 0.0))
    scales = (1.0, 1.0, float(rng.uniform(1.7, 2.2)))
    events = []
    for away, scale in zip(aways, scales, strict=True):
        angle, far = rng.uniform(0, 2 * math.pi), rng.uniform(*PAN)
        pan = (float(far * math.cos(angle)), float(far * math.sin(angle)))
        events.append(Event(int(rng.integers(LENGTHS[0], LENGTHS[1] + 1)), away, scale, pan))
    colour = rng.integers(60, 256, 3)
    colour[rng.integers(3)] = 255
    ground = _ground(rng, radius)
    place = (float(rng.uniform(-6, 6)), float(rng.uniform(-6, 6)))
    pauses = tuple(int(pause) for pause in rng.integers(TICK, size=len(EVENTS)))
    return Film(ground, _outline(rng), tuple(map(int, colour)), radius, pauses, place, tuple(events))


def _ground(rng: np.random.Generator, radius: float) -> Image:
    """A texture of two dark colours with a ring in the middle, uint8 `[GROUND, GROUND, 3]`."""
    cells = int(rng.integers(6, 14))
    coarse = rng.random((cells, cells)).astype(np.float32)
    mix = np.clip(cv2.resize(coarse, (GROUND, GROUND), interpolation=cv2.INTER_CUBIC), 0, 1)[..., None]
    one, other = rng.integers(0, 100, (2, 3))
    pixels: Image = (one * mix + other * (1 - mix)).astype(np.uint8)
    ring = tuple(int(value) for value in rng.integers(90, 150, 3))
    middle = round(GROUND / 2 * FIXED)
    cv2.circle(pixels, (middle, middle), round((radius + 3) * FIXED), ring, 1, cv2.LINE_AA, FIXED_BITS)
    return pixels


def _outline(rng: np.random.Generator) -> NDArray[np.float64]:
    """The corners `[P, 2]` of a shape of radius 1, from stars to polygons."""
    corners = int(rng.integers(3, 8))
    angles = np.linspace(0, 2 * math.pi, 2 * corners, endpoint=False) + rng.uniform(0, 2 * math.pi)
    radii = np.tile([1.0, rng.uniform(0.5, 1.0)], corners)
    return np.stack([np.cos(angles) * radii, np.sin(angles) * radii], axis=1)


def films(split: str) -> Iterator[Film]:
    """All films of a split, the same in every call."""
    for number in range(FILMS[split]):
        yield draw_film(np.random.default_rng([SEED, list(FILMS).index(split), number]))


def clips(split: str) -> Iterator[Clip]:
    """Every film of a split in all orders."""
    for number, film in enumerate(films(split)):
        for label, order in enumerate(ORDERS):
            yield Clip(f"{number:04d}", label, film.ordered(order))


def make(root: Path, kind: str, shown: bool) -> None:
    """Generate the dataset under `root` unless it exists; see `GeneratedDataset.make`."""
    fingerprint = f"version {VERSION}, seed {SEED}, {FILMS} films of {NUM_FRAMES} frames of {SIZE} x {SIZE}\n"
    sizes = {split: len(ORDERS) * count for split, count in FILMS.items()}
    GeneratedDataset("motion_order", CLASSES, sizes, clips, NUM_FRAMES, fingerprint).make(root, kind, shown)
