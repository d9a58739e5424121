"""A reader of videos with OpenCV, for comparison. It decodes from the start to the last requested frame.

It gives the same pixels as PyAV, more slowly. It reads neither AV1 nor interlaced video, for which OpenCV returns
uninitialised memory from release 4.13 on. If the frame size changes within a video, OpenCV resizes all frames to one.
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
    """Opens the videos of a list with OpenCV."""

    decoder = f"OpenCV {cv2.__version__}"

    @contextmanager
    def open(self, path: str, num_frames: int) -> Iterator[FrameSource]:
        """Open one video; MediaError if that fails.

        PyAV opens it first: playlists, URLs and files with impossible sizes are refused before OpenCV sees them.
        """
        with self.open_video(path) as video:
            yield OpenCVSource(path, video)


class OpenCVSource(FrameSource):
    """One video file, decoded by one thread. `video` is the same file opened by PyAV, which counts its frames."""

    def __init__(self, path: str, video: VideoSource) -> None:
        self.path, self._video = path, video
        self._capture().release()

    def __len__(self) -> int:
        return len(self._video)

    def frames(self, indices: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        """See `FrameSource.frames`. Frames in between are decoded, but not converted.

        MediaError if one of the frames is interlaced, or differs in size from the others.
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
        """MediaError if frame `index` has the `time` of another one, because some frames before it did not decode."""
        seconds = self._video.seconds
        if self._video.is_timed and time > (seconds[index] + seconds[index + 1]) / 2:
            raise MediaError(self.path, f"some frames before frame {index} do not decode, and OpenCV does not "
                                        "count them: use --decoder pyav")  # fmt: skip

    def _look_at(self, indices: Sequence[int], capture: Any) -> tuple[int, int, int, int]:
        """The orientation of the video; MediaError if PyAV shows that OpenCV cannot read it properly."""
        matrix, video = UPRIGHT, self._video
        size = tuple(int(capture.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        all_of_them = video.may_be_interlaced or video.may_change_size
        for number, (_, frame) in enumerate(video.wanted(indices if all_of_them else indices[:1])):
            if frame.interlaced_frame:
                raise MediaError(self.path, f"interlaced video, which OpenCV {cv2.__version__} does not decode: "
                                            "use --decoder pyav")  # fmt: skip
            if (frame.width, frame.height) != size:
                raise MediaError(self.path, f"frames of {frame.width} x {frame.height} and of {size[0]} x {size[1]}, "
                                            "which OpenCV resizes to one size: use --decoder pyav")  # fmt: skip
            matrix = matrix if number else matrix_of(frame)
        return matrix

    def _capture(self) -> Any:
        capture = cv2.VideoCapture(os.fspath(Path(self.path).absolute()), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        if not capture.isOpened():
            raise MediaError(self.path, "OpenCV cannot open it")
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)  # OpenCV turns mirrored videos upside down
        return capture
