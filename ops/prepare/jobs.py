"""Long jobs over many videos: parallel, resumable and divisible among machines; used by all data tools.

A tool lists its items in a fixed order and passes a function that processes one. At the end it writes its results from
`Job.outcomes`, in that order, so that they do not depend on engine, processes or shards.
"""

import json
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sized
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from ops.common.console import progress
from ops.common.errors import InputError, RunStoppedError
from ops.common.folder_lock import locked_folder
from ops.common.open_files import PER_JOB, allow_open_files
from ops.common.storage import make_folder, stamp_of
from ops.common.string_array import hash_of
from ops.prepare.executors import Task, Work, run_tasks
from ops.prepare.journal import Journal, Outcome
from ops.prepare.options import JobOptions
from ops.prepare.ownership import JOURNAL


class Items(Sized, Protocol):
    """The items of a job, in the order of its results; iterated more than once, never stored as a list here."""

    def __iter__(self) -> Iterator[str]: ...


class Job:
    """Runs `work` on every item of `items`, whose source is `root/item`, with a journal in `folder`; a context manager.

    While it is open, only other shards of the same work can use `folder`; anything else gets an InputError. After `run`
    was called, an InputError that leaves the block becomes a RunStoppedError: results were already written.

    Args:
        settings: everything that the results depend on, as plain JSON; if they change, all work is repeated.
        done_before: tells whether the result of an outcome in the journal still exists.
        unit: the name of an item, for the progress bar.
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
        self.options, self._done_before, self._begun = options, done_before, False
        share = f"{hash_of(json.dumps(settings, sort_keys=True)):016x}" if options.shard.count > 1 else ""
        allow_open_files(options.jobs if options.engine == "local" else 0, PER_JOB)
        with ExitStack() as stack:
            stack.enter_context(locked_folder(make_folder(folder), "use another output folder", share))
            self._journal = stack.enter_context(Journal(Path(folder) / JOURNAL, settings, str(options.shard)))
            self._folder, self._identity = Path(folder), folder_identity(folder)
            self._open = stack.pop_all()

    def __enter__(self) -> "Job":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()
        if self._begun and isinstance(error, InputError) and not isinstance(error, RunStoppedError):
            raise RunStoppedError(str(error)) from error

    def run(self, title: str, shown: bool = True) -> bool:
        """Do the remaining work of this shard; returns whether all shards of the job are done.

        After an interruption, by Ctrl-C or a signal, the next run continues from the journal. RunStoppedError if the
        work cannot go on, as on a full disk, or if the folder is removed or replaced.
        """
        options, self._begun = self.options, True
        with progress(None, options.shard.size(len(self.items)), title, self.unit, shown) as bar, _interruptible():
            todo = self._todo(bar)
            with closing(run_tasks(self.work, todo, options.engine, options.jobs, options.timeout)) as results:
                for task, (ending, value) in results:
                    self._check_folder()
                    if ending == "stop":
                        raise RunStoppedError(value)
                    kept = {"value": value} if ending == "done" else {"reason": value}
                    self._journal.add(Outcome(task.item, task.stamp, **kept))
                    self._count(bar, ending == "failed")
                    bar.update()
        self._check_folder()
        self._journal.reload()
        return options.shard.count == 1 or all(self._known(item) for item in self.items)

    def left(self) -> Iterator[str]:
        """The remaining items of this shard."""
        for item in self.options.shard.of(self.items):
            known = self._known(item)
            if not (known and self._done_before(known) and (known.ok or not self.options.retry)):
                yield item

    def outcomes(self) -> Iterator[Outcome]:
        """The outcome of every item, in the order of the items. Only after `run` returned True."""
        return map(self.outcome, self.items)

    def outcome(self, item: str) -> Outcome:
        """The outcome of one item, likewise."""
        return self._known(item) or Outcome(item, "", reason="was changed while the job was running")

    def forget(self) -> None:
        """Make the next run repeat everything: for work on folders, whose stamps do not show changes of their files."""
        self._journal.remove()

    def _check_folder(self) -> None:
        if folder_identity(self._folder) != self._identity:
            raise RunStoppedError(
                f"{self._folder}: was removed or replaced while results were written there; the same command makes "
                "what is gone with it"
            )

    def _todo(self, bar: Any) -> Iterator[Task]:
        """The remaining tasks of this shard; finished ones advance `bar`."""
        self._failed = 0
        for item in self.options.shard.of(self.items):
            path = self._path(item)
            stamp = stamp_of(path)
            known = self._journal.get(item, stamp)
            if known and self._done_before(known) and (known.ok or not self.options.retry):
                self._count(bar, not known.ok)
                if not bar.disable:
                    bar.initial += 1  # must not affect the displayed rate
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


def folder_identity(folder: str | os.PathLike[str]) -> tuple[int, int] | None:
    """Device and inode of a folder, which identify it if another folder takes its name; None if it does not exist."""
    try:
        status = os.stat(folder)
    except OSError:
        return None
    return status.st_dev, status.st_ino


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGTERM end the job like Ctrl-C, so that its processes end with it."""
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
