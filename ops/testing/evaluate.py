"""Testing, from arguments to accuracies and result files: all views of every video, one or more models."""

import argparse
import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ops.common import distributed
from ops.common.console import progress, start_logging
from ops.common.device import Compute, compute_of, pick_device, wants_launch
from ops.common.errors import (
    CHECK_ADVICE,
    EXIT_DONE,
    EXIT_WITH_FAILURES,
    InputError,
    MediaError,
    RunStoppedError,
    memory_errors_as_media_errors,
)
from ops.common.folder_lock import locked_folder
from ops.common.open_files import PER_LOADER, allow_open_files
from ops.common.storage import check_writable, make_folder
from ops.common.text import counted
from ops.data.class_order import diagnose_class_order
from ops.data.dataloaders import make_loader, shard_sampler, workers_of
from ops.data.dataset_configs import DatasetConfig
from ops.data.datasets import VideoItem, ViewsDataset
from ops.data.hang_detection import noting_hangs, videos_that_hung
from ops.data.open_lists import MakeReader, dataset_of, say_what_has_no_effect
from ops.models.runtimes import choose_runtime, describe_runtime
from ops.testing import multi_label_results, results
from ops.testing.ensemble import Ensemble, open_ensemble, open_networks
from ops.testing.evaluation_protocol import describe, made_from, published_figure
from ops.testing.interrupted_test import output_folder, partial_scores, runtime_to_continue
from ops.testing.multi_label_results import MultiLabelResult
from ops.testing.partial_scores import PartialScores
from ops.testing.result_files import check_results_replaceable, write_files
from ops.testing.results import TestResult
from ops.testing.top_k_accuracy import running_accuracy, running_hits
from ops.training.engine import NOT_FINITE

log = logging.getLogger(__name__)

NAMED = 20
"""How many videos with the same kind of problem are logged; the CSV files list all of them."""

Outcome = tuple[NDArray[np.float32] | None, str]
"""The scores `[K]` of a video and what was wrong with it ("": nothing); or None and the reason why it failed."""


def run_evaluation(args: argparse.Namespace, make_reader: MakeReader) -> int:
    """Run the test that the arguments describe; returns the exit status, which is 1 if videos could not be scored."""
    start_logging(distributed.is_main())
    say_what_has_no_effect(args)
    if wants_launch(args.gpus, args.device):
        return distributed.launch(len(args.gpus), sys.argv[0], sys.argv[1:])
    allow_open_files(args.workers, PER_LOADER)
    device = pick_device(args.gpus, args.device)
    config = dataset_of(args)
    compute = compute_of(args, device, fixed_shapes=True)
    choose_runtime(compute, args.runtime)  # an error about it comes before the files are read
    ensemble = open_ensemble(args, config, make_reader)
    check_outputs(args, config, ensemble)
    with locked_output(args):
        result = run_test(args, config, ensemble, compute)
    return EXIT_DONE if result.ok.all() or args.allow_missing else EXIT_WITH_FAILURES


def locked_output(args: argparse.Namespace) -> AbstractContextManager[None]:
    """In the first process, a lock on the output folder, held until the results are written."""
    return locked_folder(output_folder(args), "give another --output") if distributed.is_main() else nullcontext()


def run_test(args: argparse.Namespace, config: DatasetConfig, ensemble: Ensemble, compute: Compute) -> TestResult:
    """Score all videos; the first process then logs and writes the results."""
    distributed.start(compute.device)
    try:
        began = time.perf_counter()
        runtime = runtime_to_continue(args, config, ensemble, compute)
        networks, compute = open_networks(ensemble, compute, runtime, args.test_crops, args.full_res)
        facts = describe(args, config, ensemble, describe_runtime(compute))
        log.info("protocol: %s", facts["protocol"])
        check_same_everywhere(facts)
        partial = partial_scores(args, ensemble, facts, compute.device)
        with noting_hangs(output_folder(args)):
            result = put_together(ensemble, score_share(args, ensemble, networks, compute, partial), args.topk)
        seconds = time.perf_counter() - began
    finally:
        distributed.stop()
    if distributed.is_main():
        facts |= {"published": published_figure(args, config, ensemble), "seconds": round(seconds, 3)}
        summarise(result, facts)
        facts["warning"] = warn_of_class_order(result, ensemble)
        with partial.removed_when_done():
            write_results(args, config, ensemble, result, facts)
    return result


def check_outputs(args: argparse.Namespace, config: DatasetConfig, ensemble: Ensemble) -> None:
    """InputError if a result could not be written, so that this is reported before the test and not at its end."""
    for path in filter(None, (args.save_scores, args.csv_file)):
        check_writable(path)
    check_results_replaceable(make_folder(output_folder(args)))
    if args.csv_file and config.name != "somethingv2" and not ensemble.class_names:
        raise InputError("--csv_file needs class names on this dataset: give --class_names")


def check_same_everywhere(facts: Mapping[str, Any]) -> None:
    """InputError, in all processes, if one of them was given different files or settings from the first process."""
    names = {"lists_sha256": "list", "checkpoints_sha256": "checkpoint", "protocol": "protocol", "dataset": "dataset"}
    mine = {what: list(v.values()) if isinstance(v := facts[key], Mapping) else v for key, what in names.items()}
    first, *others = distributed.gather_objects(mine)
    for rank, other in enumerate(others, 1):
        for what, value in other.items():
            if value != first[what]:
                raise InputError(
                    f"process {rank} reads another {what} than process 0 (hashes or words: {value}, {first[what]}); "
                    "all need the same"
                )


def score_share(
    args: argparse.Namespace, ensemble: Ensemble, networks: Sequence[nn.Module], compute: Compute,
    partial: PartialScores,
) -> dict[int, Outcome]:  # fmt: skip
    """Score this process's share of the videos: index in the list → outcome. Those in `partial` are skipped."""
    device = compute.device
    dataset = ViewsDataset(ensemble.streams, videos_that_hung(output_folder(args)))
    outcomes: dict[int, Outcome] = dict(partial.read(dataset.stamp_of)) if distributed.is_main() else {}
    done = distributed.gather_objects(set(outcomes))[0]
    if done:
        log.info(
            "going on with a test that was interrupted: %d of %s scored", len(done), counted(len(dataset), "video")
        )
    share = shard_sampler(len(dataset), skip=done)
    loader = make_loader(
        dataset, args.workers, list, device, sampler=share, batch_size=args.batch_size, patience=args.decode_timeout
    )
    labels = ensemble.streams[0].records.labels
    hits = np.zeros(len(args.topk) + 1)  # hits for each k, and the number of labelled videos
    bar = progress(None, len(share), "testing", "video", distributed.is_main())
    with workers_of(loader), bar, partial.writing(distributed.rank()):
        for items in loader:
            for item in items:
                bar.update()
                scores, note = outcomes[item.index] = score_item(args, ensemble, item, networks, compute)
                if scores is not None:
                    partial.add(item.index, scores, note, item.stamp)
                    label = -1 if ensemble.multi_label else int(labels[item.index])
                    hits += running_hits(scores, label, args.topk)
                bar.set_postfix_str(running_accuracy(hits, args.topk), refresh=False)
    return outcomes


def score_item(
    args: argparse.Namespace, ensemble: Ensemble, item: VideoItem, models: Sequence[nn.Module], compute: Compute
) -> Outcome:
    """Score one video, whose frames have been read; it fails if they could not be, or if its scores are not finite."""
    if item.failure:
        return None, item.failure.reason
    chunk = args.views_per_forward or compute.views_at_once
    try:
        with memory_errors_as_media_errors(""):
            scores = ensemble.scores(item, models, args.softmax, chunk, compute).numpy()
    except MediaError as error:
        return None, error.reason
    if not np.isfinite(scores).all():
        return None, NOT_FINITE
    return scores, "; ".join(views.truncated for views in item.streams if views.truncated)


def put_together(ensemble: Ensemble, outcomes: dict[int, Outcome], topk: Sequence[int]) -> TestResult:
    """The outcomes of all processes as one result, in list order."""
    records = ensemble.streams[0].records
    count, classes = len(records), len(ensemble.partners)
    scores = np.full((count, classes), np.nan, dtype=np.float32)
    reasons, truncated = [""] * count, [""] * count
    for share in distributed.gather_objects(outcomes):
        for index, (row, note) in share.items():
            if row is None:
                reasons[index] = note
            else:
                scores[index], truncated[index] = row, note
    paths, labels = [records.path(index) for index in range(count)], records.labels.astype(np.int64)
    if records.label_sets is not None:
        return MultiLabelResult(paths, labels, scores, reasons, truncated, topk, records.label_sets)
    return TestResult(paths, labels, scores, reasons, truncated, topk)


def summarise(result: TestResult, facts: Mapping[str, Any]) -> None:
    """Log the result, failed videos and, from the `facts` of the test, its input files and the published accuracy."""
    numbers = results.counts(result)
    for what, reasons in (("not scored", result.reasons), ("cut short, but scored", result.truncated)):
        named = [f"{path}: {reason}" for path, reason in zip(result.paths, reasons, strict=True) if reason]
        for line in named[:NAMED]:
            log.warning("%s: %s", what, line)
        if len(named) > NAMED:
            log.warning("%s: %d more, see predictions.csv", what, len(named) - NAMED)
    if numbers["failed"] or any(result.truncated):
        log.warning(CHECK_ADVICE)
    log.info("protocol: %s", facts["protocol"])
    log.info("made from: %s", made_from(facts))
    log.info(
        "videos: {expected} expected, {scored} scored, {failed} failed".format(**numbers)
        + f"; {facts['seconds']:.1f} s"
    )
    if isinstance(result, MultiLabelResult) and (words := multi_label_results.in_words(result)):
        log.info("%s", words)
    elif not isinstance(result, MultiLabelResult) and (interval := results.top1_interval(result)):
        figures = results.accuracies(result)
        found = "".join(f"top-{k} {figures[f'top{k}']:.2f} %, " for k in result.topk)
        log.info(
            "{}mean class accuracy {mean_class_accuracy:.2f} %; {scored} of {videos} scored".format(
                found, **figures, **numbers, videos=counted(numbers["expected"], "video")
            )
        )
        if 1 in result.topk:
            log.info("95 %% confidence interval of top-1: %.2f to %.2f %%", *interval)
    else:
        log.info("no accuracy: %s", "the list has no labels" if numbers["scored"] else "no video could be scored")
    if facts["published"]:
        known = (f"{name.replace('top', 'top-')} {value} %" for name, value in facts["published"].items())
        log.info("published for this protocol: %s", ", ".join(known))


def warn_of_class_order(result: TestResult, ensemble: Ensemble) -> str | None:
    """A warning, also logged, if the model seems to number the classes differently from the list; else None."""
    if ensemble.multi_label:
        return None
    names = ensemble.class_names or [str(k) for k in range(result.scores.shape[1])]
    counted = result.counted
    warning = diagnose_class_order(result.labels[counted], result.ranked[counted, 0], names)
    if warning:
        log.warning("%s", warning)
    return warning


def write_results(
    args: argparse.Namespace, config: DatasetConfig, ensemble: Ensemble, result: TestResult, facts: Mapping[str, Any]
) -> None:
    """Write the result files, and the files for `--save_scores` and `--csv_file` if they were requested.

    If one cannot be written, the others still are; then RunStoppedError.
    """
    names, published = ensemble.class_names, None if config.name == "somethingv2" else ensemble.class_names
    folder, problems = output_folder(args), []
    actions: list[Callable[[], None]] = [lambda: write_files(folder, result, names, args.softmax, facts)]
    if args.save_scores:
        actions.append(lambda: results.write_scores(args.save_scores, result))
    if args.csv_file:
        actions.append(lambda: results.write_published_csv(args.csv_file, result, published))
    for action in actions:
        try:
            action()
        except InputError as error:
            problems.append(str(error))
    if problems:
        raise RunStoppedError("; ".join(problems))
    log.info("written: %s", folder)
