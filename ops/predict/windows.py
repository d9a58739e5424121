"""Predictions over time: one per window of frames, in one pass over the video, however long it is.

Each window is treated like a separate short video, with its own sampling of segments. Only frames that some window
samples are kept, transformed and as uint8, from when they are decoded until the last window that needs them.
"""

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ops.common.console import progress
from ops.common.errors import InputError, MediaError, TruncatedMediaError, memory_errors_as_media_errors
from ops.data.frame_source import FrameSource
from ops.data.frames import FolderSource
from ops.data.sampling import Indices, Sample, stack_indices
from ops.data.transforms import FramePlan
from ops.data.videos import VideoSource, open_video
from ops.data.views import MakePlan, Views, plan_for
from ops.predict.predictor import Prediction, Predictor

LENGTH = 64
STRIDE = 16
MIDDLES = Sample("uniform", 1)
"""One clip of the middle frames of equal parts, one per segment."""


def default_stride(length: int) -> int:
    """Windows of `length` frames start every so many frames, unless a flag says otherwise."""
    return max(1, length // 4)


Span = tuple[int, int]
"""The first frame of a window, and the one after its last frame."""


@dataclass(frozen=True)
class Window:
    """The mean logits `[K]` of the frames `[start, stop)`, and their times in seconds."""

    start: int
    stop: int
    start_s: float
    stop_s: float
    logits: NDArray[np.float32]


@dataclass(frozen=True)
class Timeline:
    """The predictions for the windows of a video; `truncated` is what was wrong if it was cut short, or "".

    With `multi_label` a video may have several classes: `logits` are then probabilities.
    """

    path: str
    windows: Sequence[Window]
    class_names: Sequence[str] | None
    truncated: str = ""
    multi_label: bool = False

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """The probabilities of each window, `[W, K]`."""
        return np.stack([self.prediction(window).probabilities for window in self.windows])

    def prediction(self, window: Window | None = None) -> Prediction:
        """The prediction of one window or, by default, of the video: the mean of the logits of all windows."""
        if window:
            return Prediction(
                self.path, window.logits, self.class_names, shares=window.logits if self.multi_label else None
            )
        every = np.stack([each.logits for each in self.windows])
        mean = every.mean(axis=0, dtype=np.float64).astype(np.float32)
        return Prediction(self.path, mean, self.class_names, self.truncated, mean if self.multi_label else None)

    def name(self, index: int) -> str:
        """The name of class `index`."""
        return self.class_names[index] if self.class_names else str(index)

    @property
    def edges(self) -> list[float]:
        """Seconds, `[W + 1]`: each window stands for the time between two edges, around its middle."""
        middles = [(window.start_s + window.stop_s) / 2 for window in self.windows]
        between = [(a + b) / 2 for a, b in itertools.pairwise(middles)]
        return [self.windows[0].start_s, *between, self.windows[-1].stop_s]

    def runs(self) -> Iterator[tuple[int, int]]:
        """Runs of neighbouring windows `[first, last]` with the same best class, in order."""
        best = self.probabilities.argmax(axis=1)
        changes = np.flatnonzero(np.diff(best)) + 1
        yield from zip([0, *changes.tolist()], [*(changes - 1).tolist(), len(best) - 1], strict=True)


@dataclass(frozen=True)
class Windows:
    """How a video is divided into windows: `length` frames each, one starting every `stride` frames.

    `sample` is how the clips of each window are sampled.
    """

    length: int = LENGTH
    stride: int = STRIDE
    sample: Sample = MIDDLES

    def count(self, num_frames: int) -> int:
        """How many windows a video of `num_frames` has; see `spans`."""
        starts, is_rest = self._starts(num_frames)
        return len(starts) + is_rest

    def spans(self, num_frames: int) -> list[Span]:
        """The windows of a video of `num_frames`: a single one of all frames if it is shorter than a window.

        If windows overlap or touch, an additional last one ends with the video.
        """
        starts, is_rest = self._starts(num_frames)
        every = [*starts, num_frames - self.length] if is_rest else starts
        return [(start, min(start + self.length, num_frames)) for start in every]

    def _starts(self, num_frames: int) -> tuple[range, bool]:
        """The first frame of each window, and whether there is an additional last window."""
        starts = range(0, max(num_frames - self.length, 0) + 1, self.stride)
        return starts, starts[-1] + self.length < num_frames and self.stride <= self.length


class FrameBuffer:
    """The transformed frames that windows still need; `len()` is their number.

    Args:
        spans: the windows, sorted by start.
        choose: number of frames of a window → the first frames `[V, T]` of its clips.
        make_plan: height and width → how frames are resized and cropped.
        new_length: consecutive frames in a segment.
        path: of the video, for messages.
    """

    def __init__(
        self,
        spans: Sequence[Span],
        choose: Callable[[int], Indices],
        make_plan: MakePlan,
        new_length: int = 1,
        path: str = "",
    ) -> None:
        lengths = {stop - start for start, stop in spans}
        self._clips = {length: stack_indices(choose(length), length, new_length) for length in lengths}
        self._spans, self._make_plan, self._path = spans, make_plan, path
        self._next = 0
        self._plan: FramePlan | None = None
        self._held: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return len(self._held)

    @property
    def wanted(self) -> Indices:
        """The frames that any window samples, sorted: these must be `add`ed, in this order."""
        starts, lengths = np.array([(start, stop - start) for start, stop in self._spans]).T
        each = [(starts[lengths == length, None] + np.unique(clips)).ravel() for length, clips in self._clips.items()]
        return np.unique(np.concatenate(each))

    def add(self, index: int, frame: Tensor) -> Iterator[tuple[Span, Views]]:
        """Add frame `index`, uint8 `[3, h, w]`; yields the windows that it completes, with their views."""
        if self._plan is None:
            self._plan = plan_for(frame, self._make_plan, self._path)
        self._held[index] = self._plan(frame).movedim(-3, -1).contiguous()  # [H, W, 3], not a view of more
        while self._next < len(self._spans) and index >= self._first_and_last(self._next)[1]:
            yield self._spans[self._next], self._views(*self._spans[self._next])
            self._next += 1
            oldest = self._first_and_last(self._next)[0] if self._next < len(self._spans) else index + 1
            self._held = {place: held for place, held in self._held.items() if place >= oldest}

    def _first_and_last(self, number: int) -> tuple[int, int]:
        """The first and the last frame that a window samples."""
        start, stop = self._spans[number]
        clips = self._clips[stop - start]
        return start + int(clips.min()), start + int(clips.max())

    def _views(self, start: int, stop: int) -> Views:
        assert self._plan is not None
        clips = self._clips[stop - start]
        distinct, inverse = np.unique(clips, return_inverse=True)
        frames = torch.stack([self._held[start + int(index)] for index in distinct]).movedim(-1, -3)
        return Views(frames, [torch.from_numpy(inverse.reshape(clips.shape))], self._plan)


def predict_windows(
    predictor: Predictor, path: str | os.PathLike[str], windows: Windows | None = None, shown: bool = False
) -> Timeline:
    """The predictions for the windows of the video at `path`, decoded in one pass; with a progress bar if `shown`.

    If the video ends too early, the last window ends there. InputError if a window is shorter than a clip, MediaError
    if the video cannot be read at all.
    """
    windows, path = windows or Windows(), os.fspath(path)
    if windows.length < predictor.model.num_segments:
        raise InputError(f"windows of {windows.length} frames are shorter than {predictor.model.num_segments} segments")
    done: list[Window] = []
    with memory_errors_as_media_errors(path), predictor.reader.open(path, -1) as source:
        if isinstance(source, FolderSource):
            raise MediaError(path, "frames have no times: windows, timelines and drawings need a video")
        truncated = source.shortfall if isinstance(source, VideoSource) else ""
        spans, seconds = windows.spans(len(source)), _seconds(source)
        with progress(None, len(spans), "windows", "window", shown, leave=False) as bar:
            try:
                for window in _scored(predictor, source, windows, spans, seconds):
                    done.append(window)
                    bar.update()
            except TruncatedMediaError as error:
                if not error.readable:
                    raise
                truncated, last = error.reason, windows.spans(error.readable)[-1]
                if not done or done[-1].stop < last[1]:
                    done += _scored(predictor, source, windows, [last], seconds)
        truncated = truncated or source.problem
    return Timeline(path, done, predictor.class_names, truncated, predictor.multi_label)


def _scored(
    predictor: Predictor,
    source: FrameSource,
    windows: Windows,
    spans: Sequence[Span],
    seconds: NDArray[np.float64],
) -> Iterator[Window]:
    """The windows at `spans`; `seconds [F + 1]` are the times of frames."""
    choose = partial(_choose, predictor, windows.sample)
    buffer = FrameBuffer(spans, choose, predictor.plan(), predictor.shape.new_length, source.path)
    for index, frame in source.frames(buffer.wanted.tolist()):
        for span, views in buffer.add(index, frame):
            first, last = (float(seconds[min(place, len(seconds) - 1)]) for place in span)
            yield Window(*span, first, last, predictor.logits(views).numpy())


def _choose(predictor: Predictor, sample: Sample, num_frames: int) -> Indices:
    return predictor.choose(num_frames, sample)[0]


def _seconds(source: FrameSource) -> NDArray[np.float64]:
    """When each frame is shown, `[F + 1]` with the end of the last one."""
    if isinstance(source, VideoSource):
        return source.seconds
    with open_video(source.path) as timed:  # OpenCV does not report it
        return timed.seconds
