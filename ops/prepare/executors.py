"""Running a function over many items: in processes on this machine (pebble), or on a Ray cluster.

If a video makes the process that reads it raise an exception, crash or hang, this counts as the failure of that item.
"""

import functools
import itertools
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, TimeoutError
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.synchronize import Semaphore
from pathlib import Path
from typing import Any

import av
import cv2
import torch
from pebble import ProcessExpired, ProcessPool

from ops.common.errors import InputError, MediaError, RunStoppedError, is_out_of_memory

Work = Callable[[str, str], dict[str, Any]]
"""`work(path, item)` → the result, as plain JSON. MediaError if the item is at fault, InputError to stop the job."""


@dataclass(frozen=True)
class Task:
    """An item, the path of its source, and the state of the source (see `storage.stamp_of`)."""

    path: str
    item: str
    stamp: str


Result = tuple[str, Any]
"""("done", value), ("failed", reason) or ("stop", message)."""

Results = Generator[tuple[Task, Result], None, None]

AHEAD = 4
"""Tasks queued per process, so that no process waits for the next."""

RENEWED_AFTER = 1000
"""Tasks after which a process is replaced, to limit memory leaks of decoders."""

STARTING = 5.0
"""Seconds to wait at the end for processes that are still starting."""

SHARED_IMPORTS = ("av", "cv2", "torch")
"""Modules imported once for all processes. Modules of this project cannot be found from another working directory."""


def run_tasks(work: Work, tasks: Iterable[Task], engine: str, jobs: int, timeout: float) -> Results:
    """Run `work` on every task, in any order; yields each with its result.

    `jobs` is the number of parallel processes; an item that takes longer than `timeout` seconds is stopped. Closing the
    iterator ends all processes. Besides `ENGINES` there is "here": sequentially in this process, without protection.
    """
    runner = {"local": _run_local, "ray": _run_ray, "here": _run_here}[engine]
    tasks = iter(tasks)
    for first in tasks:  # do not start processes for nothing
        yield from runner(work, itertools.chain([first], tasks), jobs, timeout)


def attempt(work: Work, path: str, item: str) -> Result:
    """Call `work` in a worker, and return every outcome as a value."""
    try:
        return "done", work(path, item)
    except MediaError as error:
        return "failed", error.reason
    except InputError as error:
        return "stop", str(error)
    except Exception as error:  # decoders raise errors of any type on broken files
        if is_out_of_memory(error):
            return "failed", "not enough memory to read it"
        return "failed", f"{type(error).__name__}: {error}".replace("\n", " ")


def _run_here(work: Work, tasks: Iterator[Task], jobs: int, timeout: float) -> Results:
    return ((task, attempt(work, task.path, task.item)) for task in tasks)


def _run_local(work: Work, tasks: Iterator[Task], jobs: int, timeout: float) -> Results:
    """Runs tasks in a pool; if it breaks, as when the system kills a process, a new pool repeats unfinished tasks."""
    broken = 0
    while broken < 3:
        running: dict[Future[Result], Task] = {}
        with closing(_run_pool(work, tasks, jobs, timeout, running)) as results:
            for task, result in results:
                broken = 0
                yield task, result
        if not running:
            return
        broken += 1
        tasks = itertools.chain(list(running.values()), tasks)
    raise RunStoppedError("the worker processes keep dying; if memory is short, use a smaller -j")


def _run_pool(
    work: Work, tasks: Iterator[Task], jobs: int, timeout: float, running: dict["Future[Result]", Task]
) -> Results:
    """Use one pool until all tasks are done or it breaks; then `running` holds the unfinished tasks."""
    context = get_context("forkserver" if hasattr(os, "fork") else "spawn")
    if hasattr(os, "fork"):
        context.set_forkserver_preload(list(SHARED_IMPORTS))
    ended: queue.SimpleQueue[Future[Result]] = queue.SimpleQueue()
    started = context.Semaphore(0)
    with ProcessPool(jobs, RENEWED_AFTER, _start_worker, (started,), context=context) as pool:
        try:
            while pool.active:
                for task in itertools.islice(tasks, AHEAD * jobs - len(running)):
                    future = _schedule(pool, work, task, timeout)
                    running[future] = task
                    future.add_done_callback(ended.put)
                if not running:
                    return
                try:
                    future = ended.get(timeout=1.0)
                except queue.Empty:
                    continue
                if isinstance(future.exception(), BrokenProcessPool):
                    return
                yield running.pop(future), _result(future, timeout)
        finally:
            try:
                if pool.active:
                    _await(started, jobs)
            finally:
                pool.stop()  # type: ignore[no-untyped-call]


def _await(started: Semaphore, jobs: int) -> None:
    """Wait briefly until all processes have started; one that starts after its pool has ended prints a traceback."""
    end = time.monotonic() + STARTING
    for _ in range(jobs):
        if not started.acquire(timeout=max(end - time.monotonic(), 0)):
            return


def _schedule(pool: ProcessPool, work: Work, task: Task, timeout: float) -> "Future[Result]":
    try:
        future: Future[Result] = pool.schedule(attempt, args=(work, task.path, task.item), timeout=timeout)
    except RuntimeError as error:  # the pool is broken
        future = Future()
        future.set_exception(BrokenProcessPool(str(error)))
    return future


def _result(future: "Future[Result]", timeout: float) -> Result:
    try:
        return future.result()
    except TimeoutError:
        return "failed", _too_long(timeout)
    except ProcessExpired as error:
        return "failed", f"reading it crashed the process ({_ending(error.exitcode)})"


def _too_long(timeout: float) -> str:
    return f"took longer than {timeout:g} s (--timeout)"


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        try:
            return signal.Signals(-code).name
        except ValueError:
            pass
    return f"exit status {code}"


def _start_worker(started: Semaphore) -> None:
    """Set up a worker: one thread, no log output, Ctrl-C left to the parent, and exit when the parent ends."""
    started.release()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _keep_to_one_thread()


def _end_with_parent() -> None:
    """Exit when the parent ends for any reason, even `kill -9`."""
    parent = parent_process()
    if parent:
        parent.join()
        os._exit(1)


@functools.cache
def _keep_to_one_thread() -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    av.logging.set_level(None)


def _run_ray(work: Work, tasks: Iterator[Task], jobs: int, timeout: float) -> Results:
    """Run on the Ray cluster in RAY_ADDRESS, else in `jobs` processes here; all nodes must see the same files."""
    try:
        import ray  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise InputError("--engine ray needs Ray: python -m pip install ray") from None
    root = Path(__file__).resolve().parents[2]
    cluster = {} if os.environ.get("RAY_ADDRESS") else {"num_cpus": jobs, "include_dashboard": False}
    ray.init(log_to_driver=False, runtime_env={"env_vars": {"PYTHONPATH": os.fspath(root)}}, **cluster)
    try:
        remote = ray.remote(max_retries=0, num_cpus=1)(_attempt_on_ray)
        running: dict[Any, tuple[Task, float]] = {}
        while True:
            for task in itertools.islice(tasks, jobs - len(running)):
                running[remote.remote(work, task.path, task.item)] = task, time.monotonic()
            if not running:
                return
            done, _ = ray.wait(list(running), num_returns=1, timeout=1.0)
            late = [ref for ref, (_, start) in running.items() if time.monotonic() - start > timeout]
            for ref in dict.fromkeys((*done, *late)):
                task, _ = running.pop(ref)
                if ref not in done:
                    ray.cancel(ref, force=True)
                    yield task, ("failed", _too_long(timeout))
                    continue
                try:
                    result = ray.get(ref)
                except ray.exceptions.RayError as error:
                    result = "failed", f"reading it crashed the process ({type(error).__name__})"
                yield task, result
    finally:
        ray.shutdown()


def _attempt_on_ray(work: Work, path: str, item: str) -> Result:
    _keep_to_one_thread()
    return attempt(work, path, item)
