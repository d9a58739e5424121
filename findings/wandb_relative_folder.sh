#!/usr/bin/env bash
# `wandb.init(dir="runs")` in a process that has changed its working directory since an earlier `wandb.init`.
#
# Expected: a relative folder is below the current working directory, as everywhere else in Python.
# What happens: the first `init` starts a service in a process of its own, which serves all later runs, and which resolves
#   a relative `dir` against the directory in which it was started. Python creates the run's folder in one place, and the
#   service looks for it in the other: `init` raises and leaves a run without data.
# Why it matters: notebooks, Hydra (which can change to each run's folder), Ray and test suites change the directory.
# Instead: pass an absolute path, `dir=os.path.abspath("runs")`.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check wandb==0.30.0
cd "$work"
export WANDB_MODE=offline WANDB_DATA_DIR="$work/data" WANDB_CACHE_DIR="$work/cache" WANDB_CONFIG_DIR="$work/config"
venv/bin/python - <<'EOF'
import os
import sys
from pathlib import Path

import wandb

WORK = Path.cwd()


def track(place, absolute):
    """Whether a run with its folder in `place` can be tracked, and the files of runs found there."""
    (WORK / place / "runs").mkdir(parents=True)
    os.chdir(WORK / place)
    folder = os.path.abspath("runs") if absolute else "runs"
    try:
        run = wandb.init(project="p", dir=folder, settings=wandb.Settings(console="off", silent=True))
        run.log({"loss": 1.0})
        run.finish()
        said = "tracked"
    except wandb.errors.Error as error:
        said = f"{type(error).__name__}: {str(error).split(':')[0]}: … {str(error).split(':')[-1].strip()}"
    return said, len(list(Path("runs").rglob("run-*.wandb")))


print(f"wandb {wandb.__version__}")
found = {}
for place, absolute in (("first", False), ("second", False), ("third", True)):
    found[place] = track(place, absolute)
    said, files = found[place]
    print(f"{place} directory, {'absolute' if absolute else 'relative'} path: {said}; {files} files with data")
good = found["first"] == found["third"] == ("tracked", 1)
sys.exit(0 if good and found["second"][0] != "tracked" and found["second"][1] == 0 else "the behaviour has changed")
EOF
