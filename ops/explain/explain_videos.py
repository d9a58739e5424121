"""Writing explanations of videos to a folder: pictures, numbers and a page."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ops.common.errors import EXIT_DONE, EXIT_WITH_FAILURES, InputError
from ops.common.text import counted
from ops.data.datasets import Failure
from ops.explain.explainer import Video, explain_videos, score_videos
from ops.explain.kernel_spread import write_spreads
from ops.explain.numbers import FixedKernels, Numbers
from ops.explain.page import Album, write_explain_page
from ops.explain.tam_hooks import fixed_kernels
from ops.predict.predictor import Predictor

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExplainOptions:
    """What to explain and how.

    Attributes:
        target: the class to explain; None: the predicted one.
        drawn: how many videos, the first ones, get pictures; the numbers include all.
        workers: processes that read videos.
        fix_kernels: score a second time with the mean kernels of all videos.
    """

    target: int | None = None
    drawn: int = 8
    workers: int = 0
    fix_kernels: bool = False


def explain_into(folder: Path, predictor: Predictor, videos: Sequence[Video], options: ExplainOptions) -> int:
    """Explain `videos` and write to `folder`; returns the exit status: 0, or 1 if some could not be read.

    InputError if none could be read.
    """
    numbers, album, read = Numbers(predictor), Album(folder, options.drawn, predictor.model.temporal.needs_segments), []
    for index, found in enumerate(explain_videos(predictor, videos, options.target, options.workers)):
        if isinstance(found, Failure):
            numbers.failures.append(found)
            log.warning("%s: %s", found.path, found.reason)
        else:
            numbers.add(found)
            album.add(found)
            read.append(videos[index])
    if not numbers.rows:
        first = numbers.failures[0]
        others = f"; none of the {len(videos)} videos can be read" if len(videos) > 1 else ""
        raise InputError(f"{first.path}: {first.reason}{others}")
    fixed = _with_fixed_kernels(predictor, read, numbers, options.workers) if options.fix_kernels else None
    _write(folder, numbers, album, fixed)
    if len(numbers.rows) == 1:
        row = numbers.rows[0]
        log.info("%s: %s, %.1f %%", row["name"], row["prediction"], 100 * row["top5"][0]["probability"])
    log.info("%d of %s explained: %s", len(numbers.rows), counted(len(videos), "video"), folder / "explain.html")
    return EXIT_WITH_FAILURES if numbers.failures else EXIT_DONE


def _with_fixed_kernels(
    predictor: Predictor, videos: Sequence[Video], numbers: Numbers, workers: int
) -> FixedKernels | None:
    """Score the `videos` of `numbers` again with each block's mean kernels; None if nothing can be compared."""
    kernels = {block: weights.mean(axis=0) for block, weights in numbers.kernels().items()}
    if not kernels or len(videos) < 2:
        log.warning("--fix_kernels needs a network with TAM and at least two videos")
        return None
    with fixed_kernels(predictor.model, kernels):
        logits = score_videos(predictor, videos, workers)
    fixed = FixedKernels(numbers.logits(), logits, np.array([video.label for video in videos]))
    log.info("with each block's mean kernels %d of %d predictions stay the same", fixed.same, len(videos))
    return fixed


def _write(folder: Path, numbers: Numbers, album: Album, fixed: FixedKernels | None) -> None:
    spreads = numbers.spreads()
    numbers.write_arrays(folder / "explain.npz")
    numbers.write_summary(folder / "explain.json", fixed)
    if spreads:
        write_spreads(folder / "kernels.csv", spreads)
    write_explain_page(folder / "explain.html", numbers, album, spreads, fixed)
