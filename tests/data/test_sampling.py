"""Frame sampling gives exactly the published indices, and random indices keep their guarantees."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ops.common.errors import InputError
from ops.data.sampling import Indices, Sample, parse_sample, stack_indices, train_indices, val_indices, view_indices

ROWS: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "reference" / "sampling.json").read_text())
LENGTHS = (1, 2, 5, 8, 9, 16, 63, 64, 65, 66, 100, 300)


def draw(num_frames: int, segments: int, dense: bool, seeds: int = 200, new_length: int = 1) -> Indices:
    """Training indices for many seeds: `[seeds, T]`."""
    return np.stack(
        [train_indices(num_frames, segments, dense, np.random.default_rng(seed), new_length) for seed in range(seeds)]
    )


def frozen(row: dict[str, Any]) -> bool:
    """Whether the published code repeats the first frame for this row, which this project does not do."""
    return bool(row["mode"] == "val_uniform" and row["num_frames"] <= row["num_segments"])


@pytest.mark.parametrize("mode", sorted({row["mode"] for row in ROWS}))
def test_indices_are_the_published_ones(mode: str) -> None:
    rows = [row for row in ROWS if row["mode"] == mode and not frozen(row)]
    assert len(rows) >= 18
    for row in rows:
        n, segments = row["num_frames"], row["num_segments"]
        if mode.startswith("val_"):
            found = val_indices(n, segments, dense=mode == "val_dense")
        else:
            found = view_indices(n, segments, mode)
            assert found.shape == (int(mode.split("-")[1]), segments)
        assert found.dtype == np.int64
        assert found.ravel().tolist() == row["indices"], (mode, n, segments)


@pytest.mark.parametrize("row", [row for row in ROWS if frozen(row)], ids=lambda r: f"{r['num_frames']}")
def test_validation_spreads_over_videos_shorter_than_the_segments(row: dict[str, Any]) -> None:
    found = val_indices(row["num_frames"], row["num_segments"], dense=False)
    assert (np.diff(found) >= 0).all()
    assert set(found.tolist()) == set(range(row["num_frames"]))


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("segments", [1, 3, 8, 16])
@pytest.mark.parametrize("num_frames", LENGTHS)
def test_training_stays_inside_the_video(num_frames: int, segments: int, dense: bool) -> None:
    found = draw(num_frames, segments, dense)
    assert found.dtype == np.int64
    assert found.shape == (200, segments)
    assert found.min() >= 0
    assert found.max() < num_frames


@pytest.mark.parametrize("segments", [1, 4, 8, 16])
@pytest.mark.parametrize("num_frames", [16, 17, 31, 64, 100])
def test_uniform_training_draws_one_frame_from_each_segment(num_frames: int, segments: int) -> None:
    length = num_frames // segments
    offsets = draw(num_frames, segments, dense=False, seeds=2000) - np.arange(segments) * length
    for segment in range(segments):
        assert set(offsets[:, segment]) == set(range(length)), "any frame of the segment, and no other"
    if segments > 1 and length > 1:
        assert not (offsets == offsets[:, :1]).all(), "segments are drawn independently"


@pytest.mark.parametrize(("num_frames", "segments"), [(1, 8), (3, 8), (7, 8), (15, 16)])
def test_uniform_training_spreads_over_videos_shorter_than_the_segments(num_frames: int, segments: int) -> None:
    found = draw(num_frames, segments, dense=False)
    assert (np.diff(found, axis=1) >= 0).all()
    assert set(found.ravel()) == set(range(num_frames))


@pytest.mark.parametrize("segments", [4, 8, 16])
@pytest.mark.parametrize("num_frames", [64, 65, 66, 70, 100])
def test_dense_training_takes_a_fixed_stride_from_any_window_but_the_last(num_frames: int, segments: int) -> None:
    found = draw(num_frames, segments, dense=True, seeds=2000)
    assert (np.diff(found, axis=1) == 64 // segments).all()
    last = num_frames - 64
    assert set(found[:, 0]) == set(range(max(last, 1)))


@pytest.mark.parametrize("num_frames", [1, 5, 20, 63])
def test_dense_training_wraps_around_in_short_videos(num_frames: int) -> None:
    found = draw(num_frames, 8, dense=True)
    np.testing.assert_array_equal(found, np.broadcast_to(np.arange(0, 64, 8) % num_frames, found.shape))


@pytest.mark.parametrize("dense", [False, True])
def test_training_depends_on_the_generator_alone(dense: bool) -> None:
    np.testing.assert_array_equal(draw(300, 8, dense, seeds=5), draw(300, 8, dense, seeds=5))
    assert len(np.unique(draw(300, 8, dense, seeds=5), axis=0)) > 1


@pytest.mark.parametrize("num_frames", [5, 6, 12, 80, 300])
@pytest.mark.parametrize("dense", [False, True])
def test_first_frames_of_stacks_leave_room_for_whole_stacks(num_frames: int, dense: bool) -> None:
    assert draw(num_frames, 4, dense, new_length=5).max() <= num_frames - 5
    assert val_indices(num_frames, 4, dense, new_length=5).max() <= num_frames - 5
    for sample in ("uniform-1", "uniform-3", "dense-1", "dense-3"):
        found = view_indices(num_frames, 4, sample, new_length=5)
        assert found.min() >= 0
        assert found.max() <= num_frames - 5


@pytest.mark.parametrize("sample", ["uniform-1", "uniform-2", "dense-1", "dense-10"])
def test_stacks_are_sampled_among_their_possible_first_frames(sample: str) -> None:
    np.testing.assert_array_equal(view_indices(104, 8, sample, new_length=5), view_indices(100, 8, sample))


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("num_frames", [1, 2, 4])
def test_videos_shorter_than_a_stack_start_at_their_first_frame(num_frames: int, dense: bool) -> None:
    assert (draw(num_frames, 4, dense, new_length=5) == 0).all()
    assert (val_indices(num_frames, 4, dense, new_length=5) == 0).all()


@pytest.mark.parametrize(
    ("starts", "num_frames", "length", "stacks"),
    [
        ([0, 3], 10, 1, [[0], [3]]),
        ([0, 3], 10, 5, [[0, 1, 2, 3, 4], [3, 4, 5, 6, 7]]),
        ([7], 10, 5, [[7, 8, 9, 9, 9]]),
        ([0], 1, 5, [[0, 0, 0, 0, 0]]),
        ([[0], [2]], 4, 3, [[[0, 1, 2]], [[2, 3, 3]]]),
    ],
)
def test_stacks_are_consecutive_and_end_with_the_video(starts: Any, num_frames: int, length: int, stacks: Any) -> None:
    assert stack_indices(np.array(starts), num_frames, length).tolist() == stacks


@pytest.mark.parametrize(
    ("text", "sample"),
    [("dense-10", Sample("dense", 10)), ("uniform-1", Sample("uniform", 1)), ("dense-123", Sample("dense", 123))],
)
def test_a_sample_is_read_as_it_is_written(text: str, sample: Sample) -> None:
    assert parse_sample(text) == sample
    assert str(sample) == text


@pytest.mark.parametrize(
    "text",
    ["", "dense", "dense-", "dense-0", "dense-01", "dense--1", "dense-1.5", "dense-10 ", "dense-10\n", " dense-1",
     "Dense-1", "sparse-1", "dense_1", "10", "uniform-²", "uniform-1-2"],
)  # fmt: skip
def test_anything_else_is_no_sample(text: str) -> None:
    with pytest.raises(InputError) as error:
        parse_sample(text)
    assert f"({text})" in str(error.value)
