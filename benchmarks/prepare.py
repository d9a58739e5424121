"""Measure the cost of preparing videos: reading, extracting, the pool, and memory.

    python benchmarks/prepare.py
    python benchmarks/prepare.py --videos ~/kinetics/val --output prepare

Times are for one core, without the pool: the median over --repeats rounds with the range, after a warm-up round. Every
round runs all measurements in turn, so that a slower machine affects all of them. They are compared with a plain
decode, which is PyAV's own loop over the frames. The videos are synthetic (340 x 256, 300 frames, H.264, 2 key frames),
or up to --count of those below --videos. Memory is measured on a simulated list of --simulate videos.
--output NAME writes NAME.json and NAME.md.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import av
import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.timing import machine, publish
from ops.common.arguments import Parser, count, positive
from ops.common.errors import EXIT_DONE, InputError, run
from ops.data.file_search import find_videos
from ops.prepare.check_video import check_video
from ops.prepare.count_frames import probe_video
from ops.prepare.executors import Task, run_tasks
from ops.prepare.extract_frames import FrameOptions, extract_video

KINETICS = 300_000
CORES = 16
SIZE = (256, 340)
FRAMES = 300
PLAIN = "plain decode"

Row = dict[str, Any]


def main() -> int:
    """Measure, print and write the tables."""
    args = make_parser().parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        videos = (
            list(find_sample(args.videos, args.count))
            if args.videos
            else [draw_video(Path(folder, f"drawn_{seed}.mp4"), seed) for seed in range(args.count)]
        )
        overhead = pool_overhead(args.pool_items, args.jobs)
        rows = compare(measurements(Path(folder)), videos, args.repeats, overhead["per_item"])
        size = float(np.mean([os.stat(video).st_size for video in videos]))
    source = f"videos of {args.videos}" if args.videos else "drawn videos"
    title = f"{machine(torch.device('cpu'))}; {len(videos)} {source}, {size / 1000:.0f} kB on average"
    memory = simulate_apart(args.simulate) if args.simulate else {}
    text = describe(title, rows, overhead, args.jobs, memory)
    facts = {"title": title, "rows": rows, "pool": overhead, "memory": memory}
    publish(text, args.output, facts)
    return EXIT_DONE


def make_parser() -> argparse.ArgumentParser:
    """The parser of this benchmark."""
    parser = Parser(description=__doc__)
    parser.add_argument("--videos", metavar="DIR", help="real videos (default: synthetic ones)")
    parser.add_argument("--count", type=positive, default=6, metavar="N", help="videos (default: 6)")
    parser.add_argument("--repeats", type=positive, default=7, metavar="N", help="rounds (default: 7)")
    parser.add_argument("-j", "--jobs", type=positive, default=os.cpu_count() or 1, metavar="N",
                        help="processes of the pool (default: one per core)")  # fmt: skip
    parser.add_argument("--pool_items", type=positive, default=5000, metavar="N", help="default: 5000")
    parser.add_argument("--simulate", type=count, default=650_000, metavar="N", help="default: 650000; 0: leave it out")
    parser.add_argument("--output", metavar="NAME", help="write NAME.json and NAME.md")
    return parser


def draw_video(path: Path, seed: int) -> str:
    """A video similar to those of Kinetics: a textured, panning scene with moving objects."""
    rng = np.random.default_rng(seed)
    texture = cv2.GaussianBlur(rng.integers(0, 256, (SIZE[0] + 80, SIZE[1] + 400, 3), np.uint8), (0, 0), 2)
    scene: NDArray[np.uint8] = np.interp(texture, (texture.min(), texture.max()), (0, 255)).astype(np.uint8)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=30)
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        stream.codec_context.gop_size, stream.codec_context.thread_count = FRAMES // 2, 1
        stream.codec_context.options = {"sc_threshold": "0", "preset": "veryfast", "crf": "23"}
        for index in range(FRAMES):
            left, top = index + seed, int(40 + 30 * np.sin(index / 25))
            picture = scene[top : top + SIZE[0], left : left + SIZE[1]].copy()
            for way in range(3):
                centre = (int(170 + 120 * np.sin(index / (17 + 7 * way))), int(128 + 90 * np.cos(index / 23 + way)))
                cv2.circle(picture, centre, 24, (90 * way, 255 - 80 * way, 128), -1, cv2.LINE_AA)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode(None))
    return str(path)


def find_sample(folder: str, number: int) -> Iterator[str]:
    """At most `number` videos below a folder, evenly spread over all; InputError if there are none."""
    found = find_videos(folder)
    if not len(found):
        raise InputError(f"--videos {folder}: contains no videos")
    for place in np.linspace(0, len(found) - 1, min(number, len(found))).astype(int):
        yield os.path.join(folder, found[int(place)])


def measurements(folder: Path) -> dict[str, Callable[[str], object]]:
    """The steps to measure, each of which is a function of the path of a video."""

    def extract(path: str, extension: str) -> None:
        with tempfile.TemporaryDirectory(dir=folder) as out:
            extract_video(path, os.path.basename(path), out, FrameOptions(extension))

    return {
        PLAIN: plain_decode,
        "header": lambda path: probe_video(path, "", "header"),
        "packets": lambda path: probe_video(path, "", "packets"),
        "decode": lambda path: probe_video(path, "", "decode"),
        "check, ends": lambda path: check_video(path, "", "ends"),
        "extract, jpg": lambda path: extract(path, "jpg"),
        "extract, png": lambda path: extract(path, "png"),
    }


def plain_decode(path: str) -> int:
    """Decode every frame of a video with PyAV's own loop, on one thread."""
    with av.open(path) as container:
        container.streams.video[0].thread_count = 1
        return sum(1 for _ in container.decode(video=0))


def compare(
    steps: dict[str, Callable[[str], object]], videos: Sequence[str], repeats: int, handing: float
) -> list[Row]:
    """Seconds per video of each step: median, minimum and maximum over the rounds, and figures derived from the median.

    The rate is limited by the pool, which needs `handing` seconds to distribute one video.
    """
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(repeats + 1):
        for name, step in steps.items():
            began = time.perf_counter()
            for video in videos:
                step(video)
            if number:  # the first round only warms up
                seconds[name].append((time.perf_counter() - began) / len(videos))
    plain = float(np.median(seconds[PLAIN]))
    rows = []
    for name, times in seconds.items():
        median = float(np.median(times))
        rows.append({
            "step": name, "seconds": median, "least": min(times), "most": max(times), "per_second": 1 / median,
            "ratio": median / plain, "hours": KINETICS * max(median / CORES, handing) / 3600,
        })  # fmt: skip
    return rows


def nothing(path: str, item: str) -> dict[str, Any]:
    """Process an item in no time."""
    return {}


def pool_overhead(items: int, jobs: int) -> dict[str, float]:
    """Seconds until the pool returns its first result, and seconds per item for `items` more."""
    began = time.perf_counter()
    results = run_tasks(nothing, (Task("", str(number), "") for number in range(items + 1)), "local", jobs, 60)
    next(results)
    start = time.perf_counter() - began
    began = time.perf_counter()
    done = sum(1 for _ in results)
    return {"start": start, "per_item": (time.perf_counter() - began) / done}


def simulate_apart(videos: int) -> dict[str, float]:
    """The results of benchmarks/scale.py, run in its own process so that only its memory is measured."""
    script = Path(__file__).with_name("scale.py")
    done = subprocess.run([sys.executable, str(script), str(videos)], capture_output=True, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def describe(title: str, rows: Sequence[Row], overhead: dict[str, float], jobs: int, memory: dict[str, float]) -> str:
    """All results as Markdown."""
    lines = [
        title,
        "",
        f"| step | ms per video | range | videos/s/core | of the plain decode | {KINETICS:,} videos, {CORES} cores |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        low, middle, high = (1000 * row[key] for key in ("least", "seconds", "most"))
        cells = (row["step"], f"{middle:.2f}", f"{low:.2f}–{high:.2f}", f"{row['per_second']:.1f}",
                 f"{row['ratio']:.3f}", _duration(row["hours"]))  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    start, each = overhead["start"], 1e6 * overhead["per_item"]
    lines += ["", f"Pool of {jobs}: first result after {start:.1f} s, then {each:.0f} µs per item without its work"]
    if memory:
        lines += [
            "",
            "Simulated list of {videos:,} videos: {job_bytes:.0f} bytes of memory per video for a job and "
            "{all_bytes:.0f} with a check of the list, {peak_mib:.0f} MiB in all; job {job_seconds:.0f} s, resuming it "
            "{resume_seconds:.0f} s, check {check_seconds:.0f} s".format(**memory),
        ]
    return "\n".join(lines) + "\n"


def _duration(hours: float) -> str:
    return f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.1f} min"


if __name__ == "__main__":
    run(main)
