"""The views of one video: indices, frames, transform. Independent of how frames are stored."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ops.common.errors import MediaError, TruncatedMediaError, memory_errors_as_media_errors
from ops.common.text import counted
from ops.data.frame_source import FrameSource, Reader
from ops.data.sampling import Indices, stack_indices
from ops.data.transforms import FramePlan

ChooseIndices = Callable[[int], list[Indices]]
"""Frame count → for each model, the first frames `[V, T]` of the segments of its clips."""

MakePlan = Callable[[int, int], FramePlan]
"""Height and width of the first frame → how every frame is cropped and resized."""


@dataclass(frozen=True)
class Views:
    """The distinct frames of a video, resized once, and the clips that they form.

    Attributes:
        frames: uint8 `[F, C, H, W]` in channels-last memory format: the region of each frame that views show.
        clips: for each model, indices into F: int64 `[V, T, L]`, L consecutive frames per segment.
        plan: how views are cropped from the frames.
        truncated: what was wrong if there were fewer frames than claimed, else "".
    """

    frames: Tensor
    clips: list[Tensor]
    plan: FramePlan
    truncated: str = ""

    def clip(self, crop: int, places: Tensor) -> Tensor:
        """Crop `crop` of the clips at `places [..., T, L]`: uint8 `[..., T, L·C, H, W]`, channels last in memory."""
        images = self.plan.cut(crop, self.frames).movedim(-3, -1)[places]  # [..., T, L, H, W, C]
        return self.plan.mirror(crop, images.movedim(-1, -3).flatten(-4, -3))

    def only_clip(self) -> Tensor:
        """Crop 0 of the only clip, on the CPU: uint8 `[T, L·C, H, W]`, as `clip` returns it.

        If the clip shows every frame once, in order, it shares the memory of `frames`.
        """
        places = self.clips[0][0]
        if not np.array_equal(places.flatten(), np.arange(len(self.frames))):
            return self.clip(0, places)
        frames = self.plan.cut(0, self.frames)
        return self.plan.mirror(0, frames.reshape(len(places), -1, *frames.shape[-2:]))

    @property
    def crops(self) -> int:
        """The number of views of each frame."""
        return len(self.plan.views)

    def pin_memory(self) -> "Views":
        """The same in page-locked memory, for asynchronous copies to a GPU; called by the DataLoader."""
        return self._with(self.frames.pin_memory(), [clip.pin_memory() for clip in self.clips])

    def on(self, device: torch.device) -> "Views":
        """The same views on `device`."""
        bring = partial(torch.Tensor.to, device=device, non_blocking=True)
        return self._with(bring(self.frames), [bring(clip) for clip in self.clips])

    def _with(self, frames: Tensor, clips: list[Tensor]) -> "Views":
        return Views(frames, clips, self.plan, self.truncated)


def load_views(
    reader: Reader, path: str, listed: int, choose: ChooseIndices, make_plan: MakePlan, new_length: int = 1
) -> Views:
    """Read the frames that `choose` asks for from the video at `path`; see `views_of`.

    `listed` is the list's frame count (-1: none). MediaError if the video cannot be read at all.
    """
    with memory_errors_as_media_errors(path), reader.open(path, listed) as source:
        truncated = f"{counted(len(source), 'frame')}, but the list says {listed}" if len(source) < listed else ""
        return views_of(source, choose, make_plan, new_length, truncated)


def views_of(
    source: FrameSource, choose: ChooseIndices, make_plan: MakePlan, new_length: int = 1, truncated: str = ""
) -> Views:
    """Read the frames that `choose` asks for, each once, in one forward pass.

    If the video ends too early, frames are chosen again from those that can be read. `truncated` is a problem that is
    already known.
    """
    with memory_errors_as_media_errors(source.path):
        try:
            frames, clips, plan = _read_clips(source, len(source), choose, make_plan, new_length)
        except TruncatedMediaError as error:
            if not error.readable:
                raise
            truncated = error.reason
            frames, clips, plan = _read_clips(source, error.readable, choose, make_plan, new_length)
    return Views(frames, clips, plan, truncated or source.problem)


def plan_for(frame: Tensor, make_plan: MakePlan, path: str) -> FramePlan:
    """The plan of the video at `path`, whose first frame is `[C, h, w]`; MediaError if its size is not supported."""
    try:
        return make_plan(*frame.shape[-2:])
    except ValueError as error:
        raise MediaError(path, str(error)) from None


def _read_clips(
    source: FrameSource, num_frames: int, choose: ChooseIndices, make_plan: MakePlan, new_length: int
) -> tuple[Tensor, list[Tensor], FramePlan]:
    wanted = [stack_indices(starts, num_frames, new_length) for starts in choose(num_frames)]
    distinct, inverse = np.unique(np.concatenate([w.ravel() for w in wanted]), return_inverse=True)
    plan: FramePlan | None = None
    out = torch.empty(0, dtype=torch.uint8)
    for place, (_, frame) in enumerate(source.frames(distinct.tolist())):
        if plan is None:
            plan = plan_for(frame, make_plan, source.path)
            region = plan.region
            shape = (len(distinct), region.height, region.width, frame.shape[0])
            out = torch.empty(shape, dtype=torch.uint8).movedim(-1, -3)  # the memory format of decoders and resizing
        out[place] = plan(frame)
    assert plan is not None  # a source raises an error if it has no frames
    places = np.split(inverse.ravel(), np.cumsum([w.size for w in wanted])[:-1])
    clips = [torch.from_numpy(p.reshape(w.shape)) for p, w in zip(places, wanted, strict=True)]
    return out, clips, plan
