"""Confidence intervals agree with scipy's, and a test of few videos gets the right verdict."""

import json
from pathlib import Path

import numpy as np
import pytest

from ops.common.errors import InputError
from ops.testing.confidence import few_videos, verdict, videos_needed, wilson_interval


@pytest.mark.parametrize(("right", "videos"), [(0, 1), (1, 1), (1, 2), (7, 8), (50, 100), (761, 1000)])
def test_the_interval_is_wilsons(right: int, videos: int) -> None:
    from scipy.stats import binomtest

    theirs = binomtest(right, videos).proportion_ci(method="wilson")
    assert wilson_interval(right, videos) == pytest.approx((theirs.low, theirs.high), abs=1e-6)


@pytest.mark.parametrize("chance", [0.01, 0.25, 0.5, 0.9])
def test_videos_needed_is_the_smallest_number_that_beats_chance(chance: float) -> None:
    needed = videos_needed(chance)
    assert wilson_interval(needed, needed)[0] > chance
    assert needed == 1 or wilson_interval(needed - 1, needed - 1)[0] <= chance


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        (
            [1, 1],
            "only 2 videos: even if all are right, the true accuracy may be as low as 34 %, which is not better",
        ),
        ([2, 2], "only 4 videos: the accuracy that it measures is uncertain by up to 35 percentage points"),
        (
            [20, 20, 9],
            "only 49 videos: the accuracy that it measures is uncertain by up to 13 percentage points",
        ),
        ([5], "all test videos (5) are of one class"),
        ([25, 25], ""),
    ],
)
def test_few_videos_are_warned_of(counts: list[int], said: str) -> None:
    assert said in few_videos(counts) and bool(said) == bool(few_videos(counts))


@pytest.mark.parametrize(
    ("confusion", "said"),
    [
        (
            [[4, 0], [0, 4]],
            "better than chance, by at least 18 percentage points: 8 of 8 test videos are right, 100 % (95 % ",
        ),
        ([[1, 0], [0, 1]], "too few test videos to tell: 2 of 2 test videos are right"),
        ([[1, 0], [0, 1]], "at least 4 are needed: add videos, or choose"),
        ([[10, 10], [10, 10]], "not better than chance, as far as these videos can tell: 20 of 40"),
        ([[1, 19], [19, 1]], "worse than chance: 2 of 40"),
        ([[30, 0], [10, 0]], "chance: 75 %"),  # every video is predicted as the most frequent class
        ([[5, 0], [0, 0]], "no verdict: 5 of 5"),
        ([[0, 0], [0, 0]], "no verdict: no video with a label was scored"),
    ],
)
def test_the_verdict_compares_with_chance(confusion: list[list[int]], said: str, tmp_path: Path) -> None:
    np.save(tmp_path / "confusion.npy", np.array(confusion))
    assert said in verdict(tmp_path)


@pytest.mark.parametrize(
    ("protocol", "right", "hinted"),
    [
        ("resnet18 without TAM, RGB, 8 frames", 10, True),
        ("resnet18 without TAM, RGB, 8 frames", 20, False),
        ("resnet18 with TAM, RGB, 8 frames", 10, False),
        ("resnet18 without TAM, RGB + resnet18 with TAM, RGB", 10, False),
        (None, 10, False),
    ],
)
def test_plain_networks_at_chance_are_said_to_be_plain(
    protocol: str | None, right: int, hinted: bool, tmp_path: Path
) -> None:
    np.save(tmp_path / "confusion.npy", np.array([[right, 20 - right], [20 - right, right]]))
    (tmp_path / "metrics.json").write_text(json.dumps({"protocol": protocol}) if protocol else "[]")
    assert verdict(tmp_path).endswith("differ only in the order of frames") == hinted


def test_a_test_without_a_result_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"confusion.npy: cannot be read"):
        verdict(tmp_path)
