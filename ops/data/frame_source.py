"""What the two readers, of frame folders and of videos, have in common: a `FrameSource`."""

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
    """One opened video. It is opened and closed inside one `__getitem__` of a dataset, never shared."""

    path: str

    @property
    def problem(self) -> str:
        """What was wrong with frames that were read so far, though something could be given for each; else ""."""
        return ""

    @abstractmethod
    def __len__(self) -> int:
        """How many frames it claims: the list's count for folders, those that decode for videos."""

    @abstractmethod
    def frames(self, indices: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        """Yield `(index, uint8 [C, h, w])` for the sorted distinct `indices`, each as it is decoded.

        C is 3 (RGB) or 2 (flow x, y). Sizes may differ between frames. TruncatedMediaError where the video ends
        before the last index, MediaError where it cannot be read.
        """

    def read(self, indices: Sequence[int]) -> Tensor:
        """The frames at `indices`, in any order and with repeats: uint8 `[len(indices), C, h, w]`.

        Frames of another size than the first decoded one are resized to it. The memory is that of images
        (channels last), as decoders give it.
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
    """Opens the entries of a list; picklable, for it travels to the workers."""

    kind: str
    """"frames" or "videos"."""

    decoder: str
    """What decodes, with its version, for reports."""

    counts_in_pairs: bool
    """Whether a two-column list line ends in a frame count (else in a label)."""

    def prepare(self, records: Records, root: str | Path) -> "Reader":
        """Look at the disk once, before any worker starts; InputError where nothing fits."""
        ...

    def first_file(self, path: str) -> str:
        """The first file that holds frames of the entry at `path`, which need not exist."""
        ...

    def open(self, path: str, num_frames: int) -> AbstractContextManager[FrameSource]:
        """Open the entry at `path`; `num_frames` is the list's count, -1 where it has none."""
        ...


def match_size(frame: Tensor, like: Tensor) -> Tensor:
    """`frame [C, h, w]`, resized to the height and width of `like [C, H, W]` where they differ."""
    return resize(frame, (like.shape[-2], like.shape[-1]))
