"""The other reader of videos: OpenCV's, which decodes from the start to the last wanted frame. For comparison.

It gives the pixels that PyAV's gives, more slowly. It does not decode AV1, nor interlaced video: from release 4.13 on,
OpenCV returns memory for it that was never written. Frames of a video that changes its size it makes all alike.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import torch
from torch import Tensor

from ops.common.errors import MediaError, TruncatedMediaError
from ops.data.frame_source import FrameSource
from ops.data.orientation import UPRIGHT, matrix_of, orient
from ops.data.pyav_videos import VideoReader
from ops.data.videos import VideoSource


class OpenCVReader(VideoReader):
    """Opens the videos of a list by OpenCV."""

    decoder = f"OpenCV {cv2.__version__}"

    @contextmanager
    def open(self, path: str, num_frames: int) -> Iterator[FrameSource]:
        """Open one video; MediaError where that fails.

        PyAV opens it first: playlists, URLs and what claims too much are refused before OpenCV sees them.
        """
        with self.open_video(path) as video:
            yield OpenCVSource(path, video)


class OpenCVSource(FrameSource):
    """One video file, decoded by one thread. `video` is the same, and knows how many frames it has."""

    def __init__(self, path: str, video: VideoSource) -> None:
        self.path, self._video = path, video
        self._capture().release()

    def __len__(self) -> int:
        return len(self._video)

    def frames(self, indices: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        """See `FrameSource.frames`. Frames that nobody asked for are decoded, but not converted.

        MediaError where one of them is interlaced, or of another size than the others.
        """
        capture, position, start = self._capture(), -1, 0.0
        try:
            matrix = self._look_at(indices, capture)
            for index in indices:
                while position < index:
                    if not capture.grab():
                        raise TruncatedMediaError(self.path, len(self), position + 1)
                    position += 1
                    start = start if position else capture.get(cv2.CAP_PROP_POS_MSEC)
                self._check_time(index, (capture.get(cv2.CAP_PROP_POS_MSEC) - start) / 1000)
                done, bgr = capture.retrieve()
                if not done:
                    raise TruncatedMediaError(self.path, len(self), position)
                rgb = cv2.cvtColor(orient(bgr, matrix), cv2.COLOR_BGR2RGB)
                yield index, torch.from_numpy(rgb).permute(2, 0, 1)
        finally:
            capture.release()

    def _check_time(self, index: int, time: float) -> None:
        """MediaError where frame `index` comes with the `time` of another, for those before it did not all decode."""
        seconds = self._video.seconds
        if self._video.is_timed and time > (seconds[index] + seconds[index + 1]) / 2:
            raise MediaError(self.path, f"before frame {index} there are some that do not decode, and OpenCV counts "
                                        "without them: use --decoder pyav")  # fmt: skip

    def _look_at(self, indices: Sequence[int], capture: Any) -> tuple[int, int, int, int]:
        """How the video is held; MediaError where frames cannot be had by OpenCV. PyAV decodes them to know."""
        matrix, video = UPRIGHT, self._video
        size = tuple(int(capture.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        all_of_them = video.may_be_interlaced or video.may_change_size
        for number, (_, frame) in enumerate(video.wanted(indices if all_of_them else indices[:1])):
            if frame.interlaced_frame:
                raise MediaError(self.path, f"interlaced video, which OpenCV {cv2.__version__} does not decode: "
                                            "use --decoder pyav")  # fmt: skip
            if (frame.width, frame.height) != size:
                raise MediaError(self.path, f"frames of {frame.width} x {frame.height} and of {size[0]} x {size[1]}, "
                                            "which OpenCV makes one size: use --decoder pyav")  # fmt: skip
            matrix = matrix if number else matrix_of(frame)
        return matrix

    def _capture(self) -> Any:
        capture = cv2.VideoCapture(os.fspath(Path(self.path).absolute()), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        if not capture.isOpened():
            raise MediaError(self.path, "OpenCV cannot open it")
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)  # it turns mirrored videos upside down
        return capture
