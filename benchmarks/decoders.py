"""Compare the video decoders on given videos.

    python -m benchmarks.decoders holiday.mp4 skiing.mkv --output benchmarks/results/laptop_decoders

For each video and decoder, on one thread, opening the file included: a training clip (8 frames of a window of 64, the
mean over 8 windows from the first to the last of the video) and the frames of a test (dense-10 × 8 frames). Videos
shorter than a window wrap around, as in training. Decoders take turns in the same rounds; times are medians with the
range, and ratios are relative to the default decoder. Pixels are compared with those of the default.
torchcodec and decord are measured as well if they are installed. --output NAME writes NAME.json and NAME.md.
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import av
import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.peers import Read, installed_peers, versions
from benchmarks.timing import Timing, compare, machine, milliseconds, publish, table
from ops.common.arguments import Parser, positive
from ops.common.errors import EXIT_DONE, MediaError, run
from ops.data.decoders import DECODERS
from ops.data.pyav_videos import VideoReader
from ops.data.sampling import view_indices
from ops.data.videos import open_video

SEGMENTS = 8
WINDOWS = 8
DEFAULT = next(iter(DECODERS))
HEADER = ("video", "what", "decoder", "ms", "times the default", "values that differ", "largest difference")

Clips = Sequence[NDArray[np.int64]]


@dataclass(frozen=True)
class Figure:
    """The time of one decoder for one task, in seconds; `problem` says why there are no figures.

    A fraction `share` of the values of all frames differs from the default's, by at most `largest` of 255.
    """

    video: str
    what: str
    decoder: str
    time: Timing | None = None
    ratio: float | None = None
    share: float | None = None
    largest: int | None = None
    problem: str = ""

    def cells(self) -> list[str]:
        """The cells of the table."""
        if self.time is None:
            return [self.video, self.what, self.decoder, self.problem, "", "", ""]
        pixels = [f"{100 * (self.share or 0):.2g} %", str(self.largest)]
        return [self.video, self.what, self.decoder, milliseconds(self.time), f"{self.ratio:.2f}", *pixels]


def main() -> int:
    """Measure, print and write the results."""
    args = make_parser().parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    peers, missing = installed_peers()
    for package, reason in missing.items():
        sys.stderr.write(f"{package} is not measured: {reason}\n")
    decoders = {name: partial(read, make()) for name, make in DECODERS.items()} | peers
    clock = time.process_time if args.cpu_time else time.perf_counter
    figures = [figure for path in args.videos for figure in figures_of(path, decoders, args.rounds, clock)]
    title = ", ".join([machine(torch.device("cpu")), f"OpenCV {cv2.__version__}", *versions(peers)])
    title += f"; rounds: {args.rounds}" + ("; CPU time" if args.cpu_time else "")
    text = f"{title}\n\n{table(HEADER, [figure.cells() for figure in figures])}"
    publish(text, args.output, {"title": title, "default": DEFAULT, "rows": [asdict(figure) for figure in figures]})
    return EXIT_DONE


def make_parser() -> argparse.ArgumentParser:
    """The parser of this benchmark."""
    parser = Parser(prog="python -m benchmarks.decoders", description=__doc__)
    parser.add_argument("videos", nargs="+", metavar="VIDEO", help="a video file")
    parser.add_argument("--rounds", type=positive, default=31, metavar="N", help="default: 31")
    parser.add_argument("--cpu_time", action="store_true", help="measure CPU time, for a machine that is not idle")
    parser.add_argument("--output", metavar="NAME", help="write NAME.json and NAME.md")
    return parser


def figures_of(
    path: str, decoders: Mapping[str, Read], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> list[Figure]:
    """The figures of all `decoders` for the video at `path`; MediaError if the default decoder cannot read it."""
    with open_video(path) as source:
        length = len(source)
    video = describe_video(path)
    windows = view_indices(length, SEGMENTS, f"dense-{WINDOWS}")
    test = view_indices(length, SEGMENTS, "dense-10")
    tasks = {
        "8 frames of a 64-frame window": [np.unique(window) for window in windows],
        "dense-10 × 8 frames": [np.unique(test)],
    }
    return [row for what, clips in tasks.items() for row in _rows(path, video, what, clips, decoders, rounds, clock)]


def describe_video(path: str) -> str:
    """A description of a video: codec, width × height, frames, seconds and key frames."""
    with open_video(path) as source:
        frames, seconds = len(source), source.seconds[-1]
    with av.open(path) as container:
        stream = container.streams.video[0]
        codec, bits = stream.codec.canonical_name, stream.codec_context.format.components[0].bits
        size = f"{stream.codec_context.width}×{stream.codec_context.height}"
        keys = sum(packet.is_keyframe for packet in container.demux(stream) if packet.size)
    depth = f" {bits} bits" if bits != 8 else ""
    return f"{codec}{depth} {size}, {frames} frames, {seconds:.1f} s, {keys} key frame{'s' if keys > 1 else ''}"


def _rows(
    path: str,
    video: str,
    what: str,
    clips: Clips,
    decoders: Mapping[str, Read],
    rounds: int,
    clock: Callable[[], float],
) -> list[Figure]:
    """Figures for `clips`, each of which holds the sorted frames of one read; times are per clip."""
    pixels, problems = _pixels(decoders, path, clips)
    steps: Mapping[str, Callable[[], object]] = {
        name: lambda reads=decoders[name]: [reads(path, clip) for clip in clips] for name in pixels
    }
    times = {name: timing.divided(len(clips)) for name, timing in compare(steps, rounds, clock=clock).items()}
    found = []
    for name in decoders:
        label = f"{name}, the default" if name == DEFAULT else name
        if name in problems:
            found.append(Figure(video, what, label, problem=problems[name]))
            continue
        share, largest = difference(pixels[name], pixels[DEFAULT])
        ratio = times[name].median / times[DEFAULT].median
        found.append(Figure(video, what, label, times[name], ratio, share, largest))
    return found


def _pixels(
    decoders: Mapping[str, Read], path: str, clips: Clips
) -> tuple[dict[str, list[torch.Tensor]], dict[str, str]]:
    """The frames of `clips` by decoder, and the reasons why others fail; MediaError if the default decoder fails."""
    pixels, problems = {}, {}
    for name, reads in decoders.items():
        try:
            pixels[name] = [frame for clip in clips for frame in reads(path, clip)]
        except MediaError as error:
            if name == DEFAULT:
                raise
            problems[name] = error.reason
    return pixels, problems


def read(reader: VideoReader, path: str, indices: NDArray[np.int64]) -> list[torch.Tensor]:
    """The frames at sorted `indices`, uint8 `[3, h, w]` each."""
    with reader.open(path, -1) as source:
        return [frame for _, frame in source.frames(indices.tolist())]


def difference(ours: Sequence[torch.Tensor], other: Sequence[torch.Tensor]) -> tuple[float, int]:
    """The fraction of values that differ, and the largest difference; 1 and 255 if sizes differ."""
    if any(a.shape != b.shape for a, b in zip(ours, other, strict=True)):
        return 1.0, 255
    apart = [(a.int() - b.int()).abs() for a, b in zip(ours, other, strict=True)]
    values = sum(each.numel() for each in apart)
    return sum(int((each > 0).sum()) for each in apart) / values, max(int(each.max()) for each in apart)


if __name__ == "__main__":
    run(main)
