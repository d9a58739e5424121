"""The page about training runs and tests: results, curves, confusion, classes, mistakes, and a comparison."""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from ops.common.console import progress
from ops.common.errors import MediaError
from ops.common.figures import curves_figure
from ops.common.html import figure_uri, image_uri, write_page
from ops.common.text import counted
from ops.report.comparison import compare
from ops.report.confusion import Confusion, describe_confusion
from ops.report.results import ClassResult, Results, Row, Test, Training, finite, table
from ops.report.thumbnails import place_of, strip_uri
from ops.training.main_metric import MEAN_AP, TOP1

log = logging.getLogger(__name__)

LISTED = 100
"""How many mistakes, failed videos and the like a page lists; the CSV files have all."""

LARGEST_PICTURE = 1_500_000
"""Largest picture file that is embedded in a page, in bytes."""


@dataclass(frozen=True)
class Line:
    """A run in the summary: unknown numbers are None, unknown texts ""."""

    name: str
    model: str
    mean_ap: float | None
    top1: float | None
    interval: str
    top5: float | None
    class_mean: float | None
    scored: str
    published: str
    best: float | None
    epochs: str
    seconds: float | None


@dataclass(frozen=True)
class Mistake:
    """A video predicted as another class: `uri` is its picture, or `reason` says why there is none."""

    row: Row
    uri: str
    reason: str


@dataclass
class Section:
    """The section about one run or test; `facts` are names, values and whether these are hashes or commands."""

    results: Results
    facts: list[tuple[str, str, bool]]
    confusion: Confusion | None = None
    picture: str = ""
    classes: list[ClassResult] = field(default_factory=list)
    shown: list[Mistake] = field(default_factory=list)
    failed: list[Row] = field(default_factory=list)
    cut_short: list[Row] = field(default_factory=list)


def write_report(path: str | os.PathLike[str], found: Sequence[Results], root: str | None, mistakes: int) -> None:
    """Write the page about `found` to `path`, with pictures of the `mistakes` most confident mistakes of each test.

    Videos are searched where the test found them, or under `root`; InputError if `path` cannot be written.
    """
    runs = {results.name: results.training.rows for results in found if results.training and results.training.rows}
    lines = [summary_line(results) for results in found]
    names = [results.name for results in found]
    write_page(
        path,
        "report.html",
        title=f"Report: {names[0]}" if len(names) == 1 else f"Report: {len(names)} runs",
        lines=lines,
        curves=figure_uri(curves_figure(runs)) if runs else "",
        comparison=compare({results.name: results.test for results in found if results.test}),
        sections=[describe(results, root, mistakes) for results in found],
        listed=LISTED,
    )


def _interval_in_words(value: object) -> str:
    """`[71.2, 80.4]` → "71.2 – 80.4"; "" for anything else, as in results of earlier versions."""
    ends = [finite(end) for end in value] if isinstance(value, list) else []
    return f"{ends[0]:.1f} – {ends[1]:.1f}" if len(ends) == 2 and None not in ends else ""


def summary_line(results: Results) -> Line:
    """The run in one row of the summary."""
    training, test = results.training, results.test
    expected, scored = (test.metric(name) if test else None for name in ("expected", "scored"))
    published = table(test.metrics.get("published")) if test else {}
    figures = [finite(published.get(name)) for name in ("top1", "top5")]
    return Line(
        results.name,
        model_in_words(training, test),
        test.metric("mAP") if test else None,
        test.metric("top1") if test else None,
        _interval_in_words(test.metrics.get("top1_interval")) if test else "",
        test.metric("top5") if test else None,
        test.metric("mean_class_accuracy") if test else None,
        f"{scored:.0f} of {expected:.0f}" if scored is not None and expected is not None else "",
        " / ".join(f"{figure:.1f}" for figure in figures if figure is not None),
        best_validation(training) if training else None,
        epochs_in_words(training) if training else "",
        sum(float(row.get("seconds") or 0) for row in training.rows) if training and training.rows else None,
    )


def model_in_words(training: Training | None, test: Test | None) -> str:
    """The model according to the test's protocol, else according to the arguments of the training."""
    protocol = test.metrics.get("protocol") if test else None
    if isinstance(protocol, str):
        return protocol.split(";")[0]
    args = training.arguments if training else {}
    if not args.get("arch"):
        return ""
    pixels = args.get("input_size", "?")
    module = "tam" if args.get("tam") else "tsm" if args.get("shift") else args.get("temporal") or "none"
    temporal = "without TAM" if module == "none" else f"with {module.upper()}"
    return (
        f"{args['arch']} {temporal}, {args.get('modality', '?')}, "
        f"{counted(args.get('num_segments', '?'), 'frame')} of {pixels} x {pixels}"
    )


def best_validation(training: Training) -> float | None:
    """The best validation top-1, or mAP with several labels per video, in percent."""
    for metric in (MEAN_AP, TOP1):
        known = [float(row[metric.column]) for row in training.rows if row.get(metric.column)]
        if known:
            return max(known)
    return None


def epochs_in_words(training: Training) -> str:
    """The number of completed epochs, and of all."""
    done = int(training.rows[-1]["epoch"]) + 1 if training.rows else 0
    wanted = training.arguments.get("epochs")
    return f"{done} of {wanted}" if isinstance(wanted, int) else str(done)


def describe(results: Results, root: str | None, mistakes: int) -> Section:
    """The section about one run or test."""
    section = Section(results, [*facts_of_training(results.training), *facts_of_test(results.test)])
    training, test = results.training, results.test
    if training and not training.rows:
        section.picture = picture_uri(results, training.picture, "curves.png")
    if not test:
        return section
    section.confusion = describe_confusion(test)
    if section.confusion is None:
        section.picture = section.picture or picture_uri(results, test.picture, "confusion.png")
    value = attrgetter("average_precision" if test.multi_label else "top1")
    section.classes = sorted(test.classes, key=lambda row: (value(row) is None, value(row), row.name))
    section.shown = show_mistakes(results.name, test, root, mistakes)
    section.failed = [row for row in test.predictions if row["ok"] != "True"]
    section.cut_short = [row for row in test.predictions if row["ok"] == "True" and row["reason"]]
    return section


def show_mistakes(name: str, test: Test, root: str | None, count: int) -> list[Mistake]:
    """The first `count` mistakes, with their pictures if available."""
    place = place_of(test.metrics, root)
    shown = []
    rows = test.mistakes[:count]
    for row in progress(rows, len(rows), f"pictures for {name}", "video", bool(rows) and place is not None):
        uri, reason = "", "metrics.json does not say where the videos are: give --root_path"
        if place:
            try:
                uri, reason = strip_uri(place, row["path"]), ""
            except MediaError as error:
                reason = f"{error.path}: {error.reason}"
        shown.append(Mistake(row, uri, reason))
    without = sum(not mistake.uri for mistake in shown)
    if without:
        log.warning("%s: no picture of %d of %s, such as %s", name, without, counted(len(shown), "video"),
                    next(mistake.reason for mistake in shown if not mistake.uri))  # fmt: skip
    return shown


def picture_uri(results: Results, content: bytes, name: str) -> str:
    """A picture file, used if the numbers it was drawn from are missing; "" if it is too large for a page."""
    if len(content) > LARGEST_PICTURE:
        results.missing.append(f"{name}: too large for this page ({len(content) / 1e6:.1f} MB)")
    return image_uri(content) if 0 < len(content) <= LARGEST_PICTURE else ""


def facts_of_test(test: Test | None) -> list[tuple[str, str, bool]]:
    """Protocol, counts, decoder and hashes of a test, if known."""
    if not test:
        return []
    metrics = test.metrics
    numbers = {name: test.metric(name) for name in ("expected", "scored", "failed", "cut_short", "unlabelled")}
    counts = [f"{number:.0f} {name.replace('_', ' ')}" for name, number in numbers.items()
              if number or (number == 0 and name in ("scored", "failed"))]  # fmt: skip
    published = table(metrics.get("published"))
    figures = [f"top-{k} {published[f'top{k}']} %" for k in (1, 5) if f"top{k}" in published]
    seconds = test.metric("seconds")
    facts = [
        *_known("protocol", metrics.get("protocol")),
        *_known("averaging", metrics.get("averaging")),
        *_known("dataset", metrics.get("dataset")),
        *_known("videos", ", ".join(counts)),
        *_known("published for this protocol", ", ".join(figures)),
        *_known("decoder", metrics.get("decoder")),
        *_known("tested in", f"{seconds:.1f} s" if seconds is not None else ""),
    ]
    data = metrics.get("data")
    for place in map(table, data if isinstance(data, list) else ()):
        facts += _known("tested on", f"{place.get('kind', 'videos')} under {place.get('root', '?')}")
    facts += [(f"list {path}", f"sha256 {value}", True) for path, value in table(metrics.get("lists_sha256")).items()]
    hashes = table(metrics.get("checkpoints_sha256"))
    return facts + [(f"checkpoint {path}", f"sha256 {value}", True) for path, value in hashes.items()]


def facts_of_training(training: Training | None) -> list[tuple[str, str, bool]]:
    """Command, learning rate, device and outcome of a training run, if known."""
    if not training:
        return []
    facts, args = training.facts, training.arguments
    command = facts.get("command")
    last = training.rows[-1] if training.rows else {}
    sides = (("train_loss", "training"), ("val_loss", "validation"))
    losses = [f"{words} {float(last[name]):.3g}" for name, words in sides if last.get(name)]
    rate = finite(facts.get("rate"))
    versions = ", ".join(f"{name} {version}" for name, version in table(facts.get("versions")).items())
    bad = f"{len(training.bad_samples)} times replaced, left out or cut short" if training.bad_samples else ""
    return [
        *_known("stopped early", f"{training.stopped}; continue with --resume auto" if training.stopped else ""),
        *_known("trained on", args.get("dataset")),
        *_known("last loss", ", ".join(losses)),
        *_known("learning rate", f"{rate:g}, batch {args.get('batch_size', '?')}" if rate is not None else ""),
        *_known("broken videos in training", bad),
        *_known("device", facts.get("device")),
        *_known("versions", versions),
        *(("command", " ".join(map(str, words)), True) for words in [command] if isinstance(words, list)),
        *((f"list {path}", f"sha256 {value}", True) for path, value in table(facts.get("lists_sha256")).items()),
    ]


def _known(name: str, value: Any = None) -> list[tuple[str, str, bool]]:
    return [(name, str(value), False)] if value not in (None, "") else []
