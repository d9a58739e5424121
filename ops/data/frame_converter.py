"""Converting decoded frames to upright images, with the same pixels as OpenCV."""

import av
import cv2
import numpy as np
import torch
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray
from torch import Tensor

from ops.common.errors import MediaError
from ops.data.containers import reason_of
from ops.data.orientation import UPRIGHT, matrix_of, orient

_UNSPECIFIED = 2
"""FFmpeg's number for an unspecified colour matrix."""


class FrameConverter:
    """Converts the frames of the video at `path`, in one thread."""

    def __init__(self, path: str) -> None:
        self._path, self._reformatter, self._is_upright = path, VideoReformatter(), False

    def tensor(self, frame: VideoFrame) -> Tensor:
        """RGB uint8 `[3, h, w]`, upright; a view of `[h, w, 3]` memory (channels last)."""
        return torch.from_numpy(cv2.cvtColor(self._upright(frame), cv2.COLOR_BGR2RGB)).permute(2, 0, 1)

    def image(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """BGR uint8 `[h, w, 3]`, upright, contiguous; MediaError if the frame cannot be converted."""
        return np.ascontiguousarray(self._upright(frame))

    def _upright(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """The same, but rows may be padded in memory."""
        try:
            bgr = self._bgr(frame)
        except av.error.FFmpegError:
            try:  # a colour matrix that the conversion does not support is treated as unspecified
                frame.colorspace = _UNSPECIFIED
                bgr = self._bgr(frame)
            except av.error.FFmpegError as error:
                raise MediaError(self._path, reason_of(error)) from None
        if self._is_upright and not frame.rotation:  # read from the first frame only, because it takes time
            return bgr
        matrix = matrix_of(frame)
        self._is_upright = matrix == UPRIGHT
        return bgr if self._is_upright else orient(bgr, matrix)

    def _bgr(self, frame: VideoFrame) -> NDArray[np.uint8]:
        bgr = self._reformatter.reformat(frame, format="bgr24", interpolation=Interpolation.BICUBIC, threads=1)
        pixels: NDArray[np.uint8] = bgr.to_ndarray().astype(np.uint8, copy=False)
        return pixels
