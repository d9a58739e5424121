"""The built-in dataset that ranks temporal modules: the class is the order of two events, seen by a moving camera.

A shape leaves its home, a ring on the ground, and comes back: it slides (to the left or the right), lifts (up or down),
grows or turns, and meanwhile takes on the colour of that event. A class is two of these events in one order: twelve
classes, in six pairs such as slide-lift and lift-slide. Each event has its own duration, so that speeds differ within a
film and between films; the camera pans over the ground during each event and returns to its place at the end.

Every film exists in both orders in the same split, cut from the same frames: events begin and end at rest, so either
order is a film without jumps. Frames are key frames of constant quality, so both videos contain the same decoded
pictures, equally often. The 8 frames that `uniform-1` samples do not reveal the order either, unless their own order is
used: before each event there is a pause of 0 to 8 frames, the distance between two samples. So every phase of an event
is sampled equally often, in either order, independently of the other event and of both lengths. Frames show which two
events there are, also by their colours, because a network from scratch would otherwise need far more films to learn
this. A network that averages frames is right in half of the cases, and one that models time must relate events that are
far apart.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ops.data.drawing import FIXED, FIXED_BITS, Image, texture
from ops.data.generated_dataset import Clip, GeneratedDataset

EVENTS = ("slide", "lift", "grow", "turn")
COLOURS = ((255, 40, 40), (40, 255, 40), (60, 80, 255), (255, 230, 40))
"""The colour, RGB, that the shape has in the middle of each event."""
ORDERS = tuple(order for pair in itertools.combinations(range(len(EVENTS)), 2) for order in (pair, pair[::-1]))
"""The classes as numbers of events; the two orders of a pair follow each other."""

CLASSES = tuple("-".join(EVENTS[event] for event in order) for order in ORDERS)

NUM_FRAMES = 72
TICK = 9
"""Frames from one sample of an 8-frame clip to the next; pauses have all shorter lengths equally often."""

LENGTHS = (14, 28)
"""Frames of the shortest and of the longest event; the longest events and pauses fill the film."""

SIZE = 64
"""Height and width of a clip in pixels: the short side for an input size of 56."""

GROUND = 2 * SIZE
"""Side of the ground over which the camera moves, in pixels."""

FILMS = {"train": 324, "val": 84}
"""Films per split; each is stored in both orders."""

PAN = (2.0, 6.0)
"""How far the camera moves away during an event, in pixels."""

SEED = 200506804
VERSION = 2
"""Stored in the marker file: data of another version are generated again."""


@dataclass(frozen=True)
class Event:
    """One event of `length` frames: how it changes the shape. Lengths are in pixels.

    At its middle the shape has the event's `colour`, is `away` from home, `scale` times as large and turned by `angle`,
    in radians, and the camera is `pan` away from its place.
    """

    length: int
    colour: tuple[int, ...]
    away: tuple[float, float]
    scale: float
    angle: float
    pan: tuple[float, float]


@dataclass(frozen=True)
class Film:
    """A film before its events are ordered.

    `colour` is that of the shape at rest. `pauses` are the frames of rest before the first and the second event,
    in this order; the remaining frames of `NUM_FRAMES` come last. `place` is where the camera looks at rest: pixels
    from home.
    """

    ground: Image
    outline: NDArray[np.float64]
    colour: tuple[int, ...]
    radius: float
    pauses: tuple[int, ...]
    place: tuple[float, float]
    events: tuple[Event, ...]

    def parts(self) -> list[list[Image]]:
        """The frames of each event, RGB uint8 `[h, w, 3]`, from just after rest to just before it."""
        return [
            [self._draw(event, (step + 0.5) / event.length) for step in range(event.length)] for event in self.events
        ]

    def still(self) -> Image:
        """The frame with the shape at home and the camera at its place."""
        return self._draw(self.events[0], 0.0)

    def ordered(self, order: tuple[int, ...]) -> list[Image]:
        """The film with its events in that order, `(0, 1)` or `(1, 0)`."""
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
        turned = strength * event.angle
        turn = np.array([[math.cos(turned), math.sin(turned)], [-math.sin(turned), math.cos(turned)]])
        points = self.outline @ turn * self.radius * (1 + strength * (event.scale - 1)) + centre
        mixed = [(1 - strength) * rest + strength * own for rest, own in zip(self.colour, event.colour, strict=True)]
        cv2.fillPoly(image, [np.rint(points * FIXED).astype(np.int32)], mixed, cv2.LINE_AA, FIXED_BITS)
        return image


def draw_film(pair: tuple[int, ...], rng: np.random.Generator) -> Film:
    """A random film with the two events of `pair`."""
    radius = float(rng.uniform(8, 11))
    events = tuple(_draw_event(event, rng) for event in pair)
    colour = (int(rng.integers(150, 220)),) * 3
    ground = _ground(rng, radius)
    place = (float(rng.uniform(-4, 4)), float(rng.uniform(-4, 4)))
    pauses = tuple(int(pause) for pause in rng.integers(TICK, size=len(events)))
    return Film(ground, _outline(rng), colour, radius, pauses, place, events)


def _draw_event(event: int, rng: np.random.Generator) -> Event:
    name = EVENTS[event]
    distance, scale, angle = float(rng.uniform(12, 18) * rng.choice([-1, 1])), 1.0, 0.0
    away = {"slide": (distance, 0.0), "lift": (0.0, distance)}.get(name, (0.0, 0.0))
    if name == "grow":
        scale = float(rng.uniform(1.6, 2.0))
    if name == "turn":
        angle = float(rng.uniform(0.7, 1.1) * math.pi * rng.choice([-1, 1]))
    direction, far = rng.uniform(0, 2 * math.pi), rng.uniform(*PAN)
    pan = (float(far * math.cos(direction)), float(far * math.sin(direction)))
    return Event(int(rng.integers(LENGTHS[0], LENGTHS[1] + 1)), COLOURS[event], away, scale, angle, pan)


def _ground(rng: np.random.Generator, radius: float) -> Image:
    """A texture of two dark colours with a ring in the middle, uint8 `[GROUND, GROUND, 3]`."""
    pixels = texture(rng, GROUND, cells=(6, 14), brightest=100)
    ring = tuple(int(value) for value in rng.integers(90, 150, 3))
    middle = round(GROUND / 2 * FIXED)
    cv2.circle(pixels, (middle, middle), round((radius + 3) * FIXED), ring, 1, cv2.LINE_AA, FIXED_BITS)
    return pixels


def _outline(rng: np.random.Generator) -> NDArray[np.float64]:
    """The corners `[P, 2]` of a shape of radius 1, a wedge that shows how it is turned."""
    half = rng.uniform(0.35, 0.6)
    angles = np.array([0.0, math.pi - half, math.pi, math.pi + half]) - math.pi / 2  # its tip is up
    radii = np.array([1.2, 1.0, rng.uniform(0.2, 0.6), 1.0])
    return np.stack([np.cos(angles) * radii, np.sin(angles) * radii], axis=1)


def films(split: str) -> Iterator[tuple[int, Film]]:
    """All films of a split, each with the class of its first order. The same in every call."""
    for number in range(FILMS[split]):
        rng = np.random.default_rng([SEED, list(FILMS).index(split), number])
        label = 2 * number % len(ORDERS)
        yield label, draw_film(ORDERS[label], rng)


def clips(split: str) -> Iterator[Clip]:
    """Every film of a split in both orders."""
    for number, (label, film) in enumerate(films(split)):
        yield Clip(f"{number:04d}", label, film.ordered((0, 1)))
        yield Clip(f"{number:04d}", label + 1, film.ordered((1, 0)))


def make(root: Path, kind: str, shown: bool) -> None:
    """Generate the dataset under `root` unless it exists; see `GeneratedDataset.make`."""
    fingerprint = f"version {VERSION}, seed {SEED}, {FILMS} films of {NUM_FRAMES} frames of {SIZE} x {SIZE}\n"
    sizes = {split: 2 * count for split, count in FILMS.items()}
    GeneratedDataset("motion_order", CLASSES, sizes, clips, NUM_FRAMES, fingerprint).make(root, kind, shown)
