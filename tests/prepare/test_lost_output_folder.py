"""If a data tool loses its output folder, it stops with one line and status 3, and the same command continues."""

import os
import re
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import media
import pytest
from conftest import Call, modes_count

from ops.prepare import image_folders, jobs, resize_video
from ops.prepare.executors import Results, Work, run_tasks
from ops.prepare.journal import Journal, Outcome

VIDEOS = 4
TOOLS = {
    "frames": ("tools/extract_frames.py", "clips", "-j", "1", "-o", "out"),
    "flow": ("tools/extract_flow.py", "clips", "-j", "1", "-o", "out"),
    "resized": ("tools/resize_videos.py", "clips", "-j", "1", "-o", "out"),
    "lists": ("tools/gen_labels.py", "folder", "--data", "clips", "--out", "out", "-j", "1"),
    "check": ("tools/check_dataset.py", "custom", "--train_list", "l.txt", "--num_class", "2", "--root_path", "clips",
              "-j", "1", "--output", "out", "--write_clean"),
}  # fmt: skip
Moment = tuple[Any, str, int]
"""A function, given by the object that holds it and its name, and the number of the call after which it happens."""

WITHIN: dict[str, Moment] = {
    "frames": (image_folders, "write_bytes", 8),
    "flow": (image_folders, "write_bytes", 16),
    "resized": (resize_video, "_encode", 2),
    "lists": (os, "replace", 5),
    "check": (os, "replace", 2),
}
"""A moment at which the second video is half written, or at which one of several reports is in place."""


@pytest.fixture
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four videos of two classes and their list. Items run in this process, where `modes_count` also limits root."""
    for number in range(VIDEOS):
        path = tmp_path / "clips" / "ab"[number % 2] / f"{number}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        media.write_video(path, 6, seed=number)
    (tmp_path / "l.txt").write_text("".join(f"{'ab'[k % 2]}/{k}.mp4 6 {k % 2}\n" for k in range(VIDEOS)))

    def here(work: Work, tasks: Iterator[jobs.Task], engine: str, count: int, timeout: float) -> Results:
        return run_tasks(work, tasks, "here", count, timeout)

    monkeypatch.setattr(jobs, "run_tasks", here)
    return tmp_path


def lose(out: Path, how: str) -> None:
    """Make the folder unusable in one of the ways that can happen during a run."""
    if how == "full":
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    elif how == "read-only":
        for folder, _, _ in os.walk(out):
            Path(folder).chmod(0o555)
    else:
        out.rename(out.with_name("moved"))
        if how == "a file":
            out.touch()


def give_back(out: Path, how: str) -> None:
    """Undo `lose`."""
    if how == "read-only":
        for folder, _, _ in os.walk(out):
            Path(folder).chmod(0o755)
    elif how == "a file":
        out.unlink()
        out.with_name("moved").rename(out)


@contextmanager
def lost_after(moment: Moment, out: Path, how: str) -> Iterator[None]:
    """Within the block, lose the folder `out` after the given number of calls of the function in `moment`."""
    place, name, times = moment
    function, limits, calls = getattr(place, name), resource.getrlimit(resource.RLIMIT_FSIZE), []

    def call_and_lose(*arguments: Any, **options: Any) -> Any:
        result = function(*arguments, **options)
        calls.append(name)
        if len(calls) == times:
            lose(out, how)
        return result

    with pytest.MonkeyPatch.context() as patch, modes_count():
        patch.setattr(place, name, call_and_lose)
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(calls) >= times


def results(out: Path) -> dict[str, bytes]:
    """The files in `out` by name, except hidden files and measured times."""
    paths = (path for path in sorted(out.rglob("*")) if path.is_file())
    found = {str(path.relative_to(out)): path.read_bytes() for path in paths}
    return {name: data for name, data in found.items() if not name.startswith(".") and name != "decode_times.csv"}


@pytest.mark.parametrize("how", ["gone", "a file", "read-only", "full"])
@pytest.mark.parametrize("when", ["halfway", "within a result", "before the reports"])
@pytest.mark.parametrize("tool", TOOLS)
def test_a_tool_without_its_folder_stops_and_continues_later(
    tool: str, when: str, how: str, clips: Path, call: Call
) -> None:
    out = clips / "out"
    call(*TOOLS[tool])
    whole = results(out)
    shutil.rmtree(out)
    moment = WITHIN[tool] if when == "within a result" else (Journal, "add", 2 if when == "halfway" else VIDEOS)
    with lost_after(moment, out, how):
        said = call(*TOOLS[tool], status=3).err
    problem = r"error: (\S*/)?out\b.*: (cannot be written|cannot write|was removed) .*"
    assert re.fullmatch(problem, said.splitlines()[-1]) and "Traceback" not in said, said
    left = results(out if out.is_dir() else clips / "moved")
    assert all(data == whole.get(name, b"") for name, data in left.items())
    give_back(out, how)
    call(*TOOLS[tool])
    assert results(out) == whole


def test_a_file_that_appears_in_the_place_of_a_list_meanwhile_stays(clips: Path, call: Call) -> None:
    add = Journal.add

    def add_and_write(self: Journal, outcome: Outcome) -> None:
        add(self, outcome)
        (clips / "out/train.txt").write_text("mine")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Journal, "add", add_and_write)
        said = call(*TOOLS["lists"], status=3).err
    assert "error: out/train.txt: already exists and was not made by this tool" in said
    assert (clips / "out/train.txt").read_text() == "mine"
