"""Re-encode videos with a short side of 256 pixels and frequent key frames, so that they are small and fast to read.

    python tools/resize_videos.py VIDEOS_PATH/ -o VIDEOS_256/ -j 16
    python tools/resize_videos.py VIDEOS_PATH/ -o VIDEOS_320/ --size 320 --gop 8 --crf 20

VIDEOS_PATH is a folder, searched at any depth, or one video. OUT gets the same folders, with files that end in .mp4.
They are H.264, upright, without sound, and keep all frames at their times; smaller videos are not enlarged. A file is
written completely or not at all, and an interrupted run continues where it stopped. The tool prints the bytes per video
and the decode time per training clip before and after. OUT/report.csv lists the result for every video, and
OUT/decode_times.csv how long a few of them take to read. The exit status is 1 if any failed.
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
                        help="key frame every N frames or less (default: 16); smaller: faster to read")  # fmt: skip
    parser.add_argument("--crf", type=_crf, default=23, metavar="Q", help="quality, 0 (best) to 51 (default: 23)")
    parser.add_argument("--preset", choices=X264_PRESETS, default="veryfast", help="x264 preset (default: veryfast)")
    parser.add_argument("--upscale", action="store_true", help="enlarge videos whose short side is below N")
    add_job_options(parser, TIMEOUT)
    return parser


if __name__ == "__main__":
    run(main)
