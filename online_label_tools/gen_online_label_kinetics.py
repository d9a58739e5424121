"""Make the lists of Kinetics videos for online training and testing.

    python gen_online_label_kinetics.py --video_path datasets/Kinetics400 --label_path datasets/Kinetics400 -j 16

Instead of giving arguments, you can set VIDEO_PATH and label_path at the top of this file. --video_path contains
train/, val/ and test/ with videos at any depth, named {youtube_id}_{start:06d}_{end:06d}.mp4 (or .mkv, .webm, …);
--label_path contains train.csv, val.csv (or validate.csv) and test.csv. For each split that has both, these files are
written to --label_path:

    k400_train_list.txt            video_path num_frames action_cls; paths are relative to --video_path
    missing_k400_train_list.txt    clips without a usable video, each with the reason
    damaged_k400_train_list.txt    videos in the list with fewer frames than they claim, if there are any
    k400_class_names.txt           the classes in order of action_cls

A folder `replacement…` beside train/, such as CVDF's for broken videos of Kinetics-400, is searched first.

An interrupted run continues where it stopped. Several machines can share the work: --shard 1/8 … --shard 8/8. Exit
status: 0 done (clips without a video are only counted), 1 some videos cannot be read, 2 bad input.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ops import prepare
from ops.common.arguments import Parser, positive
from ops.common.console import start_logging
from ops.common.errors import InputError, run
from ops.data.dataset_configs import DATASETS
from ops.data.options import add_endings_option
from ops.prepare.options import KINETICS, VERIFY, add_job_options, job_options

VIDEO_PATH = ""  # the folder that holds train/, val/ and test/
label_path = ""  # the folder of the csv files, to which the lists are written


def make_parser() -> argparse.ArgumentParser:
    """The arguments; their defaults are the two variables above."""
    parser = Parser(description=__doc__, usage="%(prog)s [--video_path DIR --label_path DIR] [options]")
    parser.add_argument("--video_path", default=VIDEO_PATH, metavar="DIR", help="folder with train/, val/ and test/")
    parser.add_argument("--label_path", default=label_path, metavar="DIR",
                        help="folder of the csv files, and for the lists")  # fmt: skip
    parser.add_argument("--annotations", nargs="+", metavar="FILE", help="the csv files (default: in --label_path)")
    parser.add_argument("--splits", nargs="+", choices=("train", "val", "test"), metavar="SPLIT",
                        help="train, val, test (default: those with a csv file and videos)")  # fmt: skip
    parser.add_argument("--dataset", choices=tuple(KINETICS), help="default: detected from the labels")
    parser.add_argument("--class_names", metavar="FILE",
                        help="file of class names, by action_cls (default: alphabetical)")  # fmt: skip
    parser.add_argument("--num_class", type=positive, metavar="K", help="number of classes, if not the dataset's")
    add_endings_option(parser)
    parser.add_argument("--verify", choices=VERIFY, default="packets",
                        help="count frames by the file header, by packets (default) or by decoding")  # fmt: skip
    add_job_options(parser)
    return parser


def main() -> int:
    """Find the clips of the csv files, count their frames, write the lists."""
    args = make_parser().parse_args()
    if not (args.video_path and args.label_path):
        raise InputError("where are the videos and csv files? Give --video_path and --label_path, or set VIDEO_PATH "
                         f"and label_path at the top of {__file__}")  # fmt: skip
    start_logging()
    place = prepare.Source(args.video_path, "videos", DATASETS["kinetics"], args.verify, endings=args.videos_exts)
    return prepare.make_kinetics_lists(
        place, Path(args.label_path), args.annotations or [args.label_path], args.splits, args.dataset,
        args.class_names, args.num_class, job_options(args),
    )  # fmt: skip


if __name__ == "__main__":
    run(main)
