#!/usr/bin/env bash
# Trains on a Slurm cluster, with one torchrun per node. Two minutes before the time limit, the run saves and stops, and the
# job is queued again to continue. Submit it from the repository's root:
#
#     sbatch --nodes 2 --gpus-per-node 8 scripts/slurm_train.sh online_main.py kinetics RGB \
#         --tam --dense_sample --npb --gd 20 -b 128 --scale_lr 64 --ckpt_interval 15m --keep 1
#
# PYTHON (default: .venv/bin/python) and PORT (default: 29500) come from the environment.
#SBATCH --job-name=tam
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=64
#SBATCH --time=24:00:00
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail
ROOT="${SLURM_SUBMIT_DIR:?submit it with sbatch}" # Slurm runs a copy of this file from elsewhere
PYTHON="${PYTHON:-$ROOT/.venv/bin/python}"
SCRIPT="${1:?which script? such as online_main.py}"
shift

HEAD="$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed -n 1p)"
srun --kill-on-bad-exit=0 "$PYTHON" -m torch.distributed.run \
    --nnodes "$SLURM_JOB_NUM_NODES" --nproc-per-node "${SLURM_GPUS_ON_NODE:-1}" \
    --rdzv-id "$SLURM_JOB_ID" --rdzv-backend c10d --rdzv-endpoint "$HEAD:${PORT:-29500}" \
    "$ROOT/$SCRIPT" "$@" --resume auto &
STEP=$!

# torchrun forwards SIGTERM to its processes, which all save after the current step and exit.
ENDING=""
trap 'ENDING=1; kill -TERM "$STEP"' USR1
STATUS=0
wait "$STEP" || STATUS=$?
if [ -n "$ENDING" ]; then
    wait "$STEP" || true
    scontrol requeue "$SLURM_JOB_ID"
    exit 0
fi
exit "$STATUS"
