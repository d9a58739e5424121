#!/usr/bin/env bash
# Tests TANet-50 on Something-Something v1 from extracted frames: 8 frames x 1 crop x 1 clip at 224.
#
# Expects  $TAM_DATASETS/SomethingV1/frames/… (images) and
#          $TAM_DATASETS/SomethingV1/annotations/val.txt, lines "frames/video num_frames label"
#          and weights, published or yours: WEIGHTS=FILE, by default
#          $CHECKPOINTS/something_RGB_resnet50_tam_avg_segment8_e50/ckpt.best.pth.tar
# Gives    46.5 / 75.8 % top-1 / top-5 with the published weights
# Options  GPUS="0 1", TAM_DATASETS, CHECKPOINTS, WEIGHTS; further flags are passed on
set -euo pipefail
source "$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/launch.sh"

WEIGHTS="${WEIGHTS:-$CHECKPOINTS/something_RGB_resnet50_tam_avg_segment8_e50/ckpt.best.pth.tar}"
run test_models.py something --weights "$WEIGHTS" --test_segments 8 \
    --test_crops 1 --sample uniform-1 --batch_size 32 -j 8 ${GPU_FLAGS[@]+"${GPU_FLAGS[@]}"} "$@"
