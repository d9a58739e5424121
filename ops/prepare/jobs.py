"""A long job over many videos: parallel, resumable, shared among machines; used by every data tool.

A tool names its items in a fixed order, gives the function that handles one, and writes its results at the end from
`Job.outcomes`, in that order: what it writes does not depend on engine, processes or shards.
"""

import argparse
import itertools
import json
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ops.common.arguments import above_zero, positive
from ops.common.console import progress
from ops.common.errors import RunStoppedError
from ops.common.folder_lock import locked_folder
from ops.common.storage import make_folder, stamp_of
from ops.common.string_array import hash_of
from ops.prepare.executors import ENGINES, Task, Work, run_tasks
from ops.prepare.journal import Journal, Outcome
from ops.prepare.ownership import JOURNAL


class Items(Sized, Protocol):
    """The items of a job, in the order of its results: iterated more than once, never held as a list here."""

    def __iter__(self) -> Iterator[str]: ...


@dataclass(frozen=True)
class Shard:
    """The share of one process: every `count`-th item from number `index` (1 … count) on."""

    index: int = 1
    count: int = 1

    def __str__(self) -> str:
        return f"{self.index}-of-{self.count}"

    def of(self, items: Iterable[str]) -> Iterator[str]:
        """Its items."""
        return itertools.islice(items, self.index - 1, None, self.count)

    def size(self, total: int) -> int:
        """How many of `total` items are its own."""
        return len(range(self.index - 1, total, self.count))


@dataclass(frozen=True)
class JobOptions:
    """How a job is run; see `add_job_options`."""

    jobs: int
    engine: str = "local"
    shard: Shard = Shard()
    timeout: float = 300.0
    retry: bool = False


def add_job_options(parser: argparse.ArgumentParser, timeout: float = 300.0) -> None:
    """The flags that every data tool has."""
    group = parser.add_argument_group("how it is run (results do not depend on it)")
    group.add_argument("-j", "--num_jobs", "--jobs", type=positive, default=os.cpu_count() or 1, metavar="N",
                       dest="num_jobs", help="processes at a time (default: one per core)")  # fmt: skip
    group.add_argument("--engine", choices=ENGINES, default="local", help="local processes (default) or a Ray cluster")
    group.add_argument("--shard", type=_shard, default=Shard(), metavar="I/N",
                       help="share I of N; the last to end writes the results")  # fmt: skip
    group.add_argument("--timeout", type=above_zero, default=timeout, metavar="SECONDS",
                       help=f"give a video up after so long (default: {timeout:g})")  # fmt: skip
    group.add_argument("--retry", action="store_true", help="try again what failed in an earlier run")


def job_options(args: argparse.Namespace) -> JobOptions:
    """The options of parsed arguments."""
    return JobOptions(args.num_jobs, args.engine, args.shard, args.timeout, args.retry)


class Job:
    """`work` on every item of `items`, whose source is `root/item`, with a journal in `folder`; a context manager.

    As long as it is open nothing else but other shards of this work can be done in `folder`: InputError there.

    Args:
        settings: whatever the results depend on, as plain JSON: with other settings, all is done anew.
        done_before: says of an outcome in the journal whether what it made is still there.
        unit: what an item is called.
    """

    def __init__(
        self,
        work: Work,
        items: Items,
        root: str | os.PathLike[str],
        folder: str | os.PathLike[str],
        settings: Mapping[str, Any],
        options: JobOptions,
        done_before: Callable[[Outcome], bool] = lambda outcome: True,
        unit: str = "video",
    ) -> None:
        self.work, self.items, self.root, self.unit = work, items, os.fspath(root), unit
        self.options, self._done_before = options, done_before
        share = f"{hash_of(json.dumps(settings, sort_keys=True)):016x}" if options.shard.count > 1 else ""
        with ExitStack() as stack:
            stack.enter_context(locked_folder(make_folder(folder), "give another output folder", share))
            self._journal = stack.enter_context(Journal(Path(folder) / JOURNAL, settings, str(options.shard)))
            self._open = stack.pop_all()

    def __enter__(self) -> "Job":
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def run(self, title: str, shown: bool = True) -> bool:
        """Do what is not done yet of this shard; whether the job is done in all its shards.

        An interruption, by a key or a signal, leaves the journal whole: the next run goes on from there.
        RunStoppedError where the work asks to stop, as on a full disk.
        """
        options = self.options
        with progress(None, options.shard.size(len(self.items)), title, self.unit, shown) as bar, _interruptible():
            todo = self._todo(bar)
            with closing(run_tasks(self.work, todo, options.engine, options.jobs, options.timeout)) as results:
                for task, (ending, value) in results:
                    if ending == "stop":
                        raise RunStoppedError(value)
                    kept = {"value": value} if ending == "done" else {"reason": value}
                    self._journal.add(Outcome(task.item, task.stamp, **kept))
                    self._count(bar, ending == "failed")
                    bar.update()
        self._journal.reload()
        return options.shard.count == 1 or all(self._known(item) for item in self.items)

    def left(self) -> Iterator[str]:
        """The items of this shard that are not done yet."""
        for item in self.options.shard.of(self.items):
            known = self._known(item)
            if not (known and self._done_before(known) and (known.ok or not self.options.retry)):
                yield item

    def outcomes(self) -> Iterator[Outcome]:
        """What became of every item, in the order of the items. Only after a `run` that was the last."""
        return map(self.outcome, self.items)

    def outcome(self, item: str) -> Outcome:
        """What became of one item, likewise."""
        return self._known(item) or Outcome(item, "", reason="changed while the job was running")

    def forget(self) -> None:
        """Let the next run do everything anew: for work on folders, whose stamps say nothing of the files' content."""
        self._journal.remove()

    def _todo(self, bar: Any) -> Iterator[Task]:
        """The tasks of this shard that are left; the others are counted as done on `bar`."""
        self._failed = 0
        for item in self.options.shard.of(self.items):
            path = self._path(item)
            stamp = stamp_of(path)
            known = self._journal.get(item, stamp)
            if known and self._done_before(known) and (known.ok or not self.options.retry):
                self._count(bar, not known.ok)
                if not bar.disable:
                    bar.initial += 1  # it has no part in the rate
                bar.update()
            else:
                yield Task(path, item, stamp)

    def _count(self, bar: Any, failed: bool) -> None:
        self._failed += failed
        bar.set_postfix(failed=self._failed, refresh=False)

    def _known(self, item: str) -> Outcome | None:
        return self._journal.get(item, stamp_of(self._path(item)))

    def _path(self, item: str) -> str:
        return os.path.join(self.root, item)


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM ends the job as the interrupt key does, so that its processes end with it."""
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _shard(text: str) -> Shard:
    index, slash, count = text.partition("/")
    if not (slash and index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
        raise argparse.ArgumentTypeError(f"{text!r} must be I/N with I from 1 to N, such as 1/8")
    return Shard(int(index), int(count))
