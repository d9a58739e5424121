"""Live predictions from camera to display: the main thread shows the results of the two others."""

import argparse
import logging
import math
import queue
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ops.common.device import compute_of, pick_device
from ops.common.errors import EXIT_DONE, InputError, MediaError
from ops.common.text import counted, one_line
from ops.data.dataset_configs import dataset_config
from ops.live.camera import Camera
from ops.live.cameras import open_camera
from ops.live.capture import Capture
from ops.live.display import TOP, Display, JsonLines, Shown, TerminalLine, Window, has_desktop
from ops.live.inference import Inference, LivePrediction
from ops.live.sliding_windows import USUAL_RATE, SlidingWindows, sliding_windows
from ops.live.smoothing import Smoothing
from ops.predict.predictions import LIKELY
from ops.predict.predictor import Predictor, best_classes, guess_dataset, open_predictor

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LiveOptions:
    """What to predict and show; times in seconds, None for what fits the network. See `options`."""

    camera: str = "0"
    window: float | None = None
    stride: float | None = None
    smoothing: float = 0.0
    threshold: float | None = None
    speed: float = 1.0
    display: str = "auto"
    json: bool = False


def live_predictor(args: argparse.Namespace) -> Predictor:
    """The predictor that the arguments ask for, with one clip per window unless --sample gives another number."""
    compute = compute_of(args, pick_device(None, args.device))
    predictor = open_predictor(
        args.weights, args.dataset, args.class_names, args.sample, args.test_crops, args.full_res, args.input_size,
        args.test_segments, compute=compute, runtime=args.runtime,
    ).in_runtime(args.runtime, math.inf)  # fmt: skip
    return predictor if args.sample else replace(predictor, sample=predictor.sample.one_clip)


def live_options(args: argparse.Namespace) -> LiveOptions:
    """The options that the flags of `add_live_options` ask for."""
    return LiveOptions(**{name: getattr(args, name) for name in LiveOptions.__dataclass_fields__})


def predict_live(predictor: Predictor, options: LiveOptions, dataset: str | None = None) -> int:
    """Predict and show until the file ends or the user stops; returns the exit status.

    `dataset` says how long the videos of training were (default: that of the checkpoint). InputError or MediaError for
    a camera or a file that cannot be read, RunStoppedError for a camera that vanishes.
    """
    camera = open_camera(options.camera, options.speed)
    try:
        windows = windows_for(predictor, camera.rate, options, dataset)
        display = make_display(options, f"{camera.name} – {predictor.model.arch}", predictor.class_names)
        capture = Capture(camera, windows, predictor.plan(), display.shows_images)
        inference = Inference(predictor, windows, capture, camera.name)
        log.info("%s", describe(camera, windows, inference.protocol))
    except BaseException:
        camera.close()
        raise
    summary = Summary()
    try:
        capture.start()
        inference.start()
        show_all(capture, inference, display, shown_by(options, predictor), summary)
    finally:
        capture.stop()
        inference.stop()
        display.close()
    for error in (inference.error, capture.error):
        if error:
            raise error
    if not summary.latencies and summary.is_complete:
        raise MediaError(camera.name, f"it ends before the first window of {windows.length / windows.rate:.2f} s is "
                                      "full: use a shorter --window")  # fmt: skip
    log.info("%s", summary.text(capture, inference))
    return EXIT_DONE


def windows_for(predictor: Predictor, rate: float, options: LiveOptions, dataset: str | None) -> SlidingWindows:
    """The windows in a stream of `rate` frames per second (0: unknown)."""
    config = dataset_config(dataset) if dataset else guess_dataset(predictor.checkpoint)
    sample = predictor.sample
    return sliding_windows(
        lambda num_frames: predictor.choose(num_frames)[0],
        sample,
        rate or USUAL_RATE,
        predictor.model.num_segments,
        options.window,
        options.stride,
        config.seconds,
    )


def describe(camera: Camera, windows: SlidingWindows, protocol: str) -> str:
    """The camera, the windows and the network in one line."""
    rate = f"{camera.rate:.3g} frames per second" if camera.rate else "unknown frame rate"
    length, stride = windows.length / windows.rate, windows.stride / windows.rate
    return f"{one_line(camera.name)}: {rate}; windows of {length:.2f} s every {stride:.2f} s; {protocol}"


def make_display(options: LiveOptions, title: str, names: list[str] | None) -> Display:
    """The display that was asked for; InputError if there is no desktop for a window."""
    if options.json:
        return JsonLines()
    if options.display == "terminal" or not has_desktop():
        if options.display == "window":
            raise InputError("--display window: no window can be opened here: use --display terminal")
        return TerminalLine()
    return Window(title, names or ())


def shown_by(options: LiveOptions, predictor: Predictor) -> Callable[[LivePrediction], Shown]:
    """The function that smooths predictions and applies the threshold."""
    smoothing, several = Smoothing(options.smoothing), predictor.multi_label
    least = options.threshold if options.threshold is not None else LIKELY if several else 0.0

    def shown(live: LivePrediction) -> Shown:
        shares = smoothing(live.prediction.probabilities, live.stop_s)
        ranked = best_classes(shares, predictor.class_names, len(shares))
        labels = [name for name, share in (ranked if several else ranked[:1]) if share >= least]
        return Shown(live, ranked[:TOP], labels)

    return shown


class Summary:
    """The figures of a whole run; `is_complete` if it was not ended by the user."""

    def __init__(self) -> None:
        self.latencies: list[float] = []
        self.is_complete = False

    def text(self, capture: Capture, inference: Inference) -> str:
        """The figures in one line."""
        seconds = capture.seconds
        rate = (capture.count - 1) / seconds if seconds else 0.0
        middle, high = np.percentile(self.latencies, [50, 95]) if self.latencies else (0.0, 0.0)
        return (
            f"{counted(capture.count, 'frame')} in {seconds:.1f} s ({rate:.1f} per second), "
            f"{counted(len(self.latencies), 'prediction')}; "
            f"latency {middle:.3f} s (median), {high:.3f} s (95 %); "
            f"dropped {counted(capture.lost, 'frame')} and {counted(inference.skipped, 'window')}"
        )


def show_all(
    capture: Capture, inference: Inference, display: Display, shown: Callable[[LivePrediction], Shown], summary: Summary
) -> None:
    """Show predictions until there are no more, or the display is closed."""
    while True:
        ended = inference.ended  # read before the queue, so that no result is missed
        try:
            live = inference.results.get(timeout=0 if ended else display.interval)
        except queue.Empty:
            if ended:
                summary.is_complete = True
                return
        else:
            summary.latencies.append(live.latency_s)
            display.show(shown(live))
        if not display.refresh(capture.image):
            return
