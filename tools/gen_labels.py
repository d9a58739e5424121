"""Make the lists of a dataset for training and testing, from its annotations and its frames or videos.

    python tools/gen_labels.py somethingv2 --annotations labels/ --data datasets/SomethingV2/frames
    python tools/gen_labels.py ucf101 --annotations ucfTrainTestlist/ --data UCF-101 --kind videos --split 1
    python tools/gen_labels.py folder --data clips --out lists --val_fraction 0.2

`folder` takes any clips/CLASS/…: the classes are the folders, in alphabetical order, and of each class a share is
drawn for validation. Else the lists go to where training looks for them, by default under $TAM_DATASETS:

    annotations/train.txt, val.txt     of frame folders: path num_frames label; test.txt where it is annotated
    ucf101_train_list.txt, …           of videos, likewise
    missing_train.txt, …               what the annotations name and is not there, or cannot be read, and why
    damaged_train.txt, …               what is listed though shorter than it claims, where there is such
    annotations/class_names.txt        one class per line, in order of the labels

Killed, it goes on where it was. Exit status: 0 done (what is not there is counted), 1 some files cannot be read, 2 bad
input.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ops import prepare
from ops.common.arguments import Parser, fraction, positive, seed
from ops.common.console import start_logging
from ops.common.errors import InputError, run
from ops.data.dataset_configs import dataset_config
from ops.data.options import add_endings_option, add_template_option
from ops.prepare.options import FOLDER, LISTED, VERIFY, add_job_options, job_options


def make_parser() -> argparse.ArgumentParser:
    """All arguments."""
    parser = Parser(description=__doc__, usage="%(prog)s dataset --data DIR [options]")
    parser.add_argument("dataset", choices=LISTED, metavar="dataset", help=", ".join(LISTED))
    parser.add_argument("--annotations", nargs="+", metavar="PATH", help="its files, as published, or their folder")
    parser.add_argument("--data", required=True, metavar="DIR", help="holds the frame folders or videos, at any depth")
    parser.add_argument("--out", metavar="DIR", help="for the lists (default: the dataset's place)")
    parser.add_argument("--kind", choices=("frames", "videos"), help="default: frames; for folder: videos")
    parser.add_argument("--modality", choices=("RGB", "Flow"), default="RGB", help="of the frames (default: RGB)")
    parser.add_argument("--split", type=int, choices=(1, 2, 3), default=1, help="of ucf101, hmdb51 (default: 1)")
    parser.add_argument("--class_names", metavar="FILE", help="another order of the classes")
    parser.add_argument("--num_class", type=positive, metavar="K", help="if not the dataset's number")
    add_endings_option(parser)
    add_template_option(parser)
    parser.add_argument("--val_fraction", type=fraction, default=0.2, metavar="F", help="of folder (default: 0.2)")
    parser.add_argument("--seed", type=seed, default=0, help="of that choice (default: 0)")
    parser.add_argument("--verify", choices=VERIFY, default="packets", metavar="HOW",
                        help="count by header, packets (default) or decode")  # fmt: skip
    add_job_options(parser)
    return parser


def main() -> int:
    """Read the annotations, find and count the frames, write the lists."""
    args = make_parser().parse_args()
    is_folder = args.dataset == FOLDER
    kind = args.kind or ("videos" if is_folder else "frames")
    if args.modality == "Flow" and kind == "videos":
        raise InputError("--modality Flow goes with --kind frames: videos hold no flow")
    if is_folder and not args.out:
        raise InputError("--out is needed: the folder for the lists")
    if not (is_folder or args.annotations):
        raise InputError(f"--annotations is needed: the files that {args.dataset} is published with, or their folder")
    start_logging()
    out = Path(args.out) if args.out else dataset_config(args.dataset).root()
    place = prepare.Data(
        args.data, out, kind, args.modality == "Flow", args.verify, args.videos_exts, args.frame_template
    )
    options = job_options(args)
    if is_folder:
        return prepare.make_folder_lists(place, args.val_fraction, args.seed, options)
    return prepare.make_dataset_lists(
        args.dataset, place, args.annotations, args.class_names, args.num_class, args.split, options
    )


if __name__ == "__main__":
    run(main)
