"""The flags of the data tools and their values. Imports nothing heavy."""

import argparse
import itertools
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ops.common.arguments import above_zero, number, positive
from ops.data.options import add_endings_option

SPLITS = ("train", "val", "test")
KINDS = ("frames", "videos")
"""The kinds of entries of a list."""

DECODE = ("none", "ends", "full")
"""What tools/check_dataset.py decodes of a video: nothing, the first and last frame, or everything."""

VERIFY = ("header", "packets", "decode")
"""How the frames of a video are counted."""

ENGINES = ("local", "ray")
"""Where a job runs: in processes on this machine, or on a Ray cluster."""

FORMATS = ("jpg", "png", "bmp")
"""Formats of extracted frames."""

FLOW_METHODS = ("dis", "farneback")
FLOW_PRESETS = ("ultrafast", "fast", "medium")
"""Presets of DIS, from the fastest to the most accurate."""

X264_PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")

KINETICS = {"k400": "kinetics", "k600": "kinetics600", "k700": "kinetics700"}
"""Names of Kinetics datasets on the command line, and their entries in `ops.data.dataset_configs`."""

OTHERS = ("something", "somethingv2", "ucf101", "hmdb51", "jester", "diving48")
FOLDER = "folder"
"""The dataset name for a tree of class folders."""

LISTED = (*KINETICS.values(), *OTHERS, FOLDER)
"""The datasets for which tools/gen_labels.py makes lists."""

_quality = number(int, lambda value: 1 <= value <= 100, "an integer from 1 to 100")


@dataclass(frozen=True)
class Shard:
    """The part of a job for one process: every `count`-th item from number `index` (1 … count) on."""

    index: int = 1
    count: int = 1

    def __str__(self) -> str:
        return f"{self.index}-of-{self.count}"

    def of(self, items: Iterable[str]) -> Iterator[str]:
        """Its items."""
        return itertools.islice(items, self.index - 1, None, self.count)

    def size(self, total: int) -> int:
        """The number of its items, of `total`."""
        return len(range(self.index - 1, total, self.count))


@dataclass(frozen=True)
class JobOptions:
    """How a job is run; see `add_job_options`."""

    jobs: int
    engine: str = "local"
    shard: Shard = Shard()
    timeout: float = 300.0
    retry: bool = False


def add_job_options(parser: argparse.ArgumentParser, timeout: float = 300.0) -> None:
    """Add the flags that all data tools have."""
    group = parser.add_argument_group("execution (does not affect the results)")
    group.add_argument("-j", "--num_jobs", "--jobs", type=positive, default=os.cpu_count() or 1, metavar="N",
                       dest="num_jobs", help="parallel processes (default: one per core)")  # fmt: skip
    group.add_argument("--engine", choices=ENGINES, default="local",
                       help="use local processes (default) or a Ray cluster")  # fmt: skip
    group.add_argument("--shard", type=_shard, default=Shard(), metavar="I/N",
                       help="process shard I of N; the last writes the results")  # fmt: skip
    group.add_argument("--timeout", type=above_zero, default=timeout, metavar="SECONDS",
                       help=f"give up on a video after this time (default: {timeout:g})")  # fmt: skip
    group.add_argument("--retry", action="store_true", help="retry what failed in an earlier run")


def job_options(args: argparse.Namespace) -> JobOptions:
    """The `JobOptions` from parsed arguments."""
    return JobOptions(args.num_jobs, args.engine, args.shard, args.timeout, args.retry)


def _shard(text: str) -> Shard:
    index, slash, count = text.partition("/")
    if not (slash and index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
        raise argparse.ArgumentTypeError(f"{text!r} must be I/N with I from 1 to N, such as 1/8")
    return Shard(int(index), int(count))


def add_place_options(parser: argparse.ArgumentParser, results: str) -> None:
    """Add the flags for the folder of `results` and the extensions of videos."""
    parser.add_argument("-o", "--out_path", required=True, metavar="OUT", help=f"folder for {results}")
    add_endings_option(parser)


@dataclass(frozen=True)
class Size:
    """The size of images: `width` × `height`, or the `short` side, keeping the aspect ratio; 0 if not given."""

    width: int = 0
    height: int = 0
    short: int = 0


def parse_size(text: str) -> Size:
    """`W:H` or `min=N` → a `Size`; an argparse type."""
    kind, numbers = ("min", [text[4:]]) if text.startswith("min=") else ("", text.split(":"))
    if len(numbers) != (1 if kind else 2) or not all(n.isdecimal() and 1 <= int(n) <= 16384 for n in numbers):
        raise argparse.ArgumentTypeError(f"{text!r} must be W:H or min=N in pixels, such as 340:256 or min=256")
    return Size(short=int(numbers[0])) if kind else Size(*map(int, numbers))


def add_image_options(parser: argparse.ArgumentParser) -> None:
    """Add the flags of tools that write folders of images."""
    parser.add_argument("--size", type=parse_size, metavar="W:H|min=N",
                        help="image size: min=N for a short side of N pixels, W:H for exactly this size, even if the "
                        "aspect ratio changes (default: as in the video)")  # fmt: skip
    parser.add_argument("--quality", type=_quality, default=95, metavar="Q",
                        help="quality of jpg files, 1 to 100 (default: 95)")  # fmt: skip
    parser.add_argument("--keep_dirs", action="store_true",
                        help="write to OUT/<folders of the video>/<name>, not OUT/<name>")  # fmt: skip
