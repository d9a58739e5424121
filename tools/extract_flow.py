"""Write the optical flow of videos, or of folders of frames, as images for training with Flow.

    python tools/extract_flow.py VIDEOS_PATH/ -o DATASETS_PATH/flow/ -j 16 --size min=256
    python tools/extract_flow.py FRAMES_PATH/ -o DATASETS_PATH/flow/ --kind frames --dataset something

OUT/<name>/flow_x_00001.jpg and flow_y_00001.jpg contain the motion from frame 1 to frame 2: 128 means no motion, 0
--bound pixels to the left or up, 255 as many to the right or down: round((motion + bound) * 255 / (2 * bound)).
There are as many flow images as frames (the last one is repeated), so the list of the RGB frames can be used: python
main.py custom Flow --root_path OUT --train_list LIST. (Lists of `something` count the images of x and y separately.)
A folder is written completely or not at all, and an interrupted run continues where it stopped. OUT/report.csv lists
the result for every video. The exit status is 1 if any failed.
"""

import argparse
import os
import sys
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ops import data, prepare
from ops.common.arguments import Parser, above_zero
from ops.common.errors import run
from ops.data.dataset_configs import DATASETS
from ops.data.options import add_template_option
from ops.prepare.options import (
    FLOW_METHODS,
    FLOW_PRESETS,
    add_image_options,
    add_job_options,
    add_place_options,
    job_options,
)

TIMEOUT = 7200.0


def main() -> int:
    """Extract the flow of all videos or frame folders."""
    args = make_parser().parse_args()
    frames = args.kind == "frames"
    if frames:
        root, items = prepare.locate_frame_folders(args.path, args.out_path)
    else:
        root, items = prepare.locate_videos(args.path, args.out_path, args.videos_exts)
    template = DATASETS[args.dataset].flow
    options = prepare.FlowOptions(
        args.method, args.preset, template, args.bound, args.size, args.quality, args.keep_dirs
    )
    name_of = partial(prepare.image_folder, keep_dirs=args.keep_dirs, is_folder=frames)
    settings = {"tool": "extract_flow", **asdict(options)}
    del settings["frames"], settings["named"]  # the same settings as in earlier versions
    if args.frame_template:
        config = DATASETS["custom"].with_template(args.frame_template)
        config.check_template(["RGB"] if frames else [])
        data.common_template((os.path.join(root, item) for item in items), config.rgb, flow=False, named=True)
        options = replace(options, frames=config.rgb, named=True)
        settings |= {"frames": config.rgb, "named": True}
    job = prepare.ImageJob(
        partial(prepare.extract_flow, options=options), root, items, args.out_path, name_of, template, settings
    )
    status, lines = job.run(job_options(args), "flow")
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return status


def make_parser() -> argparse.ArgumentParser:
    """The parser of this tool."""
    parser = Parser(description=__doc__, usage="%(prog)s PATH -o OUT [options]")
    parser.add_argument("path", metavar="PATH", help="a folder of videos or of frame folders, or a single one")
    add_place_options(parser, "the folders of flow")
    parser.add_argument(
        "--kind", choices=("videos", "frames"), default="videos", help="what PATH contains (default: videos)"
    )
    parser.add_argument("--dataset", choices=DATASETS, default="custom", metavar="NAME",
                        help=f"name files as in this dataset: {', '.join(DATASETS)} (default: custom)")  # fmt: skip
    parser.add_argument("--method", choices=FLOW_METHODS, default="dis", help="algorithm: DIS (default) or Farnebäck")
    parser.add_argument(
        "--preset", choices=FLOW_PRESETS, default="medium", help="speed or accuracy of DIS (default: medium)"
    )
    parser.add_argument("--bound", type=above_zero, default=20.0, metavar="PIXELS",
                        help="clip motion at this many pixels (default: 20)")  # fmt: skip
    add_template_option(parser)
    add_image_options(parser)
    add_job_options(parser, TIMEOUT)
    return parser


if __name__ == "__main__":
    run(main)
