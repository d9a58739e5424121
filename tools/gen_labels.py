"""Make the lists of a dataset for training and testing from its annotations and its frames or videos.

    python tools/gen_labels.py somethingv2 --annotations labels/ --data datasets/SomethingV2/frames
    python tools/gen_labels.py ucf101 --annotations ucfTrainTestlist/ --data UCF-101 --kind videos --split 1
    python tools/gen_labels.py folder --data clips --out lists --val_fraction 0.2

`folder` is one folder per class, or train and val with these, or --annotations FILE of paths and labels (list or CSV).
Lists of the other datasets go where training looks for them, by default under $TAM_DATASETS:

    annotations/train.txt, val.txt     frame folders: path num_frames label; also test.txt if it is annotated
    ucf101_train_list.txt, …           videos: path num_frames label; with the index of the videos as LIST.index
    missing_train.txt, …               annotated videos that are missing or cannot be read, with the reason
    damaged_train.txt, …               listed videos with fewer frames than they claim, if there are any
    annotations/class_names.txt        one class per line, in order of the labels

An interrupted run continues. Exit status: 0 done, 1 some files cannot be read, 2 bad input.
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
    parser.add_argument("--annotations", nargs="+", metavar="PATH",
                        help="annotation files as published, or their folder")  # fmt: skip
    parser.add_argument("--data", required=True, metavar="DIR",
                        help="folder of the frame folders or videos")  # fmt: skip
    parser.add_argument("--out", metavar="DIR", help="folder for the lists (default: the dataset's)")
    parser.add_argument("--kind", choices=("frames", "videos"), help="default: frames (for `folder`: videos)")
    parser.add_argument("--modality", choices=("RGB", "Flow"), default="RGB", help="kind of frames (default: RGB)")
    parser.add_argument("--split", type=int, choices=(1, 2, 3), default=1,
                        help="split of ucf101 or hmdb51 (default: 1)")  # fmt: skip
    parser.add_argument("--class_names", metavar="FILE", help="file that sets another order of the classes")
    parser.add_argument("--num_class", type=positive, metavar="K", help="number of classes, if not the dataset's")
    add_endings_option(parser)
    add_template_option(parser)
    parser.add_argument("--val_fraction", type=fraction, default=0.2, metavar="F",
                        help="validation share of folder (default: 0.2)")  # fmt: skip
    parser.add_argument("--keep_split", action="store_true",
                        help="keep the split of earlier lists of folder")  # fmt: skip
    parser.add_argument("--seed", type=seed, default=0, help="seed of the validation draw (default: 0)")
    parser.add_argument("--verify", choices=VERIFY, default="packets", metavar="HOW",
                        help="count by header, packets (default) or decode")  # fmt: skip
    add_job_options(parser)
    return parser


def single_list(annotations: list[str] | None) -> str | None:
    """The list of paths and labels that --annotations gives for the dataset `folder`."""
    if annotations and (len(annotations) > 1 or Path(annotations[0]).is_dir()):
        raise InputError("--annotations must be a single file for the dataset folder: a list of paths and labels")
    return annotations[0] if annotations else None


def main() -> int:
    """Read the annotations, find and count the frames, write the lists."""
    args = make_parser().parse_args()
    is_folder = args.dataset == FOLDER
    kind = args.kind or ("videos" if is_folder else "frames")
    if args.modality == "Flow" and kind == "videos":
        raise InputError("--modality Flow needs --kind frames, because videos contain no flow")
    if is_folder and not args.out:
        raise InputError("--out, the folder for the lists, is required")
    if not (is_folder or args.annotations):
        raise InputError(f"--annotations is required: the published files of {args.dataset}, or their folder")
    start_logging()
    out = Path(args.out) if args.out else dataset_config(args.dataset).root()
    place = prepare.Data(
        args.data, out, kind, args.modality == "Flow", args.verify, args.videos_exts, args.frame_template
    )
    options = job_options(args)
    if is_folder:
        labels = single_list(args.annotations)
        division = prepare.Division(args.val_fraction, args.seed, args.keep_split, labels, args.class_names)
        return prepare.make_folder_lists(place, division, options)
    return prepare.make_dataset_lists(
        args.dataset, place, args.annotations, args.class_names, args.num_class, args.split, options
    )


if __name__ == "__main__":
    run(main)
