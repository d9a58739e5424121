"""A job over many videos takes little memory per video, and the benchmarks that measure it still run."""

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Call

from benchmarks.scale import Numbered, check_list, run_job

FEW, MANY = 1_000, 6_000


def peak_of(step: Callable[[Numbered, Path], None], items: Numbered, folder: Path) -> int:
    """The peak memory of the step, in bytes."""
    tracemalloc.start()
    try:
        step(items, folder)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_grows_by_a_few_numbers_per_video(tmp_path: Path) -> None:
    peaks = {}
    for number in (FEW, MANY):
        folder = tmp_path / str(number)
        folder.mkdir()
        peaks[number] = [peak_of(step, Numbered(number), folder) for step in (run_job, run_job, check_list)]
        assert len((folder / "list.txt").read_text().splitlines()) == number
    grown = [(many - few) / (MANY - FEW) for few, many in zip(peaks[FEW], peaks[MANY], strict=True)]
    assert grown[0] < 100 and grown[1] < 100, "bytes per video: numbers, not texts"
    assert grown[2] < 600, "while a list is read, its texts are there for a moment"


def test_the_benchmark_runs_and_writes_what_it_prints(call: Call, tmp_path: Path) -> None:
    flags = ("--count", 1, "--repeats", 1, "--pool_items", 20, "-j", 1, "--simulate", 0, "--output", "out")
    printed = call("benchmarks/prepare.py", *flags).out
    assert (tmp_path / "out.md").read_text() == printed
    rows = json.loads((tmp_path / "out.json").read_text())["rows"]
    steps = [row["step"] for row in rows]
    assert steps[:4] == ["plain decode", "header", "packets", "decode"] and "extract, png" in steps
    assert rows[0]["ratio"] == pytest.approx(1) and all(row["least"] <= row["seconds"] <= row["most"] for row in rows)
    assert "contains no videos" in call("benchmarks/prepare.py", "--videos", tmp_path, status=2).err
