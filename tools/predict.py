"""Predict the five best classes of each video, and print them or write them to files.

    python tools/predict.py clip.mp4 --weights ckpt.best.pth.tar
    python tools/predict.py clips/ "more/*.mkv" --weights ckpt.best.pth.tar --json all.json --csv all.csv
    python tools/predict.py film.mp4 --weights ckpt.best.pth.tar --window 64 --timeline out/ --save film_seen.mp4

Videos are scored as by online_test_models.py; with --window, by the mean of the logits of all windows, which --timeline
and --save use too (64 frames, one every 16). The exit status is 1 if some videos could not be read, 2 if none could.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ops import models, predict
from ops.common.arguments import Parser, positive
from ops.common.console import start_logging
from ops.common.errors import InputError, run
from ops.data.options import add_endings_option
from ops.data.sampling import parse_sample
from ops.predict.inputs import Video, check_distinct, find_inputs
from ops.predict.options import add_predictor_options


def main() -> int:
    """Find the videos, load the model, predict."""
    args = make_parser().parse_args()
    start_logging()
    models.check_weights(args.weights)
    folders = [folder for folder in (args.timeline, args.save) if folder and not predict.is_file_name(folder)]
    videos = find_inputs(args.videos, folders, args.videos_exts)
    if not videos:
        raise InputError(f"{args.videos[0]}: all its videos are in a folder for results; use another one for these")
    options = options_of(args, videos)
    predictor = predict.predictor_of(args)
    check_distinct(filter(None, (args.json, args.csv)), filter(None, (args.weights, args.class_names)))
    predict.check_places(videos, options)
    return predict.predict_all(predictor, videos, options)


def options_of(args: argparse.Namespace, videos: list[Video]) -> "predict.PredictOptions":
    """The results that the arguments ask for."""
    by_windows = args.window is not None or args.stride is not None
    length = args.window or predict.LENGTH
    sample = parse_sample(args.sample) if args.sample and by_windows else predict.MIDDLES
    return predict.PredictOptions(
        predict.Windows(length, args.stride or max(1, length // 4), sample),
        by_windows,
        predict.place_tables(videos, args.timeline),
        predict.place_drawings(videos, args.save),
        args.json,
        args.csv,
        args.workers,
    )


def make_parser() -> argparse.ArgumentParser:
    """The parser of this tool."""
    parser = Parser(description=__doc__, usage="%(prog)s VIDEO [VIDEO ...] --weights CKPT [options]")
    parser.add_argument("videos", nargs="+", metavar="VIDEO",
                        help="a file, a folder (all below it), or a pattern")  # fmt: skip
    add_endings_option(parser)
    group = parser.add_argument_group("results")
    group.add_argument("--json", metavar="FILE", help="write all predictions, with exact logits")
    group.add_argument("--csv", metavar="FILE", help="write all predictions, one row per video")
    group.add_argument("--save", metavar="FILE|DIR", help="write videos with predictions drawn on them")
    group.add_argument("--timeline", metavar="DIR", help="write probabilities over time as .csv and .png")
    group.add_argument("--window", type=positive, metavar="N", help="predict from windows of N frames")
    group.add_argument("--stride", type=positive, metavar="N",
                       help="start a window every N frames (default: a quarter)")  # fmt: skip
    add_predictor_options(parser)
    parser.add_argument("-j", "--workers", type=positive, default=2, metavar="N",
                        help="number of videos to read ahead (default: 2)")  # fmt: skip
    return parser


if __name__ == "__main__":
    run(main)
