"""The other reader of videos: OpenCV's, which decodes from the start to the last wanted frame. For comparison.

It gives the pixels that PyAV's gives, more slowly; it does not decode AV1, and its count is the header's claim.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import torch
from torch import Tensor

from ops.errors import MediaError, TruncatedMediaError
from ops.packets import MAX_PACKETS
from ops.source import FrameSource
from ops.videos import VideoReader, open_video


class OpenCVReader(VideoReader):
    """Opens the videos of a list by OpenCV."""

    decoder = f"OpenCV {cv2.__version__}"

    @contextmanager
    def open(self, path: str, num_frames: int) -> Iterator[FrameSource]:
        """Open one video; MediaError where that fails.

        PyAV opens it first: playlists, URLs and what claims too much are refused before OpenCV sees them.
        """
        with open_video(path):
            pass
        yield OpenCVSource(path)


class OpenCVSource(FrameSource):
    """One video file, decoded by one thread."""

    def __init__(self, path: str) -> None:
        self.path = path
        capture = self._capture()
        self._length = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        capture.release()
        if self._length < 1:
            raise MediaError(path, "OpenCV finds no frames in it")
        if self._length > MAX_PACKETS:  # by the header's claim, whatever the packets are
            raise MediaError(path, f"more than {MAX_PACKETS} frames; cut it into shorter videos")

    def __len__(self) -> int:
        return self._length

    def frames(self, indices: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        """See `FrameSource.frames`. Frames that nobody asked for are decoded, but not converted."""
        capture, position = self._capture(), -1
        try:
            for index in indices:
                while position < index:
                    if not capture.grab():
                        raise TruncatedMediaError(self.path, self._length, position + 1)
                    position += 1
                done, bgr = capture.retrieve()
                if not done:
                    raise TruncatedMediaError(self.path, self._length, position)
                yield index, torch.from_numpy(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)).permute(2, 0, 1)
        finally:
            capture.release()

    def _capture(self) -> Any:
        capture = cv2.VideoCapture(os.fspath(Path(self.path).absolute()), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        if not capture.isOpened():
            raise MediaError(self.path, "OpenCV cannot open it")
        return capture
