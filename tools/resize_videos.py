"""Encode videos anew with a short side of 256 pixels and key frames close to each other: small, and quick to read.

    python tools/resize_videos.py VIDEOS_PATH/ -o VIDEOS_256/ -j 16
    python tools/resize_videos.py VIDEOS_PATH/ -o VIDEOS_320/ --size 320 --gop 8 --crf 20

VIDEOS_PATH is a folder, searched at any depth, or one video; OUT has the same folders, and files that end in .mp4.
Videos are H.264, upright, with all their frames at their times and without sound; smaller ones are not enlarged. A file
is whole or absent; an interrupted run goes on where it was when started again. It reports bytes per video and decode
time per training clip before and after; OUT/report.csv says what became of every video, OUT/decode_times.csv how long a
few of them take to read. The exit status is 1 if any failed.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ops import prepare
from ops.common.arguments import Parser, number, positive
from ops.common.errors import run
from ops.prepare.options import X264_PRESETS, add_job_options, add_place_options, job_options

TIMEOUT = 7200.0
_size = number(int, lambda value: 2 <= value <= 8192 and value % 2 == 0, "an even number from 2 to 8192")
_crf = number(int, lambda value: 0 <= value <= 51, "an integer from 0 to 51")


def main() -> int:
    """Resize all videos."""
    args = make_parser().parse_args()
    root, videos = prepare.locate_videos(args.videos_path, args.out_path, args.videos_exts)
    options = prepare.ResizeOptions(args.size, args.gop, args.crf, args.preset, args.upscale)
    status, lines = prepare.ResizeJob(root, videos, args.out_path, options).run(job_options(args), "videos")
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return status


def make_parser() -> argparse.ArgumentParser:
    """The parser of this tool."""
    parser = Parser(description=__doc__)
    parser.add_argument("videos_path", metavar="VIDEOS_PATH", help="a folder of videos, or one video")
    add_place_options(parser, "the new videos")
    parser.add_argument("--size", type=_size, default=256, metavar="N", help="short side in pixels (default: 256)")
    parser.add_argument("--gop", type=positive, default=16, metavar="N",
                        help="a key frame at least every N frames (default: 16); fewer: larger, quicker")  # fmt: skip
    parser.add_argument("--crf", type=_crf, default=23, metavar="Q", help="quality, 0 (best) to 51 (default: 23)")
    parser.add_argument(
        "--preset", choices=X264_PRESETS, default="veryfast", help="of x264, time for size (default: veryfast)"
    )
    parser.add_argument("--upscale", action="store_true", help="enlarge videos whose short side is below N")
    add_job_options(parser, TIMEOUT)
    return parser


if __name__ == "__main__":
    run(main)
