"""The job that resizes many videos, and its report: bytes and decode time, before and after."""

import functools
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ops.common.errors import EXIT_DONE, EXIT_WITH_FAILURES, MediaError
from ops.common.storage import stamp_of
from ops.common.string_array import StringArray
from ops.common.text import counted
from ops.data.sampling import train_indices
from ops.data.videos import open_video
from ops.prepare.job_summary import Tally, status_of
from ops.prepare.jobs import Job
from ops.prepare.journal import Outcome
from ops.prepare.options import JobOptions
from ops.prepare.output_paths import REPORT, check_apart, check_names, clean_up, write_table
from ops.prepare.ownership import check_own_table, not_ours, recorded_stamps
from ops.prepare.resize_video import ResizeOptions, is_resized, resize_video, video_file

HEADER = ("video", "file", "frames", "claimed", "size_before", "size_after", "bytes_before", "bytes_after", "status",
          "reason")  # fmt: skip
DECODE_TIMES = "decode_times.csv"
TIMES = ("video", "ms_before", "ms_after")
"""The columns of the two tables."""

SAMPLE = 20
"""How many videos are timed before and after."""

CLIPS = 3
"""How many clips of each are timed."""

SEGMENTS = 8
SEED = 0


@dataclass(frozen=True)
class ResizeJob:
    """Writes a resized video to `out` for each of `items`, which are paths relative to `root`."""

    root: str
    items: StringArray
    out: str
    resize: ResizeOptions

    def run(self, options: JobOptions, title: str) -> tuple[int, list[str]]:
        """Run the job; returns the exit status, and lines that describe the outcome.

        InputError if two videos would become one file, if results could overwrite sources, or if something not made by
        this tool is in the place of a result.
        """
        check_apart(self.root, self.out)
        check_names(self.items, video_file, "rename one of them")
        work = functools.partial(resize_video, out=str(Path(self.out).absolute()), options=self.resize)
        settings = {"tool": "resize_videos", **asdict(self.resize)}
        with Job(work, self.items, Path(self.root).absolute(), self.out, settings, options, self._is_there) as job:
            self._check_place(job)
            if not job.run(title):
                return EXIT_DONE, [f"shard {options.shard} is done; the last one to finish writes the report"]
            clean_up(self.out, (video_file(outcome.item) for outcome in job.outcomes() if not outcome.ok))
            write_table(os.path.join(self.out, REPORT), HEADER, map(_row, job.outcomes()))
            status, lines = self._summary(job.outcomes())
            return status, lines + self._decode_times(job.outcomes())

    def _check_place(self, job: Job) -> None:
        check_own_table(os.path.join(self.out, REPORT), HEADER)
        check_own_table(os.path.join(self.out, DECODE_TIMES), TIMES)
        recorded = recorded_stamps(self.out)
        for item in job.left():
            path = self._made(item)
            if os.path.lexists(path) and stamp_of(path) not in recorded and not is_resized(path):
                raise not_ours(path)

    def _is_there(self, outcome: Outcome) -> bool:
        return not outcome.ok or outcome.value["made"] == stamp_of(self._made(outcome.item))

    def _made(self, item: str) -> str:
        return os.path.join(self.out, video_file(item))

    def _summary(self, outcomes: Iterable[Outcome]) -> tuple[int, list[str]]:
        tally, before, after = Tally(), 0, 0
        for outcome in outcomes:
            tally.add(outcome)
            if outcome.ok:
                before, after = before + outcome.value["before"][2], after + outcome.value["after"][2]
        lines = [f"{tally.total()}; in {self.out}", *tally.lines(), f"all results: {os.path.join(self.out, REPORT)}"]
        if tally.made:
            each = f"{before // tally.made:,} before, {after // tally.made:,} after ({after / before:.0%})"
            lines.append(f"bytes per video: {each}")
        return (EXIT_WITH_FAILURES if tally.counts["failed"] else EXIT_DONE), lines

    def _decode_times(self, outcomes: Iterable[Outcome]) -> list[str]:
        """Time reading clips of a few videos before and after, and write the times; returns the lines to print."""
        chosen = set(np.random.default_rng(SEED).permutation(len(self.items))[:SAMPLE].tolist())
        rows = []
        for number, outcome in enumerate(outcomes):
            if number in chosen and outcome.ok:
                with suppress(MediaError):
                    paths = (os.path.join(self.root, outcome.item), self._made(outcome.item))
                    times = [1000 * clip_seconds(path, outcome.value["decoded"]) for path in paths]
                    rows.append((outcome.item, *(round(value, 2) for value in times)))
        write_table(os.path.join(self.out, DECODE_TIMES), TIMES, rows)
        if not rows:
            return []
        before, after = (float(np.median([row[column] for row in rows])) for column in (1, 2))
        each = f"{before:.1f} ms before, {after:.1f} ms after"
        return [f"decode time per training clip, median of {counted(len(rows), 'video')}: {each}"]


def _row(outcome: Outcome) -> tuple[Any, ...]:
    if not outcome.ok:
        return outcome.item, "", 0, 0, "", "", 0, 0, *status_of(outcome)
    value = outcome.value
    (*size_before, bytes_before), (*size_after, bytes_after) = value["before"], value["after"]
    sizes = ("x".join(map(str, size)) for size in (size_before, size_after))
    counts = (value["decoded"], value["claimed"])
    return outcome.item, video_file(outcome.item), *counts, *sizes, bytes_before, bytes_after, *status_of(outcome)


def clip_seconds(path: str, num_frames: int) -> float:
    """Seconds to open the video at `path` and read a training clip: 8 frames from a window of 64.

    The mean over some clips, which are the same for all videos of `num_frames`, of the best of a few attempts.
    """
    rng = np.random.default_rng(SEED)
    return float(np.mean([_best(path, train_indices(num_frames, SEGMENTS, True, rng).tolist()) for _ in range(CLIPS)]))


def _best(path: str, indices: list[int], tries: int = 2) -> float:
    times = []
    for _ in range(tries):
        start = time.perf_counter()
        with open_video(path) as source:
            source.read(indices)
        times.append(time.perf_counter() - start)
    return min(times)
