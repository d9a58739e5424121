"""A camera of this machine, read by OpenCV."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import cv2
import numpy as np

from ops.common.errors import InputError, RunStoppedError
from ops.live.camera import Camera, CapturedFrame, believed_rate


class DeviceCamera(Camera):
    """A camera of this machine, given by its number or device file, such as /dev/video0, and read by OpenCV."""

    def __init__(self, source: str) -> None:
        self.name = f"camera {source}" if source.isdecimal() else source
        device = Path(f"/dev/video{int(source)}" if source.isdecimal() else source)
        if sys.platform == "linux" and not device.exists():
            there = ", ".join(sorted(path.name.removeprefix("video") for path in Path("/dev").glob("video*")))
            raise InputError(f"{self.name}: no such camera: this machine has {there or 'none'}")
        with _quiet_opencv():
            self._capture = cv2.VideoCapture(int(source) if source.isdecimal() else source)
        if not self._capture.isOpened():
            raise InputError(f"{self.name}: cannot be opened: it may be in use, or you may not have access to it")
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # no queue of old frames
        self.rate = believed_rate(self._capture.get(cv2.CAP_PROP_FPS))

    def frames(self, stop: Event) -> Iterator[CapturedFrame]:
        """See `Camera.frames`."""
        start: float | None = None
        while not stop.is_set():
            ok, image = self._capture.read()
            now = time.monotonic()
            if not ok or image is None:
                raise RunStoppedError(f"{self.name}: the camera gives no more frames: is it still connected?")
            start = now if start is None else start
            yield CapturedFrame(now - start, now, partial(np.asarray, image, np.uint8))

    def close(self) -> None:
        """See `Camera.close`."""
        self._capture.release()


@contextmanager
def _quiet_opencv() -> Iterator[None]:
    """Within the context OpenCV prints no warnings of its own."""
    logging_of_opencv: Any = cv2.utils.logging
    before = logging_of_opencv.setLogLevel(logging_of_opencv.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        logging_of_opencv.setLogLevel(before)
