# Sourced by the recipe scripts. Sets ROOT (this repository), PYTHON, TAM_DATASETS, CHECKPOINTS, NUM_GPUS and GPU_FLAGS,
# and defines `run SCRIPT FLAGS…`. Environment variables override the defaults:
#
#   GPUS="0 1 2 3"        the GPUs to use, one process each (default: all that nvidia-smi lists)
#   TAM_DATASETS=DIR      where the datasets are (default: datasets/ in this repository)
#   CHECKPOINTS=DIR       where runs and published weights are (default: checkpoints/ in this repository)
#   PYTHON=FILE           default: .venv/bin/python in this repository, else python3

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
if [ -z "${PYTHON:-}" ]; then
    PYTHON=python3
    [ ! -x "$ROOT/.venv/bin/python" ] || PYTHON="$ROOT/.venv/bin/python"
fi
export TAM_DATASETS="${TAM_DATASETS:-$ROOT/datasets}"
CHECKPOINTS="${CHECKPOINTS:-$ROOT/checkpoints}"

if [ -z "${GPUS+set}" ]; then
    GPUS="$(nvidia-smi --query-gpu=index --format=csv,noheader 2>/dev/null | tr '\n' ' ' || true)"
fi
read -r -a GPU_LIST <<< "$GPUS" || true
NUM_GPUS="${#GPU_LIST[@]}"
GPU_FLAGS=()
if [ "$NUM_GPUS" -gt 0 ]; then
    GPU_FLAGS=(--gpus "${GPU_LIST[@]}")
else
    NUM_GPUS=1
fi

run() {
    local script="$1"
    shift
    exec "$PYTHON" -u "$ROOT/$script" "$@"
}
