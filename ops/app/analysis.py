"""Everything that the page shows of one video: its prediction, timeline and explanation, and a copy to play."""

import argparse
import logging
import math
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ops.app.preview import Preview, make_preview
from ops.common.errors import InputError, MediaError, memory_errors_as_media_errors
from ops.common.text import counted
from ops.data.videos import open_video
from ops.explain.explainer import ClipsDataset, Explanation, ShownClip, Video, explain_clip
from ops.predict.predictor import Prediction, Predictor, predictor_of
from ops.predict.windows import LENGTH, MIDDLES, STRIDE, Timeline, Windows, default_stride, predict_windows

MOST_WINDOWS = 240
"""A timeline has about as many windows at most: in longer videos, windows start less often."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Analysis:
    """What is known about the video `name`; `seconds [F + 1]` are the times of its frames, with the end of the last."""

    name: str
    prediction: Prediction
    timeline: Timeline
    explanation: Explanation
    seconds: NDArray[np.float64]
    preview: Preview


@dataclass(frozen=True)
class Analyst:
    """Analyses videos with `predictor`; `explainer` is the same model for a single clip and crop."""

    predictor: Predictor
    explainer: Predictor
    length: int = LENGTH
    stride: int = STRIDE

    def __call__(self, path: str | os.PathLike[str], name: str) -> Analysis:
        """The analysis of the video file at `path`; MediaError with the reason if it cannot be used."""
        path = os.fspath(path)
        if not Path(path).is_file():
            raise MediaError(name, "is not a regular file")
        with memory_errors_as_media_errors(path):
            with open_video(path) as source:
                count, seconds = len(source), source.seconds
            least = self.predictor.model.num_segments
            if count < least:
                frames = counted(count, "frame")
                raise MediaError(name, f"is too short: it has {frames}, and the network looks at {least}")
            prediction = self.predictor(path)
            timeline = predict_windows(self.predictor, path, self.windows(count))
            explanation = self._explain(path, int(prediction.probabilities.argmax()))
            return Analysis(name, prediction, timeline, explanation, seconds, make_preview(path))

    def windows(self, num_frames: int) -> Windows:
        """The windows of the timeline of a video of `num_frames`."""
        return Windows(self.length, max(self.stride, -(-num_frames // MOST_WINDOWS)), MIDDLES)

    def _explain(self, path: str, target: int) -> Explanation:
        video = Video(path, path)
        clip = ClipsDataset([video], self.explainer)[0]
        if not isinstance(clip, ShownClip):
            raise MediaError(path, clip.reason)
        return explain_clip(self.explainer, video, clip, target)


def open_analyst(args: argparse.Namespace) -> Analyst:
    """The analyst that the arguments ask for; InputError if its settings contradict each other."""
    predictor = predictor_of(args).in_runtime(args.runtime, math.inf)
    if predictor.model.modality != "RGB":
        raise InputError(
            f"{args.weights}: the page shows RGB videos, and this network needs {predictor.model.modality}"
        )
    length = args.window or LENGTH
    if length < predictor.model.num_segments:
        raise InputError(
            f"--window {length}: is shorter than the {predictor.model.num_segments} segments of the network"
        )
    explainer = replace(predictor, sample=predictor.sample.one_clip, crops=1, full_res=False)
    log.info("%s", predictor.protocol)
    return Analyst(predictor, explainer, length, args.stride or default_stride(length))
