"""In every process that is started, waiting threads do not spin for long, unless the user has set this."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from ops.common.threads import SPINNING

PROGRAM = f"""
import json, os, subprocess, sys
sys.path.insert(0, {str(ROOT)!r})
from ops.common.errors import run
NAMES = ("OMP_WAIT_POLICY", *{tuple(SPINNING)})
def main():
    assert "torch" not in sys.modules
    show = "import json, os; print(json.dumps({{name: os.environ.get(name) for name in %r}}))" % (NAMES,)
    subprocess.run([sys.executable, "-c", show], check=True)
    return 0
run(main)
"""


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, SPINNING),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, {"OMP_WAIT_POLICY": "ACTIVE"}),
        ({"GOMP_SPINCOUNT": "7"}, {"GOMP_SPINCOUNT": "7"}),
        ({"KMP_BLOCKTIME": "infinite"}, {"KMP_BLOCKTIME": "infinite"}),
    ],
)
def test_spinning_is_limited_unless_the_user_says_how_threads_wait(
    given: dict[str, str], expected: dict[str, str], tmp_path: Path
) -> None:
    own = {name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", *SPINNING)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, env={**own, **given}, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {name: value for name, value in json.loads(done.stdout).items() if value is not None} == expected
