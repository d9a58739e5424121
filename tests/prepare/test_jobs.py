"""Long jobs survive everything that a video can do to its process, and continue after any interruption."""

import argparse
import functools
import json
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import media
import pytest
from conftest import ROOT

from ops.common.arguments import Parser
from ops.common.errors import InputError, MediaError, RunStoppedError
from ops.common.storage import stamp_of
from ops.prepare import executors
from ops.prepare.count_frames import probe_video
from ops.prepare.executors import Results, Task, Work, run_tasks
from ops.prepare.jobs import JOURNAL, Job
from ops.prepare.journal import Journal, Outcome
from ops.prepare.options import JobOptions, Shard, add_job_options, job_options

ITEMS = [f"{number}.txt" for number in range(12)]


def measure(path: str, item: str) -> dict[str, Any]:
    """The size of a file. Words in its content make the process that reads it fail in various ways."""
    text = Path(path).read_text()
    if "exit" in text:
        os._exit(3)
    if "kill" in text:
        os.kill(os.getpid(), signal.SIGKILL)
    if "hang" in text:
        time.sleep(60)
    if "raise" in text:
        raise RuntimeError("two\nlines")
    if "refuse" in text:
        raise MediaError(path, "is refused")
    if "stop" in text:
        raise InputError("no space left")
    return {"size": len(text)}


def write(folder: Path, orders: dict[str, str] | None = None) -> list[str]:
    """Write a source file for each item, and return the items."""
    folder.mkdir(exist_ok=True)
    for item in ITEMS:
        (folder / item).write_text((orders or {}).get(item, item))
    return ITEMS


TWO = JobOptions(2)


def finish(folder: Path, out: Path, options: JobOptions = TWO, **settings: Any) -> list[Outcome] | None:
    """Run the job and return the outcomes of the items in `folder`, or None as long as other shards are not done."""
    with Job(measure, ITEMS, folder, out, settings, options) as job:
        return list(job.outcomes()) if job.run("test", shown=False) else None


def lines_of(out: Path) -> list[str]:
    return [line for path in sorted((out / JOURNAL).iterdir()) for line in path.read_text().splitlines()]


def plain(outcomes: list[Outcome] | None) -> list[tuple[str, dict[str, Any], str]]:
    return [(outcome.item, outcome.value, outcome.reason) for outcome in outcomes or []]


ENDINGS = {
    "1.txt": ("exit", "reading it crashed the process (exit status 3)"),
    "3.txt": ("kill", "reading it crashed the process (SIGKILL)"),
    "5.txt": ("hang", "took longer than 5 s (--timeout)"),
    "7.txt": ("raise", "RuntimeError: two lines"),
    "9.txt": ("refuse", "is refused"),
}


def test_every_kind_of_failure_names_its_item_and_the_others_are_done(tmp_path: Path) -> None:
    write(tmp_path / "in", {item: order for item, (order, _) in ENDINGS.items()})
    outcomes = finish(tmp_path / "in", tmp_path, JobOptions(2, timeout=5))
    assert outcomes and [outcome.item for outcome in outcomes] == ITEMS
    reasons = {outcome.item: outcome.reason for outcome in outcomes if not outcome.ok}
    assert reasons == {item: reason for item, (_, reason) in ENDINGS.items()}
    assert {outcome.value["size"] for outcome in outcomes if outcome.ok} == {5, 6}

    assert plain(finish(tmp_path / "in", tmp_path, JobOptions(1, timeout=1))) == plain(outcomes)
    assert len(lines_of(tmp_path)) == len(ITEMS), "failures are not tried again"

    for item in ENDINGS:  # readable now, with the same size and time, as after a temporary network error
        stamp = (tmp_path / "in" / item).stat()
        (tmp_path / "in" / item).write_text("x" * stamp.st_size)
        os.utime(tmp_path / "in" / item, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    again = finish(tmp_path / "in", tmp_path, JobOptions(2, retry=True))
    assert again and all(outcome.ok for outcome in again)
    assert len(lines_of(tmp_path)) == len(ITEMS) + len(ENDINGS)


def test_an_item_can_stop_the_whole_job(tmp_path: Path) -> None:
    write(tmp_path / "in", {"4.txt": "stop"})
    with pytest.raises(InputError, match=r"^no space left$"):
        finish(tmp_path / "in", tmp_path)
    assert not multiprocessing.active_children()


def test_shards_give_what_one_run_gives_and_share_their_work(tmp_path: Path) -> None:
    write(tmp_path / "in", {"2.txt": "refuse"})
    whole = finish(tmp_path / "in", tmp_path / "whole")
    shared = [finish(tmp_path / "in", tmp_path / "shared", JobOptions(1, shard=Shard(i, 3))) for i in (2, 1, 3)]
    assert shared[:2] == [None, None]
    assert shared[2] == whole
    assert finish(tmp_path / "in", tmp_path / "shared", JobOptions(1)) == whole, "another shard count, the same work"
    assert len(lines_of(tmp_path / "shared")) == len(ITEMS)

    (tmp_path / "in" / "3.txt").write_text("longer than before")
    changed = finish(tmp_path / "in", tmp_path / "shared", JobOptions(1))
    assert changed and changed[3].value == {"size": 18}
    assert len(lines_of(tmp_path / "shared")) == len(ITEMS) + 1, "only what changed is done again"

    with Job(measure, ITEMS, tmp_path / "in", tmp_path / "shared", {}, JobOptions(1), lambda done: False) as job:
        assert job.run("test", shown=False)
    assert len(lines_of(tmp_path / "shared")) == 2 * len(ITEMS) + 1, "what was made is gone, so all is made again"
    finish(tmp_path / "in", tmp_path / "shared", JobOptions(1), other="settings")
    assert len(list((tmp_path / "shared" / JOURNAL).iterdir())) == 5


def test_a_pool_that_breaks_is_replaced(tmp_path: Path) -> None:
    write(tmp_path / "in")

    def tasks() -> Iterator[Task]:
        for item in ITEMS:
            yield Task(str(tmp_path / "in" / item), item, "")
            if item == ITEMS[0]:  # no process has an item yet
                for child in multiprocessing.active_children():
                    child.kill()
                    child.join()

    results = list(run_tasks(measure, tasks(), "local", 2, timeout=60))
    assert sorted(task.item for task, _ in results) == sorted(ITEMS)
    assert {ending for _, (ending, _) in results} == {"done"}


def test_pools_that_break_again_and_again_stop_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is not an InputError, because some of the work may be done already (status 3)."""

    def breaks(work: Work, tasks: Iterator[Task], jobs: int, timeout: float, running: dict[Any, Task]) -> Results:
        running[len(running)] = next(tasks)
        yield from ()

    monkeypatch.setattr(executors, "_run_pool", breaks)
    with pytest.raises(RunStoppedError, match="keep dying"):
        list(run_tasks(measure, iter([Task("a", "a", "")]), "local", 2, timeout=60))


def wait_for(condition: Callable[[], bool], process: "subprocess.Popen[str] | None" = None) -> None:
    end = time.monotonic() + 600
    while not condition():
        assert not process or process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def descendants(parent: int) -> list[int]:
    """All child processes of a process, and their children."""
    found, parents = [], {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    for pid in parents:
        above = parents.get(pid, 0)
        while above not in (0, parent):
            above = parents.get(above, 0)
        if above:
            found.append(pid)
    return found


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


PROGRAM = """
import sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
from ops.common.errors import run
from ops.prepare.jobs import Job
from ops.prepare.options import JobOptions

def note(path, item):
    with Path(path).with_suffix(".done").open("a") as file:
        file.write("x")
    time.sleep(60 if "hang" in item else 0.05)
    return {{}}

def main():
    with Job(note, {items}, {folder!r}, {folder!r}, {{}}, JobOptions(2)) as job:
        job.run("test", shown=False)

if __name__ == "__main__":
    run(main)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")
def test_no_process_is_left_and_no_work_repeated_after_a_signal_or_a_kill(tmp_path: Path) -> None:
    items = [*ITEMS, "hang.txt"]
    for item in items:
        (tmp_path / item).touch()
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(root=str(ROOT), folder=str(tmp_path), items=items))

    def started_then(number: int, done: int) -> tuple[int, str]:
        """Start the program, send the signal after `done` items, and return its status and its error output."""
        with subprocess.Popen([sys.executable, str(program)], cwd="/", stderr=subprocess.PIPE, text=True) as process:
            wait_for(lambda: (tmp_path / JOURNAL).is_dir() and len(lines_of(tmp_path)) >= done, process)
            children = descendants(process.pid)
            assert len(children) >= 3, "a server of forks and two workers"
            os.kill(process.pid, number)
            said = process.stderr.read() if process.stderr else ""
        wait_for(lambda: not any(map(runs, children)))
        return process.returncode, said

    assert started_then(signal.SIGTERM, done=2) == (130, "interrupted\n")
    finished = [json.loads(line)["item"] for line in lines_of(tmp_path)]
    assert started_then(signal.SIGKILL, done=len(ITEMS))[0] == -signal.SIGKILL
    assert {(tmp_path / item).with_suffix(".done").read_text() for item in finished} == {"x"}, "worked on once"
    assert sorted(json.loads(line)["item"] for line in lines_of(tmp_path)) == sorted(ITEMS)


def test_a_journal_takes_no_harm_from_torn_lines(tmp_path: Path) -> None:
    with Journal(tmp_path, {}) as journal:
        journal.add(Outcome("a", "s", {"n": 1}))
        journal.add(Outcome("\udcff ü\n", "s", {"n": 2}))
        path = journal.path
    whole = path.read_bytes()
    for torn in (b'{"time": 1, "item": "b", "sta', b"\0\0\0\n[]\nnull\n{}\n\xff\n", b'{"time": "x"}'):
        path.write_bytes(whole + torn)
        with Journal(tmp_path, {}) as journal:
            assert journal.get("a", "s") == Outcome("a", "s", {"n": 1})
            assert journal.get("b", "s") is None
            assert journal.get("a", "other") is None
            journal.add(Outcome("b", "s"))
            journal.reload()
            assert journal.get("b", "s") == Outcome("b", "s")
            assert journal.get("\udcff ü\n", "s") == Outcome("\udcff ü\n", "s", {"n": 2})


def test_the_last_outcome_counts_no_matter_in_which_file(tmp_path: Path) -> None:
    for name, outcome in (
        ("2-of-2", Outcome("a", "s", reason="broken")),
        ("1-of-1", Outcome("a", "s", {"n": 1})),
        ("2-of-2", Outcome("b", "s")),
    ):
        with Journal(tmp_path, {}, name) as journal:
            journal.add(outcome)
    with Journal(tmp_path, {}, "3-of-4") as journal:
        assert journal.get("a", "s") == Outcome("a", "s", {"n": 1})


def test_more_shards_than_files_may_be_open(tmp_path: Path) -> None:
    for number in range(300):
        line = json.dumps({"time": 0.0, "item": str(number), "stamp": "s", "value": {}, "reason": ""})
        with Journal(tmp_path, {}) as journal:
            journal.path.with_name(journal.path.name.replace("1-of-1", f"{number}-of-300")).write_text(line + "\n")
    with Journal(tmp_path, {}) as journal:
        assert all(journal.get(str(number), "s") for number in range(300))
        assert len(os.listdir("/proc/self/fd")) < 300 if Path("/proc/self/fd").exists() else True


def test_two_writers_of_one_shard_are_refused(tmp_path: Path) -> None:
    refused = pytest.raises(InputError, match="another process is doing the same work")
    with Journal(tmp_path, {}), Journal(tmp_path, {}, "2-of-2"), Journal(tmp_path, {"other": 1}), refused:
        Journal(tmp_path, {})
    Journal(tmp_path, {}).close()


def test_a_full_disk_is_said_in_one_line(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.raises(InputError, match="cannot be written"), Journal(tmp_path, {}) as journal:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, limits[1]))
        try:
            for number in range(100):
                journal.add(Outcome(f"item {number}", "s"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with Journal(tmp_path, {}) as journal:
        assert journal.get("item 0", "s")
        journal.add(Outcome("after", "s"))
        journal.reload()
        assert journal.get("after", "s")


def test_a_stamp_says_which_state_of_a_file_was_seen(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("12")
    assert stamp_of(tmp_path / "a").startswith("2-")
    assert stamp_of(tmp_path / "b") == stamp_of("\0") == "absent"


@pytest.mark.parametrize(("text", "shard"), [("1/1", Shard(1, 1)), ("3/16", Shard(3, 16))])
def test_shards_are_read(text: str, shard: Shard) -> None:
    assert parse("--shard", text).shard == shard
    assert [list(shard.of("abcdefg"[:total])) for total in (7,)] == [list("abcdefg"[shard.index - 1 :: shard.count])]
    assert all(shard.size(total) == len(list(shard.of(map(str, range(total))))) for total in range(40))


@pytest.mark.parametrize(
    "flags",
    [("--shard", text) for text in ("0/4", "5/4", "1", "1/", "/4", "a/b", "1/0", "-1/4", "1.5/2", "")]
    + [("-j", "0"), ("--timeout", "0"), ("--timeout", "nan"), ("--engine", "slurm")],
)
def test_invalid_values_of_flags_are_refused(flags: tuple[str, str]) -> None:
    with pytest.raises(InputError, match=flags[0]):
        parse(*flags)


def parse(*flags: str) -> JobOptions:
    parser: argparse.ArgumentParser = Parser()
    add_job_options(parser)
    return job_options(parser.parse_args(flags))


def test_a_missing_ray_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # as if it was not installed
    write(tmp_path / "in")
    with pytest.raises(InputError, match=r"^--engine ray needs Ray: python -m pip install ray$"):
        finish(tmp_path / "in", tmp_path, JobOptions(1, "ray"))


def test_ray_gives_what_local_processes_give(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    items = [media.write_video(tmp_path / f"{number}.mp4", 3 + number).name for number in range(4)]
    (tmp_path / "1.mp4").write_text("no video")
    work = functools.partial(probe_video, verify="decode")
    found = []
    for engine in ("local", "ray"):
        with Job(work, items, tmp_path, tmp_path / engine, {}, JobOptions(2, engine)) as job:
            assert job.run("test", shown=False)
            found.append(list(job.outcomes()))
    assert found[0] == found[1] and [outcome.ok for outcome in found[0]] == [True, False, True, True]


def test_a_clock_that_is_set_back_does_not_change_the_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line that was written last counts, in one file and across the files of several shards."""
    clock = [2000.0]
    monkeypatch.setattr("ops.prepare.journal.time.time", lambda: clock[0])
    with Journal(tmp_path, {}) as journal:
        journal.add(Outcome("a", "s", reason="the disc is busy"))
        journal.add(Outcome("b", "s", reason="the disc is busy"))
    clock[0] = 1000.0
    with Journal(tmp_path, {}) as journal:
        journal.add(Outcome("a", "s", {"n": 1}))
    with Journal(tmp_path, {}, "2-of-2") as journal:
        journal.add(Outcome("b", "s", {"n": 2}))
        journal.reload()
        assert journal.get("a", "s") == Outcome("a", "s", {"n": 1})
        assert journal.get("b", "s") == Outcome("b", "s", {"n": 2})
    path = next(tmp_path.glob("*-1-of-1.jsonl"))
    entry = {"item": "c", "stamp": "s", "value": {}}
    old = [json.dumps({"time": at, "reason": why, **entry}) for at, why in ((9, "no"), (3, ""))]
    path.write_text("".join(f"{line}\n" for line in old))  # as in older versions
    with Journal(tmp_path, {}) as journal:
        assert journal.get("c", "s") == Outcome("c", "s")
