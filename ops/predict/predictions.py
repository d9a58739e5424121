"""Predictions for videos, as text for a terminal and as files for programs."""

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ops.common.console import has_colours
from ops.common.csv_tables import TableWriter
from ops.common.storage import atomic_file
from ops.common.text import one_line
from ops.predict.predictor import Prediction
from ops.predict.windows import Timeline

BAR = 20
"""Length of a full bar, in characters."""

RUNS = 12
"""How many periods with the same best class are printed."""

TOP = 5
"""How many of the best classes are printed and written by default."""


LIKELY = 0.5
"""If a video may have several classes, those with at least this probability are printed by default."""


@dataclass(frozen=True)
class Outcome:
    """The result for the video at `path`: a prediction, or the `reason` why there is none.

    `timeline` is set if windows were requested; `files` were written for it.
    """

    path: str
    prediction: Prediction | None
    reason: str = ""
    timeline: Timeline | None = None
    files: Sequence[str] = ()


class Terminal:
    """Formats text, bars and colours as standard output supports them.

    Shows the best `topk` classes of each video with at least the probability `threshold`; for a model for several
    labels per video, by default all classes with at least `LIKELY`.
    """

    def __init__(self, topk: int | None = None, threshold: float | None = None) -> None:
        self._topk, self._threshold = topk, threshold
        self._coloured = has_colours()
        try:
            "█▏–".encode(sys.stdout.encoding or "utf-8")
            self._plain = False
        except UnicodeEncodeError:
            self._plain = True

    def lines(self, outcome: Outcome, by_time: bool) -> Iterator[str]:
        """Path and the best classes; with `by_time` also the best class over time."""
        assert outcome.prediction
        top = self._best(outcome.prediction)
        yield self._paint("1", one_line(outcome.path))
        for number, (name, share) in enumerate(top):
            row = f"{100 * share:6.1f} %  {self._bar(share)}  {one_line(name)}"
            yield self._paint("32", row) if number == 0 else row
        if not top:
            yield f"        no class with a probability of at least {self._least(outcome.prediction):g}"
        if by_time and outcome.timeline:
            yield from self._runs(outcome.timeline)
        for file in outcome.files:
            yield f"  written: {one_line(file)}"

    def _least(self, prediction: Prediction) -> float:
        """The smallest probability that is shown."""
        by_default = LIKELY if prediction.shares is not None and self._topk is None else 0.0
        return by_default if self._threshold is None else self._threshold

    def _best(self, prediction: Prediction) -> list[tuple[str, float]]:
        """The classes to show, best first, with their probabilities."""
        most = self._topk or (len(prediction.logits) if prediction.shares is not None else TOP)
        least = self._least(prediction)
        return [(name, share) for name, share in prediction.top(most) if not share < least]

    def _runs(self, timeline: Timeline) -> Iterator[str]:
        runs = list(timeline.runs())
        dash = "-" if self._plain else "–"
        for first, last in runs[:RUNS]:
            shares = timeline.probabilities[first : last + 1].mean(axis=0)
            best = int(timeline.probabilities[first].argmax())
            time = f"{timeline.edges[first]:8.1f} {dash} {timeline.edges[last + 1]:.1f} s"
            yield f"{100 * shares[best]:6.1f} %  {time:<{BAR}}  {one_line(timeline.name(best))}"
        if len(runs) > RUNS:
            yield f"  … and {len(runs) - RUNS} more changes" if not self._plain else f"  and {len(runs) - RUNS} more"

    def _bar(self, share: float) -> str:
        if self._plain:
            return ("#" * round(BAR * share)).ljust(BAR)
        eighths = round(8 * BAR * share) if share == share else 0
        return ("█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8]).ljust(BAR)[:BAR]

    def _paint(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._coloured else text


def write_json(
    path: str | os.PathLike[str], outcomes: Sequence[Outcome], facts: Mapping[str, Any], topk: int = TOP
) -> None:
    """`facts`, and under `videos` an object for each: path, ok, reason, cut_short, top, logits, windows, files.

    `top` has the best `topk` classes. Models for several labels per video have "probabilities" instead of "logits".

    Logits are exact: read as float32, they are bit-identical. Values that are not finite are null.
    """
    content = {**facts, "videos": [_as_json(outcome, topk) for outcome in outcomes]}
    with atomic_file(path, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=1, allow_nan=False)
        file.write("\n")


def write_csv(path: str | os.PathLike[str], outcomes: Sequence[Outcome], topk: int = TOP) -> None:
    """A row per video: path, ok, the best `topk` classes, each followed by its probability, and the reason."""
    known = [len(outcome.prediction.logits) for outcome in outcomes if outcome.prediction]
    count = min(topk, *known) if known else topk
    heads = [head for number in range(1, count + 1) for head in (f"class_{number}", f"probability_{number}")]
    with atomic_file(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = TableWriter(file)
        writer.writerow(("path", "ok", *heads, "reason"))
        for outcome in outcomes:
            if outcome.prediction:
                best = [field for name, share in outcome.prediction.top(count) for field in (name, f"{share:.6f}")]
                writer.writerow((outcome.path, True, *best, outcome.prediction.truncated))
            else:
                writer.writerow((outcome.path, False, *[""] * len(heads), outcome.reason))


def _as_json(outcome: Outcome, topk: int) -> dict[str, Any]:
    video: dict[str, Any] = {"path": outcome.path, "ok": outcome.prediction is not None, "reason": outcome.reason}
    if outcome.prediction:
        video["cut_short"] = outcome.prediction.truncated
        video["top"] = _top(outcome.prediction, topk)
        values = "logits" if outcome.prediction.shares is None else "probabilities"
        video[values] = [_finite(float(value)) for value in outcome.prediction.logits]
    if outcome.timeline:
        video["windows"] = [
            {
                "start_frame": window.start,
                "end_frame": window.stop,
                "start_s": round(window.start_s, 6),
                "end_s": round(window.stop_s, 6),
                "top": _top(outcome.timeline.prediction(window), topk),
            }
            for window in outcome.timeline.windows
        ]
    if outcome.files:
        video["files"] = list(outcome.files)
    return video


def _top(prediction: Prediction, topk: int) -> list[dict[str, Any]]:
    return [{"class": name, "probability": _finite(share)} for name, share in prediction.top(topk)]


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
