"""Explain the predictions for videos: TAM's kernels and importance, and class activation maps.

    python tools/explain.py video.mp4 --weights ckpt.best.pth.tar
    python tools/explain.py clips/ --weights ckpt.best.pth.tar --output explained --target "arm wrestling"
    python tools/explain.py --list val.txt --root_path clips --weights ckpt.best.pth.tar --max_num 200 --fix_kernels

OUTPUT/explain.html shows the results and explains how to read them. The pictures are saved beside it as PNG, and the
numbers as explain.json, explain.npz and kernels.csv. For several videos the page also shows how their kernels differ.
The exit status is 1 if some videos could not be read.
"""

import argparse
import itertools
import os
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ops import explain, models
from ops.common.arguments import Parser, add_segments_option, count, positive
from ops.common.console import start_logging
from ops.common.errors import InputError, run
from ops.common.storage import make_folder, no_empty_folders
from ops.models.weights import results_beside
from ops.predict.inputs import find_inputs, listed_inputs


def main() -> int:
    """Explain the videos."""
    args = make_parser().parse_args()
    start_logging()
    models.check_weights(args.weights)
    predictor = explain.open_explainer(
        args.weights, args.dataset, args.class_names, args.sample, args.test_segments, args.device
    )
    target = None if args.target is None else explain.find_class(args.target, predictor)
    videos = spread_over(find_videos(args, predictor.model.num_classes, predictor.class_names), args.max_num)
    options = explain.ExplainOptions(target, args.drawn, args.workers, args.fix_kernels)
    with no_empty_folders(output_folder(args)):
        return explain.explain_into(make_folder(output_folder(args)), predictor, videos, options)


def make_parser() -> argparse.ArgumentParser:
    """The parser of this tool."""
    parser = Parser(description=__doc__)
    parser.add_argument(
        "videos",
        nargs="*",
        metavar="VIDEO",
        help="a file, a folder of frames, a folder with any of these below it, or a pattern in quotes",
    )
    parser.add_argument(
        "--weights",
        required=True,
        metavar="CKPT",
        help="file, published name, address or hf:owner/name",
    )
    parser.add_argument("--list", nargs="+", default=[], metavar="FILE", help="lists as for training, besides VIDEO")
    parser.add_argument("--root_path", metavar="DIR", default="", help="folder that paths in the list are relative to")
    parser.add_argument("--max_num", type=positive, metavar="N", help="use only N videos, evenly spread over all")
    parser.add_argument("--dataset", metavar="NAME", help="dataset that the model was trained on (default: detected)")
    parser.add_argument("--class_names", metavar="FILE",
                        help="file with one class name per line (default: from the checkpoint)")  # fmt: skip
    parser.add_argument("--target", metavar="CLASS", help="class to explain, by name or number "
                        "(default: the predicted one)")  # fmt: skip
    parser.add_argument("--sample", choices=("dense", "uniform"),
                        help="how the frames of the clip are chosen (default: as in a test)")  # fmt: skip
    add_segments_option(parser, "--test_segments", type=positive, metavar="T",
                        help="frames per clip, for models without TAM")  # fmt: skip
    parser.add_argument("--fix_kernels", action="store_true",
                        help="also score the videos with the mean kernels of all of them")  # fmt: skip
    parser.add_argument("--drawn", type=count, default=8, metavar="N",
                        help="draw pictures of the first N videos (default: 8)")  # fmt: skip
    parser.add_argument("--output", metavar="DIR", help="folder for the results (default: explain/ beside the weights)")
    parser.add_argument("-j", "--workers", type=count, default=0, metavar="N", help="loader processes (default: 0)")
    parser.add_argument("--device", metavar="DEVICE", help="cpu, cuda or cuda:N (default: a GPU if there is one)")
    return parser


def find_videos(args: argparse.Namespace, num_classes: int, class_names: list[str] | None) -> "list[explain.Video]":
    """The videos given by the arguments, each once; InputError if there are none."""
    videos = []
    for found in find_inputs(args.videos, [output_folder(args)]):
        if found.reason:
            raise InputError(f"{found.path}: {found.reason}")
        videos.append(explain.Video(found.path, found.path))
    if args.list:
        for file in args.list:
            listed = listed_inputs(file, args.root_path, class_names, num_classes)
            videos += [explain.Video(video.path, video.name, video.label) for video in listed]
    elif args.root_path:
        raise InputError("--root_path can only be used with --list")
    if not videos:
        raise InputError("no videos: give files, a folder, or --list FILE --root_path DIR")
    return list({os.path.realpath(video.path): video for video in videos}.values())


def output_folder(args: argparse.Namespace) -> Path:
    """The folder for the results: `--output`, else a folder beside the weights."""
    return Path(args.output) if args.output else results_beside(args.weights, "explain")


def spread_over(videos: "list[explain.Video]", wanted: int | None) -> "list[explain.Video]":
    """`wanted` of the videos, evenly spread; all if there are no more.

    One is drawn at random from each of equal parts: with a fixed stride, lists in which classes alternate would give
    only some of the classes.
    """
    if not wanted or wanted >= len(videos):
        return videos
    rng = random.Random(0)
    ends = [place * len(videos) // wanted for place in range(wanted + 1)]
    return [videos[rng.randrange(first, last)] for first, last in itertools.pairwise(ends)]


if __name__ == "__main__":
    run(main)
