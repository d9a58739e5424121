"""The thread that predicts: it always scores the newest window, and skips older ones if it is late."""

import queue
import threading
import time
from dataclasses import dataclass

from ops.live.capture import Capture, KeptFrame
from ops.live.sliding_predictor import SlidingPredictor
from ops.live.sliding_windows import SlidingWindows
from ops.predict.predictor import Prediction, Predictor


@dataclass(frozen=True)
class LivePrediction:
    """The prediction for one window.

    Attributes:
        start_s, stop_s: the window in seconds from the first frame.
        latency_s: from the capture of the last frame that the window samples to this prediction.
        fps: frames per second that are taken from the camera.
        dropped_frames, skipped_windows: how many have been left out so far, to keep up with the camera.
    """

    prediction: Prediction
    start_s: float
    stop_s: float
    latency_s: float
    fps: float
    dropped_frames: int
    skipped_windows: int


class Inference(threading.Thread):
    """Computes features of frames as they arrive, and scores the newest window whenever a new one is complete.

    `results` are the predictions; after the last one, `ended` is set, and `error` is what ended the thread early.
    `skipped` counts the complete windows that were left out for newer ones.
    """

    def __init__(self, predictor: Predictor, windows: SlidingWindows, capture: Capture, name: str) -> None:
        super().__init__(name="inference", daemon=True)
        self._windows, self._capture, self._name = windows, capture, name
        self._network = SlidingPredictor(predictor, windows)
        self._done, self.skipped = -1, 0
        self._captured: dict[int, float] = {}  # slot → when its frame was captured
        self._stop_asked = threading.Event()
        self.results: queue.SimpleQueue[LivePrediction] = queue.SimpleQueue()
        self.error: BaseException | None = None
        self.ended = False

    @property
    def protocol(self) -> str:
        """The network, its views and the runtime that computes it, in words."""
        return self._network.predictor.protocol

    def run(self) -> None:
        """Predict until the capture ends or `stop` is called."""
        try:
            while not self._stop_asked.is_set() and self._step():
                pass
        except BaseException as error:  # the main thread raises it
            self.error = error
        self.ended = True

    def stop(self) -> None:
        """End the thread after its current computation."""
        self._stop_asked.set()
        with self._capture.changed:
            self._capture.changed.notify_all()
        if self.ident is not None:  # it may have been interrupted before it started
            self.join()

    def _step(self) -> bool:
        """Score a window or compute the features of a frame; False if neither will ever be needed again."""
        with self._capture.changed:
            self._capture.changed.wait_for(self._has_work, timeout=1)
            newest, ended = self._windows.last_complete(self._capture.newest), self._capture.ended
            found = self._frames(newest)
        for slot, frame in found.items():
            self._network.add(slot, frame.views)
            self._captured[slot] = frame.captured
        if newest > self._done:
            self._predict(newest)
            return True
        return bool(found) or not ended

    def _has_work(self) -> bool:
        capture = self._capture
        is_new = self._windows.last_complete(capture.newest) > self._done
        return is_new or bool(capture.kept) or capture.ended or self._stop_asked.is_set()

    def _frames(self, newest: int) -> dict[int, KeptFrame]:
        """Take the frames of window `newest` that are missing, or, if it is done, the first frame of later ones."""
        kept = self._capture.kept
        if newest > self._done:
            wanted = sorted({int(slot) for slot in self._windows.slots(newest).flat} & set(kept))
        else:
            wanted = sorted(kept)[:1]
        return {slot: kept.pop(slot) for slot in wanted}

    def _predict(self, number: int) -> None:
        windows = self._windows
        logits = self._network.logits(number)
        last = self._captured[number * windows.stride + windows.last_offset]
        self.skipped += number - self._done - 1
        self._done = number
        start, stop = windows.span(number)
        self.results.put(
            LivePrediction(
                self._network.predictor.prediction(self._name, logits), start, stop, time.monotonic() - last,
                self._capture.fps, self._capture.lost, self.skipped,
            )
        )  # fmt: skip
        oldest = windows.first_slot(number + 1)
        self._network.forget(oldest)
        self._captured = {slot: when for slot, when in self._captured.items() if slot >= oldest}
