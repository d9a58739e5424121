"""Check the lists of a dataset, and all files that they name, before training.

    python tools/check_dataset.py kinetics --kind videos -j 16
    python tools/check_dataset.py somethingv2 --decode full --write_clean
    python tools/check_dataset.py custom --train_list train.txt --val_list val.txt --root_path videos/ --num_class 5

The flags are those of training. The check covers whether each path exists and can be read, its number of frames, the
names of frames, labels, videos too short for the sampling, videos that are listed twice or in two lists, and classes
without videos. It prints a summary and writes to --output: report.json, problems.csv (every problem with its list and
line) and, with --write_clean, lists without the bad lines. Beside each list of videos it writes NAME.index, with which
training and tests read only the parts of videos that they need. It changes no video and no list. An interrupted check
continues where it stopped. Exit status: 0 no errors (there may be warnings), 1 errors were found, 2 bad input.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ops import prepare
from ops.common.arguments import Parser, add_segments_option, class_count, positive
from ops.common.console import start_logging
from ops.common.errors import EXIT_DONE, EXIT_WITH_FAILURES, InputError, run
from ops.common.storage import check_writable, make_folder
from ops.data.dataset_configs import DATASETS, DatasetConfig
from ops.data.open_lists import dataset_of, given_list
from ops.data.options import add_template_option
from ops.data.sampling import DENSE_WINDOW
from ops.prepare.options import DECODE, KINDS, SPLITS, add_job_options, job_options


def main() -> int:
    """Check, and print the result; returns the exit status."""
    args = make_parser().parse_args()
    start_logging()
    config = dataset_of(args)
    dense = args.dense_sample or config.dense
    if dense and args.num_segments > DENSE_WINDOW:
        raise InputError(f"--num_segments ({args.num_segments}) must be at most {DENSE_WINDOW} with dense sampling")
    files = {split: getattr(args, f"{split}_list") for split in SPLITS}
    for file in filter(None, files.values()):
        given_list(file)
    dataset = prepare.open_dataset(
        config, args.modality, args.kind, files, args.root_path, args.num_class, args.class_names,
        args.multi_label,
    )  # fmt: skip
    first = next(iter(dataset.lists.values()))
    folder = make_folder(args.output or Path(first.source).parent / "check")
    return check(args, config, dataset, dense, folder)


def check(
    args: argparse.Namespace, config: DatasetConfig, dataset: "prepare.Dataset", dense: bool, folder: Path
) -> int:
    """Check every entry, then write the results to `folder`; returns the exit status."""
    rules = {
        split: prepare.rules_of(dataset, config, split, args.decode, args.num_segments, dense)
        for split in dataset.lists
    }
    entries = prepare.Entries(list(dataset.lists.values()))
    work, settings = dataset.work(args.decode)
    unit = "folder" if dataset.kind == "frames" else "video"
    written = prepare.WrittenFiles(folder)
    clean_paths = prepare.clean_lists(folder, dataset.lists) if args.write_clean else []
    for path in clean_paths:  # a list's name can be too long with the new ending
        check_writable(path)
    written.check([folder / "problems.csv", folder / "report.json", *clean_paths])
    with prepare.Job(work, entries, dataset.root, folder, settings, job_options(args), unit=unit) as job:
        if not job.run("checking"):
            sys.stdout.write("this shard is done, but others are not; the last one to finish writes the report\n")
            return EXIT_DONE
        with prepare.open_findings(folder / "problems.csv", written) as findings:
            lists = prepare.find_problems(dataset, entries, rules, job.outcome, findings)
        if dataset.kind == "frames":
            job.forget()
        asked = {"dataset": config.name, "modality": args.modality, "kind": dataset.kind, "root": dataset.root,
                 "decode": args.decode, "num_segments": args.num_segments, "dense": dense}  # fmt: skip
        prepare.write_report(folder / "report.json", lists, dataset.num_classes, findings, asked, written)
        clean = prepare.write_clean_lists(folder, lists, written) if args.write_clean else []
        written.add([folder / "problems.csv", folder / "report.json", *clean])
        if dataset.kind == "videos":
            prepare.write_indexes(lists, clean, job.outcome)
        sys.stdout.write(prepare.summary(lists, dataset.num_classes, findings, folder))
        sys.stdout.write("".join(f"good lines: {path}\n" for path in clean))
    return EXIT_WITH_FAILURES if findings.total(prepare.ERROR) else EXIT_DONE


def make_parser() -> argparse.ArgumentParser:
    """The parser of this tool."""
    parser = Parser(description=__doc__, usage="%(prog)s [options] dataset [{RGB,Flow}]")
    parser.add_argument("dataset", metavar="dataset", help=f"one of {', '.join(DATASETS)}")
    parser.add_argument("modality", nargs="?", choices=("RGB", "Flow"), default="RGB", help="default: RGB")
    group = parser.add_argument_group("data (as in training)")
    group.add_argument("--kind", choices=KINDS, help="what the lists contain (default: detected)")
    for split in SPLITS:
        default = "default: none" if split == "test" else "default: under $TAM_DATASETS"
        group.add_argument(f"--{split}_list", metavar="FILE", help=default)
    group.add_argument("--root_path", metavar="DIR", help="folder that paths in the lists are relative to")
    group.add_argument("--num_class", type=class_count, metavar="K", help="number of classes (default: the dataset's)")
    group.add_argument("--class_names", metavar="FILE", help="file of class names, in label order or numbered")
    group.add_argument("--multi_label", action="store_true", help="a video may have several labels")
    add_template_option(group)
    add_segments_option(group, "--num_segments", type=positive, default=8, metavar="T",
                        help="frames per clip (default: 8)")  # fmt: skip
    group.add_argument("--dense_sample", action="store_true",
                       help="sample 64-frame windows (default for Kinetics)")  # fmt: skip
    group = parser.add_argument_group("check")
    group.add_argument("--decode", choices=DECODE, default="ends",
                       help="which frames to decode (default: first and last)")  # fmt: skip
    group.add_argument("--output", metavar="DIR", help="default: check/ beside the first list")
    group.add_argument("--write_clean", action="store_true", help="write lists of the good lines as NAME.clean.txt")
    add_job_options(parser)
    return parser


if __name__ == "__main__":
    run(main)
