"""Large blocks of memory are used again instead of being fetched from the system each time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from ops.common.heap import is_glibc

PAGES, TIMES = 2**26 // 4096, 8
"""The pages of a block of 64 MiB, and how often one is made."""

PROGRAM = f"""
import resource, sys
sys.path.insert(0, {str(ROOT)!r})
from ops.common.errors import run
def main():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range({TIMES}):
        b"x" * 2**26  # NumPy would ask for pages of 2 MiB
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    return 0
run(main)
"""


def new_pages(tmp_path: Path, **variables: str) -> float:
    """How many times the pages of the block were fetched from the system, with these variables of the environment."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(
        command, cwd=tmp_path, env={**own, **variables}, capture_output=True, text=True, timeout=60, check=True
    )
    return int(done.stdout) / PAGES


@pytest.mark.skipif(not is_glibc(), reason="only glibc is set")
def test_large_blocks_are_used_again(tmp_path: Path) -> None:
    assert new_pages(tmp_path) < 1.5


@pytest.mark.skipif(not is_glibc(), reason="only glibc is set")
@pytest.mark.parametrize(
    ("name", "value"), [("MALLOC_ARENA_MAX", "2"), ("GLIBC_TUNABLES", "glibc.malloc.mmap_max=65536")]
)
def test_an_allocator_that_the_user_has_set_is_left_as_it_is(name: str, value: str, tmp_path: Path) -> None:
    assert new_pages(tmp_path, **{name: value}) > TIMES - 1.5
