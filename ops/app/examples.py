"""Example videos for the page, from the built-in dataset `motion`."""

from pathlib import Path

import numpy as np

from ops.data.drawing import Image
from ops.data.generated_dataset import write_clip
from ops.data.motion import CLASSES, REVERSE, draw_film

SEED = 20210806
"""Neither of the dataset's splits has these clips."""

SEVERAL = ("left", "grow", "clockwise", "down")
PAUSE = 10
"""Frames before and after each of them."""

SEVERAL_NAME = f"{', '.join(SEVERAL)} in a row"


def write_examples(folder: Path) -> dict[str, Path]:
    """Write a clip of each class, and one of several motions after another, to `folder`; returns name → path."""
    clips = {motion: _frames(motion, number) for number, motion in enumerate(CLASSES)}
    clips[SEVERAL_NAME] = [
        frame for number, motion in enumerate(SEVERAL) for frame in _with_pauses(_frames(motion, len(CLASSES) + number))
    ]
    paths = {name: folder / f"{number}.mp4" for number, name in enumerate(clips)}
    for name, frames in clips.items():
        write_clip(paths[name], frames)
    return paths


def _with_pauses(frames: list[Image]) -> list[Image]:
    """`frames` with the first and the last one repeated, so that some windows of 64 frames see nothing else."""
    return [*[frames[0]] * PAUSE, *frames, *[frames[-1]] * PAUSE]


def _frames(motion: str, number: int) -> list[Image]:
    drawn = motion if motion in REVERSE else next(key for key, other in REVERSE.items() if other == motion)
    frames = list(draw_film(drawn, np.random.default_rng([SEED, number])).frames())
    return frames if drawn == motion else frames[::-1]
