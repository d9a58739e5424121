"""`FrameSource`: the common interface of the readers of frame folders and of videos."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from ops.data.lists import Records
from ops.data.resize import resize


class FrameSource(ABC):
    """One opened video or frame folder. It is opened and closed within one `__getitem__` of a dataset, never shared."""

    path: str

    @property
    def problem(self) -> str:
        """What was wrong with the frames read so far, although each could be returned in some form; else ""."""
        return ""

    @abstractmethod
    def __len__(self) -> int:
        """The number of frames: for folders the list's count, for videos the frames that decode."""

    @abstractmethod
    def frames(self, indices: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        """Yield `(index, uint8 [C, h, w])` for the sorted distinct `indices`, each as it is decoded.

        C is 3 (RGB) or 2 (flow x, y). Sizes may differ between frames. TruncatedMediaError if the video ends
        before the last index, MediaError if it cannot be read.
        """

    def read(self, indices: Sequence[int]) -> Tensor:
        """The frames at `indices`, in any order and with repeats: uint8 `[len(indices), C, h, w]`.

        Frames whose size differs from the first decoded frame are resized to it. The memory format is channels last,
        as decoders produce it.
        """
        places: dict[int, list[int]] = {}
        for place, index in enumerate(indices):
            places.setdefault(int(index), []).append(place)
        out = torch.empty(0)
        for index, frame in self.frames(sorted(places)):
            if not out.numel():
                c, h, w = frame.shape
                out = torch.empty(len(indices), h, w, c, dtype=frame.dtype).permute(0, 3, 1, 2)
            frame = match_size(frame, out[0])
            for place in places[index]:
                out[place] = frame
        return out


class Reader(Protocol):
    """Opens the entries of a list; picklable, because it is sent to the workers."""

    kind: str
    """"frames" or "videos"."""

    decoder: str
    """Name and version of the decoder, for reports."""

    counts_in_pairs: bool
    """Whether the second of two columns in a list is a frame count (else a label)."""

    def prepare(self, records: Records, root: str | Path) -> "Reader":
        """Inspect the disk once, before any worker starts; InputError if no entry can be read."""
        ...

    def first_file(self, path: str) -> str:
        """The first file with frames of the entry at `path`; it may not exist."""
        ...

    def open(self, path: str, num_frames: int) -> AbstractContextManager[FrameSource]:
        """Open the entry at `path`; `num_frames` is the list's count, -1 if it has none."""
        ...


def match_size(frame: Tensor, like: Tensor) -> Tensor:
    """`frame [C, h, w]`, resized to the height and width of `like [C, H, W]` if they differ."""
    return resize(frame, (like.shape[-2], like.shape[-1]))
