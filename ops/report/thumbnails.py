"""Thumbnails: a few small frames of a video side by side, as one picture for a page."""

import io
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ops.common.errors import InputError, MediaError, TruncatedMediaError
from ops.common.html import image_uri
from ops.data.dataset_configs import DATASETS
from ops.data.frame_source import FrameSource, Reader
from ops.data.frames import frame_reader
from ops.data.pyav_videos import VideoReader
from ops.data.resize import resize
from ops.data.sampling import view_indices

FRAMES = 4
HEIGHT, WIDEST = 96, 180
"""Height of one frame in pixels, and its largest width; wider frames get a smaller height."""

GAP = 2
QUALITY = 70
"""Quality of the JPEG; a strip takes 5 to 15 kB."""


@dataclass(frozen=True)
class Place:
    """Where the videos of a list are: the folder of relative paths, the dataset, which determines the names of frames,
    and the modality."""

    root: str
    dataset: str = "custom"
    modality: str = "RGB"


def place_of(metrics: dict[str, Any], root: str | None = None) -> Place | None:
    """The place recorded in `metrics.json`, with another `root` if given; None if nothing is recorded."""
    data = metrics.get("data")
    first = data[0] if isinstance(data, list) and data and isinstance(data[0], dict) else {}
    named = root if root is not None else first.get("root")
    dataset = metrics.get("dataset")
    if not isinstance(named, str):
        return None
    modality = "Flow" if first.get("modality") == "Flow" else "RGB"
    return Place(named, dataset if isinstance(dataset, str) and dataset in DATASETS else "custom", modality)


def strip_uri(place: Place, path: str) -> str:
    """The picture of the video file or frame folder at `path` of a list, for `<img src>`; MediaError if it has none."""
    full = os.path.join(place.root, path)
    try:
        reader, listed = _reader_of(place, full)
        with reader.open(full, listed) as source:
            frames = _some_frames(source)
    except MediaError:
        raise
    except (InputError, OSError, ValueError) as error:  # unknown names of frames; names that are not valid paths
        raise MediaError(full, str(error)) from None
    return image_uri(_strip(frames), "jpeg")


def _reader_of(place: Place, full: str) -> tuple[Reader, int]:
    """The reader for `full`, and an upper bound of its number of frames (-1: the reader counts them)."""
    if not os.path.isdir(full):
        return VideoReader(), -1
    return frame_reader(DATASETS[place.dataset], place.modality), len(os.listdir(full))


def _some_frames(source: FrameSource) -> list[Tensor]:
    try:
        return _frames_among(source, len(source))
    except TruncatedMediaError as error:  # the folder may contain other files, too
        if not error.readable:
            raise
        return _frames_among(source, error.readable)


def _frames_among(source: FrameSource, count: int) -> list[Tensor]:
    indices = np.unique(view_indices(count, min(FRAMES, count), "uniform-1"))
    return [_small(frame) for _, frame in source.frames(indices.tolist())]


def _small(frame: Tensor) -> Tensor:
    """`[C, h, w]` → RGB uint8 `[3, HEIGHT or less, WIDEST or less]`; for flow, x is shown in grey."""
    colour = frame if frame.shape[0] == 3 else frame[:1].expand(3, -1, -1)
    height, width = colour.shape[-2:]
    scale = min(HEIGHT / height, WIDEST / width)
    return resize(colour, (max(round(height * scale), 1), max(round(width * scale), 1)))


def _strip(frames: list[Tensor]) -> bytes:
    """The frames side by side, as JPEG."""
    height = max(frame.shape[1] for frame in frames)
    width = sum(frame.shape[2] + GAP for frame in frames) - GAP
    canvas = torch.full((3, height, width), 255, dtype=torch.uint8)
    left = 0
    for frame in frames:
        canvas[:, : frame.shape[1], left : left + frame.shape[2]] = frame
        left += frame.shape[2] + GAP
    buffer = io.BytesIO()
    Image.fromarray(canvas.permute(1, 2, 0).numpy()).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
