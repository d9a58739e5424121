"""Write the frames of videos as images: OUT/<name of the video>/img_00001.jpg and so on.

    python tools/extract_frames.py VIDEOS_PATH/ -o DATASETS_PATH/frames/ -j 16 --out_ext png
    python tools/extract_frames.py VIDEOS_PATH/ -o DATASETS_PATH/frames/ --size min=256 --keep_dirs

VIDEOS_PATH is a folder, searched at any depth, or one video. A folder of frames is written completely or not at all,
and an interrupted run continues where it stopped. OUT/report.csv lists the result for every video: done, cut short (the
frames that can be read are kept) or failed. The exit status is 1 if any failed.
"""

import argparse
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ops import prepare
from ops.common.arguments import Parser, positive
from ops.common.errors import run
from ops.prepare.options import FORMATS, add_image_options, add_job_options, add_place_options, job_options

TIMEOUT = 7200.0


def main() -> int:
    """Extract the frames of all videos."""
    args = make_parser().parse_args()
    root, videos = prepare.locate_videos(args.videos_path, args.out_path, args.videos_exts)
    options = prepare.FrameOptions(args.out_ext, args.interval, args.size, args.quality, args.keep_dirs)
    name_of = partial(prepare.image_folder, keep_dirs=args.keep_dirs)
    settings = {"tool": "extract_frames", **asdict(options)}
    job = prepare.ImageJob(
        partial(prepare.extract_video, options=options),
        root,
        videos,
        args.out_path,
        name_of,
        options.template,
        settings,
    )
    status, lines = job.run(job_options(args), "frames")
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return status


def make_parser() -> argparse.ArgumentParser:
    """The parser of this tool."""
    parser = Parser(description=__doc__)
    parser.add_argument("videos_path", metavar="VIDEOS_PATH", help="a folder of videos, or one video")
    add_place_options(parser, "the folders of frames")
    parser.add_argument("--out_ext", choices=FORMATS, default="jpg",
                        help="image format: jpg (default), or png or bmp without loss")  # fmt: skip
    parser.add_argument("-i", "--interval", type=positive, default=1, metavar="N",
                        help="keep every N-th frame, starting with the first (default: 1)")  # fmt: skip
    add_image_options(parser)
    add_job_options(parser, TIMEOUT)
    return parser


if __name__ == "__main__":
    run(main)
