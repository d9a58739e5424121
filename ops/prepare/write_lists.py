"""Writing lists from annotations and a tree of files: find the file of each name, count its frames, write the lines.

Beside each list, `missing_…` has all names without a usable file and all superfluous files, with reasons. `damaged_…`,
written only if needed, has files that are listed although they have fewer frames than they claim.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ops.common.errors import EXIT_DONE, EXIT_WITH_FAILURES
from ops.common.storage import make_folder, remove_file
from ops.common.text import counted, one_line
from ops.data.lists import Record, format_line, read_records
from ops.prepare.jobs import Job
from ops.prepare.journal import Outcome
from ops.prepare.options import JobOptions
from ops.prepare.ownership import WrittenFiles
from ops.prepare.source_files import Items, Located, Plan, Source
from ops.prepare.write_index import write_index

log = logging.getLogger(__name__)

ENDS = {"listed": "", "damaged": "damaged", "absent": "missing", "failed": "missing", "spare": "missing"}
"""The possible outcomes for a name or file, and the file beside the list for each; "" is the list itself."""

TEXT: dict[str, Any] = {"encoding": "utf-8", "errors": "surrogateescape", "newline": "\n"}
"""Arguments of `open` for writing lists."""

SHOWN = 3
"""How many duplicates are logged; the files have all."""


def check_places(parts: Sequence[Located], out: Path) -> None:
    """InputError if a list, or a file beside it, exists and was not written for the folder `out`."""
    WrittenFiles(out).check(_files_of(parts))


def _files_of(parts: Sequence[Located]) -> list[Path]:
    return [_beside(part.plan.path, place) for part in parts for place in sorted(set(ENDS.values()))]


def make_lists(parts: Sequence[Located], source: Source, out: Path, options: JobOptions) -> int:
    """Count the frames of all files and write the lists; returns the exit status, 1 if an existing file is unusable.

    The journal is in `out`. With several shards, lists are only written when all shards are done.
    """
    for part in parts:
        make_folder(part.plan.path.parent)
    items = Items(parts)
    with Job(source.work(), items, source.root, out, source.settings, options, unit=source.unit) as job:
        if not job.run("counting frames"):
            log.info("shard %s is done; the lists are written when all shards are done", options.shard)
            return EXIT_DONE
        outcomes = job.outcomes()
        written = WrittenFiles(out)
        counts = [write_list(part, outcomes, source, written) for part in parts]
        written.add(_files_of(parts))
        if source.kind == "videos":
            for part, count in zip(parts, counts, strict=True):
                listed = read_records(part.plan.path, counts_in_pairs=False) if count["listed"] else []
                write_index(part.plan.path, (record.path for record in listed), job.outcome)
    return EXIT_WITH_FAILURES if any(count["failed"] for count in counts) else EXIT_DONE


def write_list(part: Located, outcomes: Iterator[Outcome], source: Source, written: WrittenFiles) -> Counter[str]:
    """Write the list of `part` and the files beside it; `outcomes` gives one outcome for each of its files.

    Returns the number of names and files for each of `ENDS`.
    """
    path, counts, spare = part.plan.path, Counter[str](), list[str]()
    places = {place: _beside(path, place) for place in ENDS.values()}
    with ExitStack() as stack:
        files = {place: stack.enter_context(written.file(name, **TEXT)) for place, name in places.items()}
        for end, line in verdicts(part, outcomes, source):
            counts[end] += 1
            files[ENDS[end]].write(f"{line}\n")
            if end == "spare" and len(spare) < SHOWN:
                spare.append(line)
    if not counts["damaged"]:
        remove_file(places["damaged"])
    _report(part, counts, spare)
    return counts


def verdicts(part: Located, outcomes: Iterator[Outcome], source: Source) -> Iterator[tuple[str, str]]:
    """One of `ENDS`, and its line, for each name of `part` and each superfluous file; damaged files have two.

    If a name has several files, the first complete one is listed, else the first that can be read.
    """
    names, labels, matches = part.plan.split.names, part.plan.split.labels, part.matches
    spare: list[str] = []
    for number, files in enumerate(part.copies()):
        name = names[number]
        if not files:
            reason = (
                "is listed twice" if matches.again[number] else f"no such {source.unit} {_where(part.plan)}".rstrip()
            )
            yield "absent", one_line(f"{name} {reason}")
            continue
        copies = [next(outcomes) for _ in files]
        outcome = min(copies, key=_worth)
        line, reason = _list_line(outcome, int(labels[number]), source)
        if reason:
            yield "failed", one_line(f"{name} {outcome.item}: {reason}")
        else:
            yield "listed", line
            num_frames, claimed = outcome.value["num_frames"], outcome.value["claimed"]
            if num_frames < claimed:
                yield "damaged", one_line(f"{outcome.item} kept: {num_frames} of {counted(claimed, 'frame')}")
        spare += [_why_spare(other, outcome, name) for other in copies if other is not outcome]
    yield from (("spare", one_line(line)) for line in spare)


def _worth(outcome: Outcome) -> tuple[bool, bool, bool]:
    """A sort key that puts the best of several files of one video first."""
    is_preview = outcome.item.lower().endswith(".gif")
    return not outcome.ok, outcome.ok and outcome.value["num_frames"] < outcome.value["claimed"], is_preview


def _why_spare(other: Outcome, used: Outcome, name: str) -> str:
    """Why a file is not listed for `name`, which has another one."""
    if not used.ok:
        return f"{other.item} is unusable too: {other.reason}"
    if other.ok:
        return f"{other.item} is a duplicate: {used.item} is used for {name}"
    return f"{other.item} cannot be read ({other.reason}): {used.item} is used for {name}"


def _list_line(outcome: Outcome, label: int, source: Source) -> tuple[str, str]:
    """The line of a list, or why there is none."""
    if not outcome.ok:
        return "", outcome.reason
    num_frames = outcome.value["num_frames"] * (source.config.flow_counts if source.flow else 1)
    try:
        return format_line(Record(outcome.item, num_frames, label)), ""
    except ValueError:
        return "", "this path cannot be written to a list; rename it"


def _where(plan: Plan) -> str:
    return "under " + " or ".join(f"{folder}/" for folder in plan.folders) if plan.under else ""


def _beside(path: Path, place: str) -> Path:
    return path.with_name(f"{place}_{path.name}") if place else path


def write_class_names(path: Path, names: Sequence[str], out: Path) -> None:
    """One class name per line, in order of the labels.

    InputError if another file exists there that was not written by a tool for the folder `out`.
    """
    make_folder(path.parent)
    text = "".join(f"{one_line(name)}\n" for name in names)
    written = WrittenFiles(out)
    if not (path.is_file() and path.read_bytes() == text.encode("utf-8", "surrogateescape")):
        written.check([path])
        with written.file(path, **TEXT) as file:
            file.write(text)
    written.add([path])


def _report(part: Located, counts: Counter[str], spare: Sequence[str]) -> None:
    path = part.plan.path
    log.info("%s: %d of %d listed", path, counts["listed"], len(part.plan.split.names))
    if counts["absent"] or counts["failed"]:
        log.info("%s: %d missing, %d unusable", _beside(path, "missing"), counts["absent"], counts["failed"])
    if counts["damaged"]:
        log.warning("%s: %d listed with fewer frames than claimed", _beside(path, "damaged"), counts["damaged"])
    for line in spare:
        log.warning("%s", line)
    if counts["spare"] > len(spare):
        log.warning("… and %d more duplicates", counts["spare"] - len(spare))
    if not counts["listed"]:
        log.warning("%s: the list is empty", path)
