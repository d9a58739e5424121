"""What the page shows of an analysis, as HTML: `templates/app_result.html` and `templates/app_error.html`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ops.app.analysis import Analysis
from ops.common.html import data_uri, fill_template, image_uri
from ops.explain.explainer import Explanation, class_name
from ops.predict.timeline import COLOURS, OTHER, top_classes
from ops.predict.windows import Timeline

TOP = 5
CURVES = len(COLOURS)
NAMED_FROM = 0.12
"""A period of the timeline has its class written on it if it is at least this part of the whole."""


@dataclass(frozen=True)
class Period:
    """A period of the timeline with the same best class: its place in percent of the whole, and its name."""

    left: float
    width: float
    colour: str
    name: str
    times: str
    is_named: bool


@dataclass(frozen=True)
class Curve:
    """The probability of one class over time: the `points` of an SVG line, in a box of 1000 × 100."""

    name: str
    colour: str
    points: str


@dataclass(frozen=True)
class Frame:
    """One of the explained frames: pictures as data URLs, and numbers as they are shown."""

    number: int
    seconds: float
    picture: str
    evidence: str
    total: str
    importance: float | None


def result_html(analysis: Analysis) -> str:
    """The analysis as a part of a page; nothing in it is loaded from elsewhere."""
    timeline, preview = analysis.timeline, analysis.preview
    explanation = analysis.explanation
    end = float(analysis.seconds[-1])
    shown = top_classes(timeline, CURVES)
    rows = list(importance_rows(explanation))
    return fill_template(
        "app_result.html",
        name=analysis.name,
        truncated=analysis.prediction.truncated,
        top=analysis.prediction.top(TOP),
        several=analysis.prediction.shares is not None,
        video=data_uri(preview.content, "video/mp4"),
        preview=preview,
        end=end,
        frames_count=len(analysis.seconds) - 1,
        periods=list(periods(timeline, end)),
        curves=list(curves(timeline, shown, end)),
        readings=readings(timeline, shown),
        windows=len(timeline.windows),
        window_length=timeline.windows[0].stop - timeline.windows[0].start,
        target=class_name(explanation.target, explanation.prediction.class_names),
        frames=list(explained_frames(analysis)),
        rows=rows,
        some_evidence=bool((explanation.cam > 0).any()),
    )


def error_html(message: str) -> str:
    """One message that says why a video could not be used."""
    return fill_template("app_error.html", message=message)


def welcome_html() -> str:
    """What is shown before the first video."""
    return fill_template("app_welcome.html")


def periods(timeline: Timeline, end: float) -> Iterator[Period]:
    """The periods of the timeline of a video that ends at `end` seconds."""
    colours = _colours(timeline)
    best, edges = timeline.probabilities.argmax(axis=1), timeline.edges
    for first, last in timeline.runs():
        k = int(best[first])
        left, width = _percent(edges[first], end), _percent(edges[last + 1] - edges[first], end)
        times = f"{edges[first]:.1f} – {edges[last + 1]:.1f} s"
        yield Period(left, width, colours.get(k, OTHER), timeline.name(k), times, width >= 100 * NAMED_FROM)


def curves(timeline: Timeline, shown: list[int], end: float) -> Iterator[Curve]:
    """The probabilities of the classes `shown`; a curve is level before the first and after the last middle."""
    edges = timeline.edges
    middles = [(window.start_s + window.stop_s) / 2 for window in timeline.windows]
    places = [10 * _percent(time, end) for time in (edges[0], *middles, edges[-1])]
    rows = [0, *range(len(middles)), len(middles) - 1]
    colours = _colours(timeline)
    for k in shown:
        heights = 100 * (1 - timeline.probabilities[rows, k])
        points = " ".join(f"{x:.1f},{y:.2f}" for x, y in zip(places, heights, strict=True))
        yield Curve(timeline.name(k), colours[k], points)


def readings(timeline: Timeline, shown: list[int]) -> dict[str, Any]:
    """What the page reads out at the cursor: per window its end (`edges`), and its best classes in percent."""
    best: list[list[Any]] = []
    for window in timeline.windows:
        (name, share), *_ = timeline.prediction(window).top(1)
        best.append([name, round(100 * share, 1)])
    return {"edges": [round(edge, 4) for edge in timeline.edges[1:]], "best": best}


def explained_frames(analysis: Analysis) -> Iterator[Frame]:
    """The frames of the explained clip, with the evidence in each, and its importance to all blocks together."""
    from ops.explain.figures import cam_images  # Matplotlib and SciPy are slow to import

    explanation = analysis.explanation
    pixels: NDArray[np.uint8] = explanation.clip.pixels.permute(0, 2, 3, 1).numpy()
    coloured = (255 * cam_images(pixels, explanation.cam)).round().astype(np.uint8)
    importance = _mean_importance(explanation)
    for t, index in enumerate(explanation.clip.frames.tolist()):
        yield Frame(
            index,
            float(analysis.seconds[min(index, len(analysis.seconds) - 2)]),
            _jpeg(pixels[t]),
            _jpeg(coloured[t]),
            f"{explanation.cam[t].sum():+.2f}",
            None if importance is None else float(importance[t]),
        )


def importance_rows(explanation: Explanation) -> Iterator[tuple[str, list[tuple[float, float]]]]:
    """Per block its name, and of each frame the mean importance over channels, and its place in the range of all."""
    means = _block_means(explanation)
    if not means:
        return
    everything = np.concatenate(list(means.values()))
    low, span = float(everything.min()), max(float(np.ptp(everything)), 1e-9)
    for block, values in means.items():
        yield block, [(float(value), (float(value) - low) / span) for value in values]


def _mean_importance(explanation: Explanation) -> NDArray[np.float64] | None:
    """The mean of the blocks' means over channels, `[T]`; None for networks without TAM's local branch."""
    means = list(_block_means(explanation).values())
    return np.mean(means, axis=0, dtype=np.float64) if means else None


def _block_means(explanation: Explanation) -> dict[str, NDArray[Any]]:
    """The importance of each frame in each block, the mean over channels: `[T]`."""
    return {block: values.mean(axis=0) for block, values in explanation.watch.importance.items()}


def _colours(timeline: Timeline) -> dict[int, str]:
    return dict(zip(top_classes(timeline), COLOURS, strict=False))


def _percent(seconds: float, end: float) -> float:
    return round(100 * min(seconds / end, 1.0), 3) if end else 0.0


def _jpeg(image: NDArray[np.uint8]) -> str:
    """An RGB image as a data URL."""
    done, content = cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 85])
    if not done:
        raise ValueError("OpenCV could not encode an image")
    return image_uri(content.tobytes(), "jpeg")
