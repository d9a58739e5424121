"""Datasets: from a record of a list to the pixels of its clips.

`ClipDataset` gives one clip per record, for training and validation; `ViewsDataset` gives all views of a video, for
testing. Both use `ops.data.views.load_views`.
"""

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from ops.common.errors import MediaError
from ops.common.storage import stamp_of
from ops.data.frame_source import Reader
from ops.data.hang_detection import NO_BOARD, check_not_passed_over
from ops.data.lists import Records
from ops.data.multi_label_lists import multi_hot
from ops.data.sampling import Indices
from ops.data.transforms import FramePlan
from ops.data.views import ChooseIndices, MakePlan, Views, load_views

T = TypeVar("T")

SUBSTITUTES = 10
"""How many other videos are tried in place of an unreadable one before training gives up."""

SECOND_TRY = "could only be read at the second attempt"


def read_twice(read: Callable[[], T]) -> tuple[T, str]:
    """The result of `read`, which is called a second time if it fails: network file systems fail occasionally.

    Also returns why the first attempt failed ("" if it did not). MediaError if both fail.
    """
    try:
        return read(), ""
    except MediaError as error:
        return read(), error.reason


@dataclass(frozen=True)
class Failure:
    """A video that could not be read: its index in the list, its path as listed, and the reason."""

    index: int
    path: str
    reason: str


@dataclass(frozen=True)
class Clip:
    """One clip of training or validation: uint8 `[T, L·C, H, W]`, its label, and the videos that failed.

    `pixels` is None if the video could not be read and must not be replaced by another. If a video may have several
    labels, `label` is float32 `[K]`: 1 for the classes that it has.
    """

    index: int
    pixels: Tensor | None
    label: int | NDArray[np.float32]
    failures: tuple[Failure, ...] = ()
    warnings: tuple[Failure, ...] = ()


@dataclass(frozen=True)
class ClipPipeline:
    """How clips are sampled and transformed, in training or validation; random numbers are passed in.

    `choose(num_frames, rng)` gives the first frame of each segment, `[T]`; `plan(height, width, label, rng)` the frame
    plan, for one label or an array of several; `partners [K]` the class of each class's mirror image;
    `augment(pixels, rng)` the clip `[T, C, H, W]` after further augmentation, if any.
    """

    choose: Callable[[int, np.random.Generator], Indices]
    plan: Callable[[int, int, int | Indices, np.random.Generator], FramePlan]
    partners: Indices
    new_length: int = 1
    augment: Callable[[Tensor, np.random.Generator], Tensor] | None = None


class ClipDataset(Dataset[Clip]):
    """One clip per record, indexed by `(epoch, index)`. All random choices depend only on (seed, epoch, index), so
    they do not depend on the number of workers or on interruptions. A third number of the key, of a clip that an epoch
    draws several times, makes these draws different.

    If a video cannot be read in two attempts, or is in `passed_over`, it is replaced by another video, the same in
    every run, if `substitute` is set (training); otherwise the clip has no pixels (validation). Either way the clip
    carries the failure. `board` records what is being read.
    """

    def __init__(
        self,
        records: Records,
        root: str,
        reader: Reader,
        pipeline: ClipPipeline,
        seed: int,
        substitute: bool,
        passed_over: Collection[str] = (),
    ) -> None:
        self.records, self.root, self.reader, self.pipeline = records, root, reader, pipeline
        self.seed, self.substitute, self.passed_over = seed, substitute, passed_over
        self.board = NO_BOARD

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, key: tuple[int, ...]) -> Clip:
        epoch, asked, *repeat = key
        failures: list[Failure] = []
        for attempt in range(SUBSTITUTES if self.substitute else 1):
            index = self._draw(epoch, asked, attempt, repeat)[0]
            path = self.records[index].path
            try:
                with self.board.reading(index):
                    check_not_passed_over(self.path_of(index), self.passed_over)
                    clip, reason = read_twice(partial(self._clip, epoch, asked, attempt, repeat))
            except MediaError as error:
                failures.append(Failure(index, path, error.reason))
            else:
                again = (Failure(index, path, f"{SECOND_TRY}: {reason}"),) if reason else ()
                return replace(clip, failures=tuple(failures), warnings=clip.warnings + again)
        return Clip(asked, None, self.records[asked].label, tuple(failures))

    def path_of(self, index: int) -> str:
        """The full path of record `index`."""
        return os.path.abspath(os.path.join(self.root, self.records.path(index)))

    def _draw(
        self, epoch: int, asked: int, attempt: int, repeat: Sequence[int] = ()
    ) -> tuple[int, np.random.Generator]:
        """The video of an attempt and its random generator: first the requested video, then random ones."""
        rng = np.random.default_rng([self.seed, epoch, asked, attempt, *repeat])
        return int(rng.integers(len(self.records))) if attempt else asked, rng

    def _clip(self, epoch: int, asked: int, attempt: int, repeat: Sequence[int] = ()) -> Clip:
        index, rng = self._draw(epoch, asked, attempt, repeat)
        record, pipeline, sets = self.records[index], self.pipeline, self.records.label_sets
        label: int | Indices = record.label if sets is None else sets.of(index)
        views = load_views(
            self.reader, os.path.join(self.root, record.path), record.num_frames,
            lambda num_frames: [pipeline.choose(num_frames, rng)[None]],
            lambda height, width: pipeline.plan(height, width, label, rng), pipeline.new_length,
        )  # fmt: skip
        pixels = views.only_clip()
        if pipeline.augment:
            pixels = pipeline.augment(pixels, rng)
        label = pipeline.partners[label] if views.plan.mirrored[0] else label
        warnings = (Failure(index, record.path, views.truncated),) if views.truncated else ()
        target = int(label) if sets is None else multi_hot(label, len(pipeline.partners))
        return Clip(index, pixels, target, warnings=warnings)


@dataclass(frozen=True)
class Stream:
    """One way of reading the videos of a test, shared by all models that read them in the same way.

    `choose` gives an index array for each of these models. A test of RGB + Flow has two streams.
    """

    records: Records
    root: str
    reader: Reader
    choose: ChooseIndices
    plan: MakePlan
    new_length: int = 1


@dataclass(frozen=True)
class VideoItem:
    """One video of a test: the views of each stream, or the reason why it failed.

    `stamp` identifies the state of its files (size and modification time) before they were read.
    """

    index: int
    streams: list[Views]
    failure: Failure | None = None
    stamp: str = ""

    def pin_memory(self) -> "VideoItem":
        """For the loader: the same in page-locked memory."""
        return VideoItem(self.index, [views.pin_memory() for views in self.streams], self.failure, self.stamp)


class ViewsDataset(Dataset[VideoItem]):
    """All views of each video of a test; a video that cannot be read in two attempts is never replaced by another.

    Videos in `passed_over` count as unreadable. `board` records what is being read.
    """

    def __init__(self, streams: Sequence[Stream], passed_over: Collection[str] = ()) -> None:
        self.streams, self.passed_over = list(streams), passed_over
        self.board = NO_BOARD

    def __len__(self) -> int:
        return len(self.streams[0].records)

    def __getitem__(self, index: int) -> VideoItem:
        with self.board.reading(index):
            return self._item(index)

    def path_of(self, index: int) -> str:
        """The full path of video `index` in the first list."""
        stream = self.streams[0]
        return os.path.abspath(os.path.join(stream.root, stream.records.path(index)))

    def stamp_of(self, index: int) -> str:
        """Size and modification time of video `index`, in each list."""
        paths = (os.path.join(stream.root, stream.records.path(index)) for stream in self.streams)
        return " ".join(map(stamp_of, paths))

    def _item(self, index: int) -> VideoItem:
        views, stamp = [], self.stamp_of(index)
        for stream in self.streams:
            record = stream.records[index]
            load = partial(
                load_views, stream.reader, os.path.join(stream.root, record.path), record.num_frames, stream.choose,
                stream.plan, stream.new_length,
            )  # fmt: skip
            try:
                check_not_passed_over(self.path_of(index), self.passed_over)
                views.append(read_twice(load)[0])
            except MediaError as error:
                return VideoItem(index, [], Failure(index, record.path, error.reason))
        return VideoItem(index, views, stamp=stamp)
