"""Folders of images, one per video: resizing and writing the images, and the job that makes all folders."""

import functools
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ops.common.errors import EXIT_DONE, EXIT_WITH_FAILURES, MediaError
from ops.common.storage import stamp_of
from ops.common.string_array import StringArray
from ops.common.text import counted
from ops.data.transforms import scaled_size
from ops.prepare.executors import Work
from ops.prepare.job_summary import Tally, status_of
from ops.prepare.jobs import Job
from ops.prepare.journal import Outcome
from ops.prepare.options import JobOptions, Size
from ops.prepare.output_paths import REPORT, NameOf, check_names, clean_up, names_by, write_bytes, write_table
from ops.prepare.ownership import check_own_table, is_own_folder, marked, not_ours

Image = NDArray[np.uint8]

HEADER = ("video", "folder", "frames", "decoded", "claimed", "status", "reason")
"""The columns of the report."""


def resize_image(image: Image, size: Size) -> Image:
    """`image [h, w, …]` resized to `size`: area averaging to shrink, interpolation to enlarge.

    MediaError if `size` is a short side and the aspect ratio is extreme.
    """
    height, width = image.shape[:2]
    try:
        wanted = (size.height, size.width) if not size.short else scaled_size(height, width, size.short)
    except ValueError as error:
        raise MediaError("", str(error)) from None
    if wanted == (height, width):
        return image
    method = cv2.INTER_AREA if wanted[0] <= height and wanted[1] <= width else cv2.INTER_LINEAR
    resize: Any = cv2.resize
    changed: Image = resize(image, wanted[::-1], interpolation=method)
    return changed


def write_image(path: str, image: Image, quality: int, full_colour: bool = False) -> None:
    """Write `image` (BGR `[h, w, 3]` or grey `[h, w]`) in the format of the path's extension.

    `quality` is for jpg, 1 to 100; with `full_colour` jpg does not subsample colours. InputError if it cannot be
    written, MediaError if the format does not support its size.
    """
    options: list[int] = []
    if path.endswith(".jpg"):
        options = [cv2.IMWRITE_JPEG_QUALITY, quality]
        if full_colour:
            options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    done, data = cv2.imencode(os.path.splitext(path)[1], image, options)
    if not done:
        raise MediaError(path, f"an image of {image.shape[1]}×{image.shape[0]} cannot be written in this format")
    write_bytes(path, marked(data.tobytes(), os.path.splitext(path)[1]))


@dataclass(frozen=True)
class ImageJob:
    """Makes a folder of images in `out` for each of `items`; `work(path, item, out=…)` makes one.

    `template` names the images (see `ops.data.frames.FrameTemplate`). `work` returns `frames` (written), `decoded`,
    `claimed`, and `made`, the folder's `stamp_of`.
    """

    work: Any
    root: str
    items: StringArray
    out: str
    name_of: NameOf
    template: str
    settings: Mapping[str, Any]

    def run(self, options: JobOptions, title: str) -> tuple[int, list[str]]:
        """Run the job; returns the exit status, and lines that describe the outcome.

        InputError if names collide, or if something not made by this tool is in the place of a result.
        """
        check_names(self.items, self.name_of, "use --keep_dirs, or rename one of them")
        work: Work = functools.partial(self.work, out=str(Path(self.out).absolute()))
        root = Path(self.root).absolute()
        with Job(work, self.items, root, self.out, self.settings, options, self._is_there) as job:
            self._check_place(job)
            if not job.run(title):
                return EXIT_DONE, [f"shard {options.shard} is done; the last one to finish writes the report"]
            clean_up(self.out, (self.name_of(outcome.item) for outcome in job.outcomes() if not outcome.ok))
            write_table(self._report, HEADER, map(self._row, job.outcomes()))
            return self._summary(job.outcomes())

    def _check_place(self, job: Job) -> None:
        check_own_table(self._report, HEADER)
        for item in job.left():
            folder = os.path.join(self.out, self.name_of(item))
            if os.path.lexists(folder) and not is_own_folder(folder, names_by(self.template), self.out, thorough=False):
                raise not_ours(folder)

    @property
    def _report(self) -> str:
        return os.path.join(self.out, REPORT)

    def _is_there(self, outcome: Outcome) -> bool:
        return not outcome.ok or outcome.value["made"] == stamp_of(os.path.join(self.out, self.name_of(outcome.item)))

    def _row(self, outcome: Outcome) -> tuple[Any, ...]:
        folder = self.name_of(outcome.item) if outcome.ok else ""
        counts = (outcome.value.get(key, 0) for key in ("frames", "decoded", "claimed"))
        return outcome.item, folder, *counts, *status_of(outcome)

    def _summary(self, outcomes: Iterable[Outcome]) -> tuple[int, list[str]]:
        tally, frames = Tally(), 0
        for outcome in outcomes:
            tally.add(outcome)
            frames += outcome.value.get("frames", 0)
        lines = [
            f"{tally.total()}; {counted(frames, 'frame')} in {self.out}",
            *tally.lines(),
            f"all results: {self._report}",
        ]
        return (EXIT_WITH_FAILURES if tally.counts["failed"] else EXIT_DONE), lines
