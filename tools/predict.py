"""Predict the best classes of each video, and print them or write them to files.

    python tools/predict.py clip.mp4 frames/clip1 "more/*.mkv" --weights ckpt.best.pth.tar --json all.json --csv all.csv
    python tools/predict.py --list val.txt --root_path clips --weights ckpt.best.pth.tar

Scores are those of a test in the same --runtime, or means over windows. Exit status: 1 if some, 2 if no video is read.
"""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ops import models, predict
from ops.common.arguments import Parser, fraction, positive
from ops.common.console import start_logging
from ops.common.errors import InputError, run
from ops.common.storage import no_empty_folders
from ops.data.class_names import read_class_names
from ops.data.options import add_endings_option
from ops.data.sampling import parse_sample
from ops.predict.inputs import Video, check_distinct, find_inputs, listed_inputs
from ops.predict.options import add_predictor_options


def main() -> int:
    """Find the videos, load the model, and predict."""
    args = make_parser().parse_args()
    start_logging()
    models.check_weights(args.weights)
    folders = [folder for folder in (args.timeline, args.save) if folder and not predict.is_file_name(folder)]
    if args.root_path and not args.list:
        raise InputError("--root_path can only be used with --list")
    if not (args.videos or args.list):
        raise InputError("no videos: give files, folders, or --list FILE --root_path DIR")
    names = read_class_names(args.class_names) if args.class_names and args.list else None
    listed = [video for file in args.list for video in listed_inputs(file, args.root_path, names)]
    videos = [*find_inputs(args.videos, folders, args.videos_exts), *listed]
    videos = list({os.path.normpath(video.path): video for video in videos}.values())
    if not videos:
        raise InputError(f"{args.videos[0]}: all its videos are in a folder for results; use another one for these")
    options = options_of(args, videos)
    predictor = predict.predictor_of(args)
    check_distinct(filter(None, (args.json, args.csv)), filter(None, (args.weights, args.class_names)))
    results = [*options.tables.values(), *options.drawings.values(), *filter(None, (args.json, args.csv))]
    with no_empty_folders(*(Path(result).parent for result in results)):
        predict.check_places(videos, options)
        if args.runtime == "auto":
            predictor = predictor.in_runtime("auto", predict.expected_clips(predictor, videos, options))
        return predict.predict_all(predictor, videos, options)


def options_of(args: argparse.Namespace, videos: list[Video]) -> "predict.PredictOptions":
    """The results that the arguments ask for."""
    by_windows = args.window is not None or args.stride is not None
    length = args.window or predict.LENGTH
    sample = parse_sample(args.sample) if args.sample and by_windows else predict.MIDDLES
    return predict.PredictOptions(
        predict.Windows(length, args.stride or predict.default_stride(length), sample),
        by_windows,
        predict.place_tables(videos, args.timeline),
        predict.place_drawings(videos, args.save),
        args.json,
        args.csv,
        args.workers,
        args.topk,
        args.threshold,
    )


def make_parser() -> argparse.ArgumentParser:
    """The parser of this tool."""
    parser = Parser(description=__doc__, usage="%(prog)s VIDEO [VIDEO ...] --weights CKPT [options]")
    parser.add_argument("videos", nargs="*", metavar="VIDEO",
                        help="a file, frame folder, folder of these, or pattern")  # fmt: skip
    parser.add_argument("--list", nargs="+", default=[], metavar="FILE", help="lists as for training, besides VIDEO")
    parser.add_argument("--root_path", default="", metavar="DIR", help="folder that paths in lists are relative to")
    add_endings_option(parser)
    group = parser.add_argument_group("results")
    group.add_argument("--json", metavar="FILE", help="write all predictions, with exact logits")
    group.add_argument("--csv", metavar="FILE", help="write all predictions, one row per video")
    group.add_argument("--topk", type=positive, metavar="K", help="classes to print and write (default: 5)")
    group.add_argument("--threshold", type=fraction, metavar="P",
                       help="print classes from P on (several labels: 0.5)")  # fmt: skip
    group.add_argument("--save", metavar="FILE|DIR", help="write videos with predictions drawn on them")
    group.add_argument("--timeline", metavar="DIR", help="write probabilities over time as .csv and .png")
    group.add_argument(
        "--window", type=positive, metavar="N", help="predict from windows of N frames (64 for drawings)"
    )
    group.add_argument("--stride", type=positive, metavar="N",
                       help="start a window every N frames (default: a quarter)")  # fmt: skip
    add_predictor_options(parser)
    parser.add_argument("-j", "--workers", type=positive, default=2, metavar="N",
                        help="number of videos to read ahead (default: 2)")  # fmt: skip
    return parser


if __name__ == "__main__":
    run(main)
