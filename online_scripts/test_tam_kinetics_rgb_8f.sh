#!/usr/bin/env bash
# Tests TANet-50 on Kinetics-400 from videos: 8 frames x 3 crops x 10 clips at 256.
#
# Expects  $TAM_DATASETS/Kinetics400/val/… (videos) and
#          $TAM_DATASETS/Kinetics400/k400_val_list.txt, lines "path num_frames label"
#          and weights, published or yours: WEIGHTS=FILE, by default
#          $CHECKPOINTS/kinetics_RGB_resnet50_tam_avg_segment8_e100_dense/ckpt.best.pth.tar
# Gives    76.1 / 92.3 % top-1 / top-5 with the published weights
# Options  GPUS="0 1", TAM_DATASETS, CHECKPOINTS, WEIGHTS; further flags are passed on
set -euo pipefail
source "$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/../scripts/launch.sh"

WEIGHTS="${WEIGHTS:-$CHECKPOINTS/kinetics_RGB_resnet50_tam_avg_segment8_e100_dense/ckpt.best.pth.tar}"
run online_test_models.py kinetics --weights "$WEIGHTS" --test_segments 8 \
    --test_crops 3 --full_res --sample dense-10 --batch_size 8 -j 8 ${GPU_FLAGS[@]+"${GPU_FLAGS[@]}"} "$@"
