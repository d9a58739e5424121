"""The confidence interval of the accuracy of a test, and whether it is better than chance."""

import json
import math
import os
from collections.abc import Collection
from pathlib import Path

import numpy as np

from ops.common.errors import InputError
from ops.common.text import counted

Z95 = 1.959964
"""The two-sided 95 % quantile of the normal distribution."""


def wilson_interval(right: int, videos: int, z: float = Z95) -> tuple[float, float]:
    """The interval, in [0, 1], that contains the true accuracy with 95 % confidence (Wilson's score interval).

    `right` of `videos` were right. (E. B. Wilson, Probable inference, the law of succession, and statistical inference,
    JASA 22, 1927.) Unlike the normal approximation it also holds for few videos, and if all or none are right.
    """
    share, spread = right / videos, z * z / videos
    centre = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / videos + spread / (4 * videos))
    return max(centre - half, 0.0), min(centre + half, 1.0)


def videos_needed(chance: float, z: float = Z95) -> int:
    """The smallest number of videos with which a test without mistakes is better than `chance`, which is below 1."""
    return math.floor(z * z * chance / (1 - chance)) + 1


NO_TEMPORAL_MODULE = "without TAM"
"""Describes a network without a temporal module in the protocol of a test."""

FEW = 50
"""With fewer test videos, the interval is wider than 25 percentage points if half of them are right."""


def few_videos(counts: Collection[int]) -> str:
    """A text about what a test with these numbers of videos per class cannot show; "" if there are at least `FEW`."""
    videos = sum(counts)
    if videos >= FEW:
        return ""
    chance = max(counts, default=0) / max(videos, 1)
    if chance in (0, 1):
        return f"all test videos ({videos}) are of one class: a test with them says nothing"
    low, high = wilson_interval(videos // 2, videos)
    if videos < videos_needed(chance):
        least = 100 * wilson_interval(videos, videos)[0]
        return (
            f"the test has only {counted(videos, 'video')}: even if all are right, the true accuracy may be as low as "
            f"{least:.0f} %, which is not better than chance ({100 * chance:.0f} %); "
            f"at least {videos_needed(chance)} are needed"
        )
    return (
        f"the test has only {counted(videos, 'video')}: the accuracy that it measures is uncertain by up to "
        f"{50 * (high - low):.0f} percentage points either way"
    )


def verdict(folder: str | os.PathLike[str]) -> str:
    """Whether the test with results in `folder` was better than chance, in a few words with the interval.

    Chance is the accuracy of always predicting the most frequent class of the test videos.
    """
    path = Path(folder) / "confusion.npy"
    try:
        confusion = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None
    videos, right, chance = int(confusion.sum()), int(np.trace(confusion)), float(confusion.sum(1).max(initial=0))
    if not videos:
        return "no verdict: no video with a label was scored"
    chance /= videos
    low, high = wilson_interval(right, videos)
    found = f"{right} of {counted(videos, 'test video')} {'is' if right == 1 else 'are'} right, "
    found += f"{100 * right / videos:.0f} % "
    found += f"(95 % confidence interval: {100 * low:.0f} to {100 * high:.0f} %; chance: {100 * chance:.0f} %)"
    if chance == 1:
        return f"no verdict: {found}: the test videos are all of one class"
    if low > chance:
        return f"better than chance, by at least {100 * (low - chance):.0f} percentage points: {found}"
    if high < chance:
        return f"worse than chance: {found}"
    if videos < videos_needed(chance):
        advice = f"at least {videos_needed(chance)} are needed: add videos, or "
        advice += "choose a larger --val_fraction and a new --out"
        return f"too few test videos to tell: {found}; {advice}"
    return f"not better than chance, as far as these videos can tell: {found}{_without_time(Path(folder))}"


def _without_time(folder: Path) -> str:
    """A hint if the test in `folder` was of a single network without a temporal module; "" if not, or if unknown."""
    try:
        protocol = str(json.loads((folder / "metrics.json").read_text("utf-8"))["protocol"])
    except (OSError, ValueError, LookupError, TypeError):
        return ""
    if f" {NO_TEMPORAL_MODULE}, " not in protocol or " + " in protocol:
        return ""
    return "; a network without a temporal module cannot tell classes apart that differ only in the order of frames"
