#!/usr/bin/env bash
# Checks everything: lint (ruff), types (mypy, strict on ops), tests (pytest). Sets up what it needs, once.
#
#     bash scripts/check.sh [--all] [pytest arguments]
#
#   --all   the tests once more with the lowest versions of the requirements on the lowest Python, and with the newest
#           ones on the newest Python, as far as these Pythons are installed, and the tests that need the libraries of
#           requirements-extra.txt (noxfile.py)
#
# Tests run side by side, up to four files at a time, each with one thread; -n 0 runs them one after the other.
set -euo pipefail
if [ "${1-}" = -h ] || [ "${1-}" = --help ]; then
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
    exit 0
fi
ALL=''
if [ "${1-}" = --all ]; then
    ALL=1
    shift
fi
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh requirements-dev.txt
"$PYTHON" -m ruff check .
"$PYTHON" -m ruff format --check .
"$PYTHON" -m mypy
export OMP_NUM_THREADS=1 # threads of several processes on the same cores wait for each other
"$PYTHON" -m pytest -n auto --maxprocesses 4 --max-worker-restart 0 --dist loadfile --no-loadscope-reorder "$@"
[ -z "$ALL" ] || "$PYTHON" -m nox -- "$@"
