"""Measure the memory and time for lists of many videos, without any video.

    python benchmarks/scale.py 650000

Prints JSON. Items, journal, outcomes, list and findings are real; only the inspection of each video is simulated.
"""

import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ops.common.arguments import Parser, positive
from ops.common.errors import EXIT_DONE, run
from ops.common.storage import atomic_file
from ops.data.dataset_configs import dataset_config
from ops.data.lists import read_records
from ops.prepare.check_lists import Dataset, find_problems, rules_of
from ops.prepare.check_report import open_findings
from ops.prepare.jobs import Items, Job
from ops.prepare.list_entries import Entries
from ops.prepare.options import JobOptions
from ops.prepare.ownership import WrittenFiles

HERE = JobOptions(1, "here")


def main() -> int:
    """Measure and print."""
    parser = Parser(description=__doc__)
    parser.add_argument("videos", type=positive, help="how many")
    items = Numbered(parser.parse_args().videos)
    with tempfile.TemporaryDirectory() as folder:
        marks = [(time.perf_counter(), peak())]
        for step in (run_job, run_job, check_list):
            step(items, Path(folder))
            marks.append((time.perf_counter(), peak()))
    (t0, start), (t1, job), (t2, _), (t3, end) = marks
    figures = {
        "videos": len(items),
        "job_bytes": (job - start) / len(items),
        "all_bytes": (end - start) / len(items),
        "peak_mib": end / 2**20,
        "job_seconds": t1 - t0,
        "resume_seconds": t2 - t1,
        "check_seconds": t3 - t2,
    }
    sys.stdout.write(json.dumps(figures) + "\n")
    return EXIT_DONE


class Numbered:
    """Items that are generated on demand."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __len__(self) -> int:
        return self.number

    def __iter__(self) -> Iterator[str]:
        return (f"class {number % 400:03d}/{number:011d}_000001_000011.mp4" for number in range(self.number))


def look(path: str, item: str) -> dict[str, Any]:
    """The simulated result of checking a video."""
    return {"frames": 300, "claimed": 300, "broken": "", "file": item, "size": len(item)}


def run_job(items: Items, folder: Path) -> None:
    """Run a job over all items, and write a list from it."""
    with Job(look, items, folder, folder, {}, HERE) as job:
        job.run("job", shown=False)
        with atomic_file(folder / "list.txt", "w") as file:
            for place, outcome in enumerate(job.outcomes()):
                file.write(f"{outcome.item} {outcome.value['frames']} {place % 400}\n")


def check_list(items: Items, folder: Path) -> None:
    """Check that list."""
    records = read_records(folder / "list.txt", counts_in_pairs=False)
    dataset = Dataset({"train": records}, str(folder), "videos", "RGB", 400, None, "")
    entries = Entries([records])
    rules = {"train": rules_of(dataset, dataset_config("kinetics"), "train", "ends", 8, dense=True)}
    written = WrittenFiles(folder)
    with (
        Job(look, entries, folder, folder, {}, HERE) as job,
        open_findings(folder / "problems.csv", written) as findings,
    ):
        job.run("check", shown=False)
        find_problems(dataset, entries, rules, job.outcome, findings)


def peak() -> int:
    """The peak memory of this process, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    run(main)
