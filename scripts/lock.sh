#!/usr/bin/env bash
# Writes constraints.txt: for each supported Python the versions of all packages that are installed together.
#
#     bash scripts/lock.sh [PACKAGE==VERSION …]
#     bash scripts/lock.sh torch==2.14.1 torchvision==0.29.1
#
# They are the newest that requirements-dev.txt allows, except for those that you name. Afterwards run the checks on
# every Python (python -m nox -s pinned), and commit the file only if they pass.
set -euo pipefail
if [ "${1-}" = -h ] || [ "${1-}" = --help ]; then
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
    exit 0
fi
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh requirements-dev.txt
wanted="$(mktemp)" locked="$(mktemp)"
trap 'rm -f "$wanted" "$locked"' EXIT
printf '%s\n' "$@" > "$wanted"
"$PYTHON" -m uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate \
    --constraints "$wanted" requirements-dev.txt --output-file "$locked"
{ echo "# Made by: bash scripts/lock.sh${*:+ $*}"; cat "$locked"; } > constraints.txt
