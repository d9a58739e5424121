"""What runs a function over many items: processes of this machine (pebble), or a Ray cluster.

Whatever a video does to the process that reads it, an exception, a crash or a hang, ends as that item's failure.
"""

import functools
import itertools
import os
import queue
import signal
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import TimeoutError
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import av
import cv2
import torch
from pebble import ProcessExpired, ProcessPool

from ops.errors import InputError, MediaError

Work = Callable[[str, str], dict[str, Any]]
"""`work(path, item)` → what to keep, as plain JSON. MediaError where the item is at fault, InputError to stop all."""

Task = tuple[str, str]
"""The path of an item's source, and the item."""

Result = tuple[str, Any]
"""("done", value), ("failed", reason) or ("stop", message)."""

Results = Generator[tuple[Task, Result], None, None]

ENGINES = ("local", "ray")
AHEAD = 4
"""Tasks handed out per process, so that none waits for the next."""


def run_tasks(work: Work, tasks: Iterable[Task], engine: str, jobs: int, timeout: float) -> Results:
    """Run `work` on every task, in any order; yields each with its result.

    `jobs` is the number of processes at a time; an item that takes longer than `timeout` seconds is ended. Closing the
    iterator ends all processes.
    """
    runner = {"local": _run_local, "ray": _run_ray}[engine]
    return runner(work, iter(tasks), jobs, timeout)


def attempt(work: Work, path: str, item: str) -> Result:
    """Call `work` in a worker, with every ending as a value."""
    try:
        return "done", work(path, item)
    except MediaError as error:
        return "failed", error.reason
    except InputError as error:
        return "stop", str(error)
    except Exception as error:  # what a decoder may raise on a broken file has no end
        return "failed", f"{type(error).__name__}: {error}".replace("\n", " ")


def _run_local(work: Work, tasks: Iterator[Task], jobs: int, timeout: float) -> Results:
    context = get_context("forkserver" if hasattr(os, "fork") else "spawn")
    if hasattr(os, "fork"):
        context.set_forkserver_preload([__name__])
    ended: queue.SimpleQueue[tuple[Task, Any]] = queue.SimpleQueue()
    with ProcessPool(max_workers=jobs, initializer=_start_worker, context=context) as pool:
        try:
            running = 0
            while True:
                for task in itertools.islice(tasks, AHEAD * jobs - running):
                    future = pool.schedule(attempt, args=(work, *task), timeout=timeout)
                    future.add_done_callback(functools.partial(_put, ended, task))
                    running += 1
                if not running:
                    return
                task, future = ended.get()
                running -= 1
                yield task, _result(future, timeout)
        finally:
            pool.stop()  # type: ignore[no-untyped-call]


def _put(ended: "queue.SimpleQueue[tuple[Task, Any]]", task: Task, future: Any) -> None:
    ended.put((task, future))


def _result(future: Any, timeout: float) -> Result:
    try:
        result: Result = future.result()
    except TimeoutError:
        return "failed", _too_long(timeout)
    except ProcessExpired as error:
        return "failed", f"reading it ended the process ({_ending(error.exitcode)})"
    return result


def _too_long(timeout: float) -> str:
    return f"took longer than {timeout:g} s (--timeout)"


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        try:
            return signal.Signals(-code).name
        except ValueError:
            pass
    return f"exit status {code}"


def _start_worker() -> None:
    """One thread per process, no chatter, and the interrupt key left to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    av.logging.set_level(None)


def _run_ray(work: Work, tasks: Iterator[Task], jobs: int, timeout: float) -> Results:
    """On the cluster that RAY_ADDRESS names, else on `jobs` processes here; all nodes must see the same files."""
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
                running[remote.remote(work, *task)] = task, time.monotonic()
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
                    yield task, ray.get(ref)
                except ray.exceptions.WorkerCrashedError:
                    yield task, ("failed", "reading it ended the process")
    finally:
        ray.shutdown()


def _attempt_on_ray(work: Work, path: str, item: str) -> Result:
    _start_worker_on_ray()
    return attempt(work, path, item)


@functools.cache
def _start_worker_on_ray() -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    av.logging.set_level(None)
