"""The thread that takes frames from a camera, and keeps those that windows will need."""

import threading
import time
from collections import deque
from dataclasses import dataclass

import cv2
import torch
from torch import Tensor

from ops.data.transforms import FramePlan
from ops.data.views import MakePlan, plan_for
from ops.live.camera import Camera, CapturedFrame, Image
from ops.live.sliding_windows import SlidingWindows

RATE_OVER = 60
"""The number of frames over which the frame rate is measured."""


@dataclass(frozen=True)
class KeptFrame:
    """The views of a frame, uint8 `[V, 3, H, W]`, as a test crops and resizes them, and when it was captured."""

    views: Tensor
    captured: float


class Capture(threading.Thread):
    """Takes every frame of `camera`, transforms those that windows sample, and drops those no longer needed.

    `changed` guards the attributes that other threads read; it is notified after every frame and at the end.

    Attributes:
        kept: slot → frame, for slots that nobody has taken yet.
        newest: the last slot whose frame has arrived, -1 before the first one.
        dropped: frames that windows sample, but that were given up for newer ones.
        image: the newest frame, for display, if `keeps_images`.
        error: what ended the thread early.
        ended: whether it has ended.
    """

    def __init__(self, camera: Camera, windows: SlidingWindows, make_plan: MakePlan, keeps_images: bool) -> None:
        super().__init__(name="capture", daemon=True)
        self._camera, self._windows, self._make_plan, self._keeps_images = camera, windows, make_plan, keeps_images
        self.changed, self._stop_asked = threading.Condition(), threading.Event()
        self.kept: dict[int, KeptFrame] = {}
        self.newest, self.dropped, self.count = -1, 0, 0
        self.image: Image | None = None
        self.error: BaseException | None = None
        self.ended = False
        self._plan: FramePlan | None = None
        self._previous: CapturedFrame | None = None
        self._times: deque[float] = deque(maxlen=RATE_OVER)
        self._first = 0.0

    def run(self) -> None:
        """Capture frames until the camera ends or `stop` is called."""
        try:
            for frame in self._camera.frames(self._stop_asked):
                self._take(frame)
        except BaseException as error:  # the main thread raises it
            self.error = error
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def stop(self) -> None:
        """End the thread and release the camera."""
        self._stop_asked.set()
        if self.ident is not None:  # it may have been interrupted before it started
            self.join(timeout=15)
        if not self.is_alive():
            self._camera.close()

    @property
    def fps(self) -> float:
        """How many frames per second are currently taken from the camera."""
        times = list(self._times)
        return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 and times[-1] > times[0] else 0.0

    @property
    def seconds(self) -> float:
        """The seconds from the first frame to the newest."""
        return self._times[-1] - self._first if self._times else 0.0

    @property
    def lost(self) -> int:
        """Frames that were dropped, here or before they were decoded."""
        return self.dropped + self._camera.lost

    def forget(self, before: int) -> None:
        """Drop kept frames of slots below `before`."""
        with self.changed:
            old = [slot for slot in self.kept if slot < before]
            self.dropped += len(old)
            for slot in old:
                del self.kept[slot]

    def _take(self, frame: CapturedFrame) -> None:
        slot = round(frame.seconds * self._windows.rate)
        windows, found = self._windows, {}
        if slot > self.newest:
            if self._previous is not None:  # a frame is shown until the next one, however long that takes
                first = max(self.newest + 1, slot - windows.length - windows.stride)
                missing = [place for place in range(first, slot) if windows.is_wanted(place)]
                if missing:
                    found = dict.fromkeys(missing, self._keep(self._previous))
            if windows.is_wanted(slot):
                found[slot] = self._keep(frame)
        image = frame.image() if self._keeps_images else None
        self._previous = frame
        with self.changed:
            self._times.append(time.monotonic())
            self._first = self._first or self._times[-1]
            self.count += 1
            self.newest, self.image = max(self.newest, slot), image
            self.kept |= found
            self.changed.notify_all()
        oldest = windows.first_slot(windows.last_complete(self.newest)) if self.newest >= windows.last_offset else 0
        self.forget(oldest)

    def _keep(self, frame: CapturedFrame) -> KeptFrame:
        pixels = torch.from_numpy(cv2.cvtColor(frame.image(), cv2.COLOR_BGR2RGB)).permute(2, 0, 1)
        if self._plan is None:
            self._plan = plan_for(pixels, self._make_plan, self._camera.name)
        region = self._plan(pixels)
        views = [self._plan.mirror(view, self._plan.cut(view, region)) for view in range(len(self._plan.views))]
        return KeptFrame(torch.stack(views), frame.captured)
