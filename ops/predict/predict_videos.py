"""Processing all videos of a command line: predictions, timelines, and videos with predictions drawn on them."""

import logging
import math
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from ops.common.console import progress
from ops.common.errors import EXIT_DONE, EXIT_WITH_FAILURES, InputError, MediaError, RunStoppedError
from ops.common.storage import check_writable, make_folder
from ops.common.text import one_line
from ops.data.file_search import VIDEO_EXTENSIONS
from ops.data.video_writer import FORMATS
from ops.data.videos import estimated_count
from ops.data.views import Views
from ops.predict.inputs import Video, check_apart, check_distinct, output_names
from ops.predict.predictions import TOP, Outcome, Terminal, write_csv, write_json
from ops.predict.predictor import Predictor
from ops.predict.windows import Timeline, Windows, predict_windows
from ops.testing.evaluation_protocol import SIGMOID

log = logging.getLogger(__name__)

SOME = 50
"""From at most so many videos' headers, the number of windows is estimated."""


@dataclass(frozen=True)
class PredictOptions:
    """The results to produce.

    Attributes:
        windows: how videos are divided into windows, for timelines and drawings.
        by_windows: whether predictions are means over windows (else those of the predictor's own protocol).
        tables: path of a video → path of its timeline, without extension.
        drawings: path of a video → path of the video with predictions on it.
        json, csv: paths of the predictions of all videos.
        workers: how many videos are read ahead.
        topk: how many of the best classes are printed and written (None: five, and see `Terminal`).
        threshold: the smallest probability of classes that are printed (None: see `Terminal`).
    """

    windows: Windows
    by_windows: bool = False
    tables: Mapping[str, str] = field(default_factory=dict)
    drawings: Mapping[str, str] = field(default_factory=dict)
    json: str | None = None
    csv: str | None = None
    workers: int = 1
    topk: int | None = None
    threshold: float | None = None

    @property
    def wants_windows(self) -> bool:
        """Whether predictions of windows are needed."""
        return bool(self.by_windows or self.tables or self.drawings)


def is_file_name(target: str) -> bool:
    """Whether `--save TARGET` is a video file, not a folder; InputError for a container that cannot be written."""
    ending = os.path.splitext(target)[1].lower()
    if os.path.isdir(target) or ending not in (*FORMATS, *VIDEO_EXTENSIONS):
        return False
    if ending not in FORMATS:
        raise InputError(f"--save {target}: must end in {', '.join(FORMATS)} or be a folder")
    return True


def place_drawings(videos: Sequence[Video], target: str | None) -> dict[str, str]:
    """The path of the video written for each, by `--save TARGET`."""
    if not target:
        return {}
    if not is_file_name(target):
        return {path: os.path.join(target, name) for path, name in output_names(videos, ".mp4").items()}
    if len(videos) > 1:
        raise InputError(f"--save {target}: {len(videos)} videos need a folder")
    return {videos[0].path: target}


def place_tables(videos: Sequence[Video], folder: str | None) -> dict[str, str]:
    """The path of each timeline, by `--timeline FOLDER`, without extension."""
    return {path: os.path.join(folder, name) for path, name in output_names(videos, "").items()} if folder else {}


def check_places(videos: Sequence[Video], options: PredictOptions) -> None:
    """InputError now, not after the first video, if a result could not be written or would replace a video."""
    tables = [prefix + ending for prefix in options.tables.values() for ending in (".csv", ".png")]
    files = [*tables, *options.drawings.values(), *filter(None, (options.json, options.csv))]
    check_apart(videos, files)
    check_distinct(files)
    for file in filter(None, (options.json, options.csv)):
        check_writable(file)
    for folder in sorted({str(Path(file).parent) for file in (*tables, *options.drawings.values())}):
        make_folder(folder)


def expected_clips(predictor: Predictor, videos: Sequence[Video], options: PredictOptions) -> float:
    """About how many clips will be scored, for the choice of a runtime.

    The numbers of frames, which windows depend on, are those in the headers of some of the videos.
    """
    clips = 0 if options.by_windows else predictor.sample.clips
    if not options.wants_windows:
        return clips * len(videos)
    some = videos[:: math.ceil(len(videos) / SOME)]
    windows = sum(options.windows.count(_estimated_frames(video.path)) for video in some) / len(some)
    return (clips + windows * options.windows.sample.clips) * len(videos)


def _estimated_frames(path: str) -> int:
    try:
        return len(os.listdir(path)) if os.path.isdir(path) else estimated_count(path)
    except (MediaError, OSError):  # reported when it is read
        return 0


def predict_all(predictor: Predictor, videos: Sequence[Video], options: PredictOptions) -> int:
    """Predict, print and write everything; returns the exit status, 1 if a video could not be read.

    InputError if none could be read: then neither `json` nor `csv` is written.
    """
    terminal, outcomes = Terminal(options.topk, options.threshold), []
    with progress(None, len(videos), "predicting", "video", len(videos) > 1) as bar:
        for outcome in _outcomes(predictor, videos, options):
            outcomes.append(outcome)
            if outcome.prediction:
                log.info("%s", "\n".join(terminal.lines(outcome, options.by_windows)), extra={"lines": True})
                if outcome.prediction.truncated:
                    log.warning("cut short, but scored: %s: %s", one_line(outcome.path), outcome.prediction.truncated)
                if outcome.reason:
                    log.warning("%s: %s", one_line(outcome.path), one_line(outcome.reason))
            elif len(videos) > 1:
                log.warning("not scored: %s: %s", one_line(outcome.path), one_line(outcome.reason))
            bar.update()
    failed = [outcome for outcome in outcomes if not outcome.prediction]
    if len(failed) == len(videos):
        first = f"{one_line(failed[0].path)}: {one_line(failed[0].reason)}"
        raise InputError(first if len(videos) == 1 else f"none of the {len(videos)} videos could be read")
    _write(outcomes, predictor, options)
    if len(videos) > 1:
        log.info("videos: %d expected, %d scored, %d failed", len(videos), len(videos) - len(failed), len(failed))
    return EXIT_WITH_FAILURES if any(outcome.reason for outcome in outcomes) else EXIT_DONE


def _write(outcomes: Sequence[Outcome], predictor: Predictor, options: PredictOptions) -> None:
    """Write `json` and `csv`; RunStoppedError if one of them can no longer be written."""
    windows = {
        "length": options.windows.length,
        "stride": options.windows.stride,
        "sample": str(options.windows.sample),
    }
    scores = SIGMOID if predictor.multi_label else "logits"
    facts = {
        "weights": predictor.checkpoint.path,
        "protocol": f"mean of the {scores} of the windows" if options.by_windows else predictor.protocol,
        "windows": windows if options.wants_windows else None,
        "decoder": predictor.reader.decoder,
        "runtime": predictor.runtime,
        "class_names": predictor.class_names,
    }
    errors = []
    try:
        if options.json:
            write_json(options.json, outcomes, facts, options.topk or TOP)
    except InputError as error:  # the other file may be on another disk
        errors.append(str(error))
    try:
        if options.csv:
            write_csv(options.csv, outcomes, options.topk or TOP)
    except InputError as error:
        errors.append(str(error))
    if errors:
        raise RunStoppedError("; ".join(errors))


def _outcomes(predictor: Predictor, videos: Sequence[Video], options: PredictOptions) -> Iterator[Outcome]:
    readable = [video.path for video in videos if not video.reason]
    ahead = iter(()) if options.by_windows else _views_ahead(predictor, readable, options.workers)
    for video in videos:
        try:
            if video.reason:
                raise MediaError(video.path, video.reason)
            timeline: Timeline | None = None
            if not options.by_windows:
                views = next(ahead).result()
                prediction = predictor.prediction(video.path, predictor.logits(views).numpy(), views.truncated)
            if options.wants_windows:
                timeline = predict_windows(predictor, video.path, options.windows, shown=True)
            if options.by_windows and timeline:
                prediction = timeline.prediction()
            reason, files = "", []
            try:
                files = _files(timeline, options) if timeline else []
            except MediaError:
                raise
            except InputError as error:  # for example, a name that is too long with its extension, or a full disk
                reason = f"predicted, but {error}"
            yield Outcome(video.path, prediction, reason, timeline, files)
        except MediaError as error:
            yield Outcome(video.path, None, error.reason)


def _views_ahead(predictor: Predictor, paths: Iterable[str], workers: int) -> Iterator["Future[Views]"]:
    """The views of each video in turn; `workers` threads read as many videos ahead."""
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[Views]] = deque()
        try:
            for path in paths:
                waiting.append(pool.submit(predictor.views, path))
                if len(waiting) > workers:
                    yield waiting.popleft()
            while waiting:
                yield waiting.popleft()
        finally:
            for future in waiting:
                future.cancel()


def _files(timeline: Timeline, options: PredictOptions) -> list[str]:
    """Write the requested results of one video's windows; returns the names of the files."""
    files = []
    if timeline.path in options.tables:
        from ops.predict.timeline import draw_timeline, write_timeline  # Matplotlib is slow to import

        prefix = options.tables[timeline.path]
        write_timeline(f"{prefix}.csv", timeline)
        draw_timeline(f"{prefix}.png", timeline)
        files += [f"{prefix}.csv", f"{prefix}.png"]
    if timeline.path in options.drawings:
        from ops.predict.overlay import save_overlay

        save_overlay(options.drawings[timeline.path], timeline, shown=True)
        files.append(options.drawings[timeline.path])
    return files
