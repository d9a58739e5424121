"""From a list's record to the pixels of its clips: indices, frames, transform. Neither folders nor codecs here.

`ClipDataset` gives one clip per record, for training and validation; `ViewsDataset` all views of a video, for
testing. Both go through `load_views`.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ops.errors import MediaError, TruncatedMediaError
from ops.records import Records
from ops.sampling import Indices, stack_indices
from ops.source import FrameSource, Reader
from ops.transforms import FramePlan

ChooseIndices = Callable[[int], list[Indices]]
"""Frame count → for each model that looks at the video, the first frames `[V, T]` of its clips."""

MakePlan = Callable[[int, int], FramePlan]
"""Height and width of the first frame → what to do with every frame."""

SUBSTITUTES = 10
"""How many other videos are tried in a broken one's place before training gives up."""


@dataclass(frozen=True)
class Views:
    """The distinct frames of a video, resized once, and which of them make up which clip.

    Attributes:
        frames: uint8 `[F, C, H, W]`, in memory channels last: of each frame what any view shows.
        clips: for each model, places in F: int64 `[V, T, L]`, L consecutive frames per segment.
        plan: how views are cut from the frames.
        truncated: what was wrong where fewer frames were there than claimed, else "".
    """

    frames: Tensor
    clips: list[Tensor]
    plan: FramePlan
    truncated: str = ""

    def clip(self, crop: int, places: Tensor) -> Tensor:
        """Crop `crop` of the clips with `places [..., T, L]`: uint8 `[..., T, L·C, H, W]`, in memory channels last."""
        images = self.plan.cut(crop, self.frames).movedim(-3, -1)[places]  # [..., T, L, H, W, C]
        return self.plan.mirror(crop, images.movedim(-1, -3).flatten(-4, -3))

    @property
    def crops(self) -> int:
        """How many views each frame has."""
        return len(self.plan.views)

    def pin_memory(self) -> "Views":
        """For the loader: the same in page-locked memory, from which copies to a GPU need not wait."""
        return self._with(self.frames.pin_memory(), [clip.pin_memory() for clip in self.clips])

    def on(self, device: torch.device) -> "Views":
        """The same on `device`."""
        bring = partial(torch.Tensor.to, device=device, non_blocking=True)
        return self._with(bring(self.frames), [bring(clip) for clip in self.clips])

    def _with(self, frames: Tensor, clips: list[Tensor]) -> "Views":
        return Views(frames, clips, self.plan, self.truncated)


def load_views(
    reader: Reader, path: str, listed: int, choose: ChooseIndices, make_plan: MakePlan, new_length: int = 1
) -> Views:
    """Read the frames that `choose` asks for from the video at `path`; see `views_of`.

    `listed` is the list's frame count (-1: none). MediaError where it cannot be read at all.
    """
    with reader.open(path, listed) as source:
        truncated = f"{len(source)} frames, where the list says {listed}" if len(source) < listed else ""
        return views_of(source, choose, make_plan, new_length, truncated)


def views_of(
    source: FrameSource, choose: ChooseIndices, make_plan: MakePlan, new_length: int = 1, truncated: str = ""
) -> Views:
    """Read the frames that `choose` asks for, each once, in one forward pass.

    If the video ends before it should, frames are chosen once more among those that are there. `truncated` is what is
    known to be wrong before.
    """
    try:
        frames, clips, plan = _read_clips(source, len(source), choose, make_plan, new_length)
    except TruncatedMediaError as error:
        if not error.readable:
            raise
        truncated = error.reason
        frames, clips, plan = _read_clips(source, error.readable, choose, make_plan, new_length)
    return Views(frames, clips, plan, truncated)


def _read_clips(
    source: FrameSource, num_frames: int, choose: ChooseIndices, make_plan: MakePlan, new_length: int
) -> tuple[Tensor, list[Tensor], FramePlan]:
    wanted = [stack_indices(starts, num_frames, new_length) for starts in choose(num_frames)]
    distinct, inverse = np.unique(np.concatenate([w.ravel() for w in wanted]), return_inverse=True)
    plan: FramePlan | None = None
    out = torch.empty(0, dtype=torch.uint8)
    for place, (_, frame) in enumerate(source.frames(distinct.tolist())):
        if plan is None:
            plan = make_plan(*frame.shape[-2:])
            region = plan.region
            shape = (len(distinct), region.height, region.width, frame.shape[0])
            out = torch.empty(shape, dtype=torch.uint8).movedim(-1, -3)  # as decoders and resizing have it
        out[place] = plan(frame)
    assert plan is not None  # every source raises rather than give nothing
    places = np.split(inverse.ravel(), np.cumsum([w.size for w in wanted])[:-1])
    clips = [torch.from_numpy(p.reshape(w.shape)) for p, w in zip(places, wanted, strict=True)]
    return out, clips, plan


@dataclass(frozen=True)
class Failure:
    """A video that could not be read: its place in the list, its path as listed, and why."""

    index: int
    path: str
    reason: str


@dataclass(frozen=True)
class Clip:
    """One clip of training or validation: uint8 `[T, L·C, H, W]`, its label, and what failed on the way to it.

    `pixels` is None where the video could not be read and nothing may stand in for it.
    """

    index: int
    pixels: Tensor | None
    label: int
    failures: tuple[Failure, ...] = ()
    warnings: tuple[Failure, ...] = ()


@dataclass(frozen=True)
class ClipRecipe:
    """How clips are made from videos, for training and validation; random numbers are passed in.

    `choose(num_frames, rng)` gives the first frames `[T]`, `plan(height, width, label, rng)` the frame plan;
    `partners [K]` the class of each class's mirror image.
    """

    choose: Callable[[int, np.random.Generator], Indices]
    plan: Callable[[int, int, int, np.random.Generator], FramePlan]
    partners: Indices
    new_length: int = 1


class ClipDataset(Dataset[Clip]):
    """One clip per record, asked for by `(epoch, index)`: everything random about it depends on (seed, epoch,
    index) alone, so neither workers nor an interruption change what a run sees.

    Where a video cannot be read, with `substitute` another one stands in, the same in every run (training);
    without, the clip comes without pixels (validation). Either way the failure comes along.
    """

    def __init__(
        self, records: Records, root: str, reader: Reader, recipe: ClipRecipe, seed: int, substitute: bool
    ) -> None:
        self.records, self.root, self.reader, self.recipe = records, root, reader, recipe
        self.seed, self.substitute = seed, substitute

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, key: tuple[int, int]) -> Clip:
        epoch, index = key
        rng = np.random.default_rng([self.seed, epoch, index])
        failures: list[Failure] = []
        for _ in range(SUBSTITUTES):
            record = self.records[index]
            try:
                return self._clip(index, rng, tuple(failures))
            except MediaError as error:
                failures.append(Failure(index, record.path, error.reason))
            if not self.substitute:
                break
            index = int(rng.integers(len(self.records)))
        return Clip(key[1], None, self.records[key[1]].label, tuple(failures))

    def _clip(self, index: int, rng: np.random.Generator, failures: tuple[Failure, ...]) -> Clip:
        record, recipe = self.records[index], self.recipe
        views = load_views(
            self.reader,
            os.path.join(self.root, record.path),
            record.num_frames,
            lambda num_frames: [recipe.choose(num_frames, rng)[None]],
            lambda height, width: recipe.plan(height, width, record.label, rng),
            recipe.new_length,
        )
        pixels = views.clip(0, views.clips[0])[0]
        label = int(recipe.partners[record.label]) if views.plan.mirrored[0] else record.label
        warnings = (Failure(index, record.path, views.truncated),) if views.truncated else ()
        return Clip(index, pixels, label, failures, warnings)


@dataclass(frozen=True)
class ClipBatch:
    """Clips on their way to the model: uint8 `[N, T, L·C, H, W]` and labels `[N]`.

    Clips without pixels are left out, so N can be below the number `asked` for; `indices` are the places in the
    list of those that are there.
    """

    pixels: Tensor
    labels: Tensor
    indices: list[int]
    asked: int
    failures: list[Failure] = field(default_factory=list)
    warnings: list[Failure] = field(default_factory=list)

    def pin_memory(self) -> "ClipBatch":
        """For the loader: the same in page-locked memory."""
        pixels, labels = self.pixels.pin_memory(), self.labels.pin_memory()
        return ClipBatch(pixels, labels, self.indices, self.asked, self.failures, self.warnings)


def collate_clips(clips: Sequence[Clip]) -> ClipBatch:
    """Clips → one batch."""
    there = [clip for clip in clips if clip.pixels is not None]
    pixels = [clip.pixels.movedim(-3, -1) for clip in there if clip.pixels is not None]
    return ClipBatch(
        torch.stack(pixels).movedim(-1, -3) if pixels else torch.empty(0, dtype=torch.uint8),
        torch.tensor([clip.label for clip in there], dtype=torch.int64),
        [clip.index for clip in there],
        len(clips),
        [failure for clip in clips for failure in clip.failures],
        [warning for clip in clips for warning in clip.warnings],
    )


@dataclass(frozen=True)
class Stream:
    """One way of reading the videos of a test, shared by the models that read them alike.

    `choose` gives an index array per such model. A test of RGB + Flow has two streams.
    """

    records: Records
    root: str
    reader: Reader
    choose: ChooseIndices
    plan: MakePlan
    new_length: int = 1


@dataclass(frozen=True)
class VideoItem:
    """One video of a test: the views of each stream, or why they could not be had."""

    index: int
    streams: list[Views]
    failure: Failure | None = None

    def pin_memory(self) -> "VideoItem":
        """For the loader: the same in page-locked memory."""
        return VideoItem(self.index, [views.pin_memory() for views in self.streams], self.failure)


class ViewsDataset(Dataset[VideoItem]):
    """All views of each video of a test; nothing ever stands in for a video that cannot be read."""

    def __init__(self, streams: Sequence[Stream]) -> None:
        self.streams = list(streams)

    def __len__(self) -> int:
        return len(self.streams[0].records)

    def __getitem__(self, index: int) -> VideoItem:
        views = []
        for stream in self.streams:
            record = stream.records[index]
            path = os.path.join(stream.root, record.path)
            try:
                views.append(
                    load_views(stream.reader, path, record.num_frames, stream.choose, stream.plan, stream.new_length)
                )
            except MediaError as error:
                return VideoItem(index, [], Failure(index, record.path, error.reason))
        return VideoItem(index, views)
