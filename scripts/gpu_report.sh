#!/usr/bin/env bash
# Tests and measures this project on the GPU of this machine, in under 20 minutes, and writes a report.
#
#     bash scripts/gpu_report.sh [flags of python -m benchmarks.gpu_report]
#     bash scripts/gpu_report.sh --output /tmp/my_gpu --minutes 5
#
# First it runs the tests that need a GPU (python -m pytest -m gpu; those for several GPUs if there are several), then
# it measures training, testing and memory in every precision and memory format, against a ResNet without TAM and the
# published method. The report is benchmarks/results/DEVICE.md and .json, named after the GPU, and its targets are beside
# the figures. CUDA_VISIBLE_DEVICES chooses a GPU.
#
# Exit status: 0 done, 1 done but some tests failed, 2 no GPU or bad input. Needs Python 3.11 or newer; makes .venv, once.
# With --quick --device cpu it shows in a minute or two that everything runs, on a machine without a GPU.
set -euo pipefail
if [ "${1-}" = -h ] || [ "${1-}" = --help ]; then
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
    exit 0
fi
TEST_LIMIT=600 # seconds
LAST_BEGIN=1020 # seconds after which no other setting is started, so that the whole script takes less than 20 minutes
NEEDS_GPU=1
case " $* " in *" --device cpu "*) NEEDS_GPU='' ;; esac
if [ -n "$NEEDS_GPU" ] && [[ "$(nvidia-smi -L 2> /dev/null || true)" != *GPU* ]]; then
    echo "error: no GPU here (nvidia-smi lists none); run this on a machine that has one" >&2
    exit 2
fi
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
source "$ROOT/scripts/environment.sh" requirements-dev.txt
[ -z "$NEEDS_GPU" ] || "$PYTHON" -c '
import sys
import torch
build = f"torch {torch.__version__} for CUDA {torch.version.cuda}"
sys.exit(None if torch.cuda.is_available() else f"error: {build} cannot use the GPU; see docs/install.md")
' || exit 2

STATUS=0 SECONDS=0
SAID="$(mktemp)"
trap 'rm -f "$SAID"' EXIT
(cd "$ROOT" && timeout "$TEST_LIMIT" "$PYTHON" -m pytest -m gpu -n 0) 2>&1 | tee "$SAID" || STATUS=$?
[ "$STATUS" != 124 ] || echo "stopped after $TEST_LIMIT seconds" | tee -a "$SAID"
TESTS="$(tail -n 1 "$SAID")"
export PYTHONPATH="$ROOT${PYTHONPATH:+:$PYTHONPATH}"
"$PYTHON" -m benchmarks.gpu_report --tests "$TESTS" --minutes "$(((LAST_BEGIN - SECONDS) / 60))" "$@" || exit
[ "$STATUS" = 0 ] || echo "error: not all tests passed: $TESTS" >&2
exit "$((STATUS > 0))"
