#!/usr/bin/env bash
# Checks everything: lint (ruff), types (mypy, strict on ops), tests (pytest). Sets up what it needs, once.
#
#     bash scripts/check.sh [pytest arguments]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh requirements-dev.txt
"$PYTHON" -m ruff check .
"$PYTHON" -m ruff format --check .
"$PYTHON" -m mypy
"$PYTHON" -m pytest "$@"
