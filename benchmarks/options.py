"""Measure what each option for small or unbalanced data sets does, on a few films of the built-in data set `motion`.

    python benchmarks/options.py --out runs/options --output benchmarks/results/cpu_options

A TANet-18 with 4 frames of 32 × 32 pixels learns to tell up, down, grow and shrink. It is then fine-tuned for
about 60 steps on a few films of four other classes, left, right, clockwise and counter-clockwise: with one option at a
time, and with several seeds. Accuracy is that of the last epoch on 160 films, 40 of each class, so that it is also the
mean over classes. A difference counts if it is larger than the standard deviation of a difference between two runs.

The trainings are a sweep in DIR: one after the other on one thread of the CPU, the first seed of all options first. The
same command continues an interrupted one. It also measures the CPU time of a training step with frozen parts.
"""

import argparse
import csv
import math
import os
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ops.common.arguments import Parser, positive, seed
from ops.common.errors import EXIT_DONE, InputError, RunStoppedError, run
from ops.common.stop_signals import PREEMPTED
from ops.common.storage import atomic_file, make_folder
from ops.report.over_seeds import markdown_table, mean, number_cell, seeds_cell, spread_cell
from ops.sweep.runs import ROOT, Run
from ops.training.checkpoint_saver import LAST

LEARNED_RUN = "learned"
LEARNED = ("up", "down", "grow", "shrink")
"""The classes of the checkpoint that is fine-tuned."""
NEW = ("left", "right", "clockwise", "counter-clockwise")
"""The classes for which it is fine-tuned."""
KINDS = ("slides", "orbits")
"""Further labels of their films, for several labels per video."""

EVEN, UNEVEN = (7, 7, 7, 7), (14, 3, 14, 3)
"""Training films of each new class."""
VALIDATED = 20
"""Training films per class that validate, the last ones, beside all of the validation split."""

COMMON = ("--npb", "-b", "8", "-j", "0", "--device", "cpu")
PRETRAINING = (
    *(
        "--arch",
        "resnet18",
        "--pretrain",
        "none",
        "--tam",
        "--num_segments",
        "4",
        "--input_size",
        "32",
        "--epochs",
        "6",
    ),
    *("--lr", "0.03", "--lr_steps", "5", "--warmup_epochs", "1", "--no_fc_lr5", "--dropout", "0", "--wd", "0.0005"),
    *("--gd", "2", "--eval-freq", "6"),
)
FINE_TUNING = ("--gd", "20", "--lr", "0.003", "--lr_type", "cos", "--warmup_epochs", "1", "--eval-freq", "60")


FILMS = {"even": "28, 7 of each class", "uneven": "34: 14, 3, 14, 3", "labels": "28, two labels each: mAP"}
"""The training lists in words."""


@dataclass(frozen=True)
class Option:
    """One row: its flags, its training list (a key of `FILMS`), and the epochs that make about 60 steps."""

    name: str
    flags: Sequence[str] = ()
    films: str = "even"
    epochs: int = 15
    keep: bool = True

    @property
    def folder(self) -> str:
        """The first part of the names of its runs."""
        words = self.flags or (["none"] if self.keep else ["drop_last_batch"])
        return "_".join([self.films, *words]).replace("--", "")

    def words(self, out: Path, data: Path, number: int) -> list[str]:
        """The command line of its training with seed `number`, as of tools/sweep.py."""
        lists = out / "lists"
        return [
            *("online_main.py", "custom", "RGB", "--root_path", str(data), *list_flags(lists, self.films)),
            *("--tune_from", str(out / LEARNED_RUN / LAST), *COMMON, *FINE_TUNING, "--epochs", str(self.epochs)),
            *(["--keep_last_batch"] if self.keep else []),
            *self.flags,
            *("--seed", str(number), "--root_log", str(out), "--root_model", str(out)),
            *("--store_name", f"{self.folder}_seed{number}", "--resume", "auto"),
        ]

    def run(self, out: Path, data: Path, number: int) -> Run:
        """Its training with seed `number` as a run of a sweep."""
        setting = {"films": self.films, "option": self.name}
        return Run(setting, number, f"{self.folder}_seed{number}", self.words(out, data, number), "cpu")


OPTIONS = (
    Option("none of these options"),
    Option("without `--keep_last_batch`", keep=False),
    Option("`--patience 2`", ("--patience", "2", "--eval-freq", "3"), epochs=30),
    Option("`--optimizer adamw --lr 0.0003`", ("--optimizer", "adamw", "--lr", "0.0003")),
    Option("`--label_smoothing 0.1`", ("--label_smoothing", "0.1")),
    Option("`--augment randaugment`", ("--augment", "randaugment")),
    Option("`--mixup 0.2`", ("--mixup", "0.2")),
    Option("`--cutmix 1`", ("--cutmix", "1")),
    Option("`--ema 0.9`", ("--ema", "0.9")),
    Option("`--freeze stages 2`", ("--freeze", "stages", "2")),
    Option("`--freeze backbone`", ("--freeze", "backbone")),
    Option("none of these options", films="uneven", epochs=12),
    Option("`--class_weights balanced`", ("--class_weights", "balanced"), films="uneven", epochs=12),
    Option("`--balance`", ("--balance",), films="uneven", epochs=12),
    Option("`--multi_label`", ("--multi_label",), films="labels"),
    Option("`--multi_label --lr 0.02`", ("--multi_label", "--lr", "0.02"), films="labels"),
)

COLUMNS = ("training films", "option", "top-1 %", "over seeds", "each seed", "difference", "loss", "steps")


@dataclass(frozen=True)
class Result:
    """The last epoch of a training: top-1 (mAP with several labels) in percent, validation loss, and steps taken."""

    accuracy: float
    loss: float
    steps: int


def main() -> int:
    """Draw the films, make the lists, train, and write the tables."""
    args = make_parser().parse_args()
    from benchmarks.network import frozen_rows
    from benchmarks.timing import machine, publish, table
    from ops.data import motion
    from ops.data.dataset_configs import DATASETS
    from ops.sweep.run_sweep import run_all

    os.environ.setdefault("OMP_NUM_THREADS", "1")
    out, data = Path(args.out).absolute(), DATASETS["motion"].root().absolute()
    motion.make(data, "videos", shown=True)
    make_folder(out / "lists")
    write_lists(data, out / "lists")
    learn(data, out)
    runs = [option.run(out, data, number) for number in args.seeds for option in OPTIONS]
    status = run_all(out, runs, [], 1)
    results = read_results(out, args.seeds)
    import torch

    text = f"{machine(torch.device('cpu'))}\n\n{markdown_table(COLUMNS, rows_of(results))}\n"
    text += table(("frozen", "CPU time of a step of 8 clips, ms", "ratio"), frozen_rows(args.rounds))
    publish(text, args.output, {name: {seed: vars(each) for seed, each in of.items()} for name, of in results.items()})
    return status


def make_parser() -> argparse.ArgumentParser:
    """The parser of this benchmark."""
    parser = Parser(prog="python benchmarks/options.py", description=__doc__)
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the lists and the runs")
    parser.add_argument("--seeds", type=seed, nargs="+", default=[0, 1, 2], metavar="N", help="default: 0 1 2")
    parser.add_argument("--rounds", type=positive, default=15, metavar="N", help="timed steps (default: 15)")
    parser.add_argument("--output", metavar="NAME", help="write NAME.json and NAME.md")
    return parser


def list_flags(lists: Path, films: str) -> list[str]:
    """The flags for the training list `films`, its validation list and its classes in the folder `lists`."""
    kind = films if films in ("learned", "labels") else "new"
    return [
        *("--train_list", str(lists / f"{films}_train.txt"), "--val_list", str(lists / f"{kind}_val.txt")),
        *("--class_names", str(lists / f"{kind}_classes.txt")),
    ]


def write_lists(data: Path, lists: Path) -> None:
    """Write the lists of the data set in the folder `data` and their class names to the folder `lists`."""
    films = {split: list(films_of(data, split)) for split in ("train", "val")}
    per_class = Counter(motion for _, motion in films["train"])
    contents: dict[str, list[str]] = {}
    for split, both in films.items():
        contents[f"learned_{split}"] = [f"{start} {LEARNED.index(m)}" for start, m in both if m in LEARNED]
        contents[f"new_{split}"] = [f"{start} {NEW.index(m)}" for start, m in both if m in NEW]
        contents[f"labels_{split}"] = [f"{start} {labels_of(m)}" for start, m in both if m in NEW]
    for kind in ("new", "labels"):
        train = contents.pop(f"{kind}_train")
        last = [line for number, line in numbered(train) if number >= per_class[NEW[0]] - VALIDATED]
        contents[f"{kind}_val"] += last
        for name, wanted in {"new": {"even": EVEN, "uneven": UNEVEN}, "labels": {"labels": EVEN}}[kind].items():
            contents[f"{name}_train"] = [
                line for number, line in numbered(train) if number < wanted[NEW.index(line.split("/")[2])]
            ]
    contents |= {"learned_classes": [*LEARNED], "new_classes": [*NEW], "labels_classes": [*NEW, *KINDS]}
    for name, lines in contents.items():
        with atomic_file(lists / f"{name}.txt", "w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)


def films_of(data: Path, split: str) -> Iterator[tuple[str, str]]:
    """The films of a split: their lines in the list, up to the label, and their classes."""
    for line in (data / f"motion_{split}_list.txt").read_text("utf-8").splitlines():
        yield line.rpartition(" ")[0], line.split("/")[2]


def numbered(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """The lines of a list, each with its number among the films of its class."""
    seen: Counter[str] = Counter()
    for line in lines:
        motion = line.split("/")[2]
        yield seen[motion], line
        seen[motion] += 1


def labels_of(motion: str) -> str:
    """The labels of a film of one of the `NEW` classes in a list of several labels: the class, and one of `KINDS`."""
    return f"{NEW.index(motion)},{len(NEW) + NEW.index(motion) // 2}"


def learn(data: Path, out: Path) -> None:
    """Train the checkpoint that all options start from, or continue to.

    InputError if this fails, RunStoppedError if it is stopped.
    """
    words = ["online_main.py", "custom", "RGB", "--root_path", str(data), *list_flags(out / "lists", "learned")]
    words += [*PRETRAINING, *COMMON, "--root_log", str(out), "--root_model", str(out), "--store_name", LEARNED_RUN]
    status = subprocess.run(
        [sys.executable, str(ROOT / words[0]), *words[1:], "--resume", "auto"], check=False
    ).returncode
    folder = out / LEARNED_RUN
    if status != EXIT_DONE:
        raise InputError(f"{folder}: the training of the checkpoint ended with exit status {status}")
    if (folder / PREEMPTED).exists() or not (folder / LAST).exists():
        raise RunStoppedError(f"{folder}: the training of the checkpoint was stopped; the same command continues")


def read_results(out: Path, seeds: Sequence[int]) -> dict[str, dict[int, Result]]:
    """The results of all options by the names of their folders and by seed; those of runs that failed are left out."""
    found: dict[str, dict[int, Result]] = {option.folder: {} for option in OPTIONS}
    for option in OPTIONS:
        for number in seeds:
            log = out / f"{option.folder}_seed{number}" / "log.csv"
            rows = list(csv.DictReader(log.open(encoding="utf-8"))) if log.exists() else []
            validated = [row for row in rows if row["val_top1"]]
            if validated:
                last = validated[-1]
                accuracy = last["val_mAP" if option.films == "labels" else "val_top1"]
                found[option.folder][number] = Result(float(accuracy), float(last["val_loss"]), int(last["step"]))
    return found


def rows_of(results: dict[str, dict[int, Result]]) -> list[list[str]]:
    """The rows of the table; each option is compared with the first one for the same training films."""
    rows: list[list[str]] = []
    first: dict[str, dict[int, float]] = {}
    for option in OPTIONS:
        found = results[option.folder]
        accuracy = {number: result.accuracy for number, result in found.items()}
        losses = mean({number: result.loss for number, result in found.items()})
        steps = mean({number: result.steps for number, result in found.items()})
        against = first.setdefault(option.films, accuracy)
        change = "" if against is accuracy else difference(accuracy, against)
        rows.append([FILMS[option.films], option.name, number_cell(mean(accuracy)), spread_cell(accuracy),
                     seeds_cell(accuracy), change, number_cell(losses, 2), number_cell(steps, 0)])  # fmt: skip
    return rows


def difference(ours: Mapping[int, float], other: Mapping[int, float]) -> str:
    """The difference of two means over seeds, and whether it is larger than the spread of a difference of two runs."""
    if len(ours) < 2 or len(other) < 2:
        return "–"
    gap = statistics.fmean(ours.values()) - statistics.fmean(other.values())
    within = abs(gap) <= math.hypot(statistics.stdev(ours.values()), statistics.stdev(other.values()))
    return f"{gap:+.1f}" + (" (within the spread)" if within else "")


if __name__ == "__main__":
    run(main)
