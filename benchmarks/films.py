"""Measure the bytes read and the CPU time for a clip of a long film, compared with the short video that it repeats.

    python benchmarks/films.py clip.mp4
    python benchmarks/films.py clip.mp4 --against ../older-checkout --output benchmarks/results/cpu_films

The packets of the video are repeated to a film of --hours; the video is also re-encoded with the default settings of
tools/resize_videos.py. Training clips are 8 frames of a window of 64, at random places; a test sample is dense-10 × 3
crops. Each is read by one process and one thread, --clips times after a first read, so that the index that a process
keeps of a video is used, as from the second epoch on or with an index file beside the list. With --against, another
checkout takes turns. Times are medians over rounds with the range. --output NAME writes NAME.json and NAME.md.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.processes import ROOT, cost_of, other_checkout, spread
from ops.common.arguments import Parser, positive
from ops.common.errors import EXIT_DONE, run

HEADER = ("what", "figure", "this checkout", "other", "ratio", "target")
CLIP, SMALL, FILM, SAMPLE = "clip of 10 s", "re-encoded clip", "film", "test sample, re-encoded"

WORKER = """
import os, sys, time
root, clips, *files = sys.argv[1:]
sys.path.insert(0, root)
import numpy as np
import torch
from ops.common.string_array import StringArray
from ops.data.datasets import ClipDataset
from ops.data.decoders import DECODERS
from ops.data.lists import Records
from ops.data.pipelines import ClipShape, choose_views, test_plan_for, training_pipeline
from ops.data.sampling import parse_sample
from ops.data.views import load_views

torch.set_num_threads(1)
shape = ClipShape(8, "RGB", 224)
reader = DECODERS["pyav"]()
pipeline = training_pipeline(shape, dense=True, mirror=True, partners=np.arange(1))
plan = test_plan_for(shape, 3, full_res=True)

def bytes_read():
    return int(open("/proc/self/io").readline().split()[1]) if os.path.exists("/proc/self/io") else 0

def measure(path, times, step):
    step(0)
    before, began = bytes_read(), time.process_time()
    for number in range(times):
        step(number + 1)
    seconds = (time.process_time() - began) / times
    print(seconds, (bytes_read() - before) / times / os.path.getsize(path))

for path in files:
    records = Records("", StringArray([path]), np.array([[-1, 0, 1]], np.int32), "")
    dataset = ClipDataset(records, "", reader, pipeline, seed=0, substitute=False)
    measure(path, int(clips), lambda number: dataset[number, 0])
choose = lambda count: choose_views(count, [8], parse_sample("dense-10"), 1)
measure(files[1], 3, lambda number: load_views(reader, files[1], -1, choose, plan))
"""
"""Prints CPU seconds and shares of the file's bytes, for a training clip of each file and a test sample of the second.
"""

Figures = dict[str, tuple[float, float]]
"""What is read → CPU seconds and share of the file's bytes."""


def main() -> int:
    """Measure, print and write the results."""
    args = make_parser().parse_args()
    other = other_checkout(args.against)
    from benchmarks.timing import machine, publish, table

    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        files = make_files(args.video, Path(folder), args.hours)
        ours: list[Figures] = []
        theirs: list[Figures] = []
        for _ in range(args.rounds):
            ours.append(measured(ROOT, files, args.clips))
            if other:
                theirs.append(measured(other, files, args.clips))
    import torch

    title = f"{machine(torch.device('cpu'))}; a film of {args.hours} h; median of {args.rounds} rounds (range)"
    text = f"{title}\n\n{table(HEADER, rows_of(ours, theirs))}"
    publish(text, args.output, {"title": title, "ours": ours, "other": theirs})
    return EXIT_DONE


def make_parser() -> argparse.ArgumentParser:
    """The parser of this benchmark."""
    parser = Parser(prog="python benchmarks/films.py", description=__doc__)
    parser.add_argument("video", help="an MP4 file of about ten seconds")
    parser.add_argument("--against", metavar="DIR", help="another checkout")
    parser.add_argument("--hours", type=float, default=2, metavar="H", help="length of the film (default: 2)")
    parser.add_argument("--clips", type=positive, default=20, metavar="N", help="training clips a round (default: 20)")
    parser.add_argument("--rounds", type=positive, default=5, metavar="N", help="default: 5")
    parser.add_argument("--folder", metavar="DIR", help="where the film is made (default: the system's for such files)")
    parser.add_argument("--output", metavar="NAME", help="write NAME.json and NAME.md")
    return parser


def make_files(video: str, folder: Path, hours: float) -> list[str]:
    """Make the re-encoded video and the film; returns the paths of the original, the re-encoded video and the film."""
    from ops.prepare.resize_video import ResizeOptions, resize_video

    resize_video(video, "small.mp4", str(folder), ResizeOptions())
    join(video, folder / "film.mp4", hours * 3600)
    return [video, str(folder / "small.mp4"), str(folder / "film.mp4")]


def join(video: str, path: Path, seconds: float) -> None:
    """Repeat the packets of the first video stream until the film is `seconds` long."""
    import av

    with av.open(video) as source, av.open(str(path), "w") as target:
        stream = source.streams.video[0]
        out = target.add_stream_from_template(stream)
        facts = [(bytes(each), each.pts, each.dts, each.duration, each.is_keyframe)
                 for each in source.demux(stream) if each.size]  # fmt: skip
        span = sum(duration for *_, duration, _ in facts)
        for start in range(0, int(seconds / stream.time_base), span):
            for data, pts, dts, duration, is_key in facts:
                packet: Any = av.Packet(data)
                packet.pts, packet.dts, packet.duration = pts + start, dts + start, duration
                packet.time_base, packet.is_keyframe, packet.stream = stream.time_base, is_key, out
                target.mux(packet)


def measured(root: Path, files: Sequence[str], clips: int) -> Figures:
    """The figures of a checkout in one round."""
    command = [sys.executable, "-c", WORKER, str(root), str(clips), *files]
    numbers = [float(number) for number in cost_of(command).printed.split()]
    return dict(zip((CLIP, SMALL, FILM, SAMPLE), zip(numbers[::2], numbers[1::2], strict=True), strict=True))


def rows_of(ours: Sequence[Figures], theirs: Sequence[Figures]) -> list[tuple[str, ...]]:
    """The rows of the table."""
    rows = []
    for what, target in ((CLIP, ""), (SMALL, "≤ 0.75"), (FILM, ""), (SAMPLE, "≤ 0.90")):
        own, other = ([each[what][0] for each in figures] for figures in (ours, theirs))
        ratio = f"{statistics.median(own) / statistics.median(other):.2f}" if other else ""
        times = (spread([1e3 * seconds for seconds in each], 1) for each in (own, other))
        rows.append((what, "CPU, ms", *times, ratio, target if other else ""))
    for what, target in ((CLIP, "≤ 0.6"), (FILM, "≤ 0.01")):
        own, other = ([each[what][1] for each in figures] for figures in (ours, theirs))
        rows.append((what, "bytes / file", *(f"{statistics.median(each):.4f}" if each else "" for each in (own, other)),
                     "", target))  # fmt: skip
    shares = [[each[FILM][0] / each[CLIP][0] for each in figures] for figures in (ours, theirs)]
    rows.append(("film / clip of 10 s", "CPU", *(f"{statistics.median(each):.2f}" if each else "" for each in shares),
                 "", "≤ 1.3"))  # fmt: skip
    return rows


if __name__ == "__main__":
    run(main)
