"""Fixtures and settings for all tests, such as restoring random states and starting the project's scripts."""

import atexit
import ctypes
import gc
import os
import random
import runpy
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

if sys.dont_write_bytecode:
    # PYTHONDONTWRITEBYTECODE keeps compiled modules out of their folders. Those of one run of pytest go to a temporary
    # folder, because hundreds of processes import PyTorch here, and to compile it takes longer than to load it.
    sys.pycache_prefix = os.environ["PYTHONPYCACHEPREFIX"] = tempfile.mkdtemp(prefix="tam-bytecode-")
    sys.dont_write_bytecode = bool(os.environ.pop("PYTHONDONTWRITEBYTECODE", ""))
    atexit.register(shutil.rmtree, sys.pycache_prefix, ignore_errors=True)

import numpy as np
import pytest
import torch
from media import schedule_as_usual

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "reference")]
# Deprecation warnings are errors in processes that tests start, as in pytest itself (filterwarnings in pyproject.toml).
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT / "tests/strict"), os.environ.get("PYTHONPATH")]))

NewFolder = Callable[[str], Path]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


LONGEST = ("finetune", "preemption", "ranks", "faults", "scripts", "family", "gpu_report")
"""The files of tests that take longest come first: one of them at the end would leave the other processes idle."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files of tests: the longest ones first, the others as they were."""
    items.sort(key=lambda item: item.path.stem.removeprefix("test_") not in LONGEST)


def pytest_collection_finish() -> None:
    """Exclude what exists before the first test from garbage collection, which drawing a figure starts."""
    gc.freeze()


@pytest.fixture(autouse=True)
def _random_state() -> Iterator[None]:
    """Seed the random numbers of each test, and restore the state afterwards."""
    states, threads = (torch.get_rng_state(), np.random.get_state(), random.getstate()), torch.get_num_threads()
    torch.manual_seed(0)
    yield
    torch.set_rng_state(states[0])
    np.random.set_state(states[1])
    random.setstate(states[2])
    torch.set_num_threads(threads)  # a resumed training restores its number of threads


@pytest.fixture(autouse=True)
def _usual_scheduling() -> Iterator[None]:
    """Do not let a test leave the process at real-time priority."""
    schedule_as_usual()
    yield
    schedule_as_usual()


@pytest.fixture(autouse=True)
def _no_datasets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the user's own datasets and distributed environment from tests."""
    for name in ("TAM_DATASETS", "RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    from ops.common.threads import SPINNING

    for name, value in SPINNING.items():  # otherwise a script called in this process would set them for all later tests
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def new_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewFolder]:
    """Makes folders for what the tests of a module share, which are removed after the last of them."""
    made = []

    def make(name: str) -> Path:
        made.append(tmp_path_factory.mktemp(name))
        return made[-1]

    yield make
    for folder in made:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def script(tmp_path: Path) -> Run:
    """Runs one of the project's scripts in `tmp_path`, as a user would, and returns what it printed and its status."""

    def run(*command: object, status: int | None = 0, processes: int = 1) -> "subprocess.CompletedProcess[str]":
        name, *arguments = map(str, command)
        python = [sys.executable]
        if processes > 1:
            python += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        done = subprocess.run(
            [*python, str(ROOT / name), *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=240,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        if status is not None:
            assert done.returncode == status, done.stdout + done.stderr
        return done

    return run


@contextmanager
def modes_count() -> Iterator[None]:
    """Within the context, file modes also apply to root, because this thread gives up CAP_DAC_OVERRIDE for a while."""
    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    if os.geteuid() or libc.capget(header, sets):
        yield
        return
    effective, without = sets[0], sets[0] & ~0b110
    sets[0] = without
    libc.capset(header, sets)
    try:
        yield
    finally:
        sets[0] = effective
        libc.capset(header, sets)


@dataclass(frozen=True)
class Ended:
    """How a script ended: its exit status and what it printed."""

    status: int
    out: str
    err: str


Call = Callable[..., Ended]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs one of the project's scripts inside this process, in `tmp_path`, which is faster than a new process."""

    def run(name: str, *arguments: object, status: int | None = 0) -> Ended:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [str(ROOT / name), *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            runpy.run_path(str(ROOT / name), run_name="__main__")
        printed = capsys.readouterr()
        ended = Ended(int(left.value.code or 0), printed.out, printed.err)
        if status is not None:
            assert ended.status == status, printed.out + printed.err
        return ended

    return run


@pytest.fixture
def float32_is_float32() -> Iterator[None]:
    """Turn TF32 off, as the scripts do, and restore the settings after the test."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before
