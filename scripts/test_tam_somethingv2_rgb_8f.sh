#!/usr/bin/env bash
# Tests TANet-50 on Something-Something v2 from extracted frames: 8 frames x 3 crops x 2 clips at 256.
#
# Expects  $TAM_DATASETS/SomethingV2/frames/… (images) and
#          $TAM_DATASETS/SomethingV2/annotations/val.txt, lines "frames/video num_frames label"
#          and weights, published or yours: WEIGHTS=FILE, by default
#          $CHECKPOINTS/somethingv2_RGB_resnet50_tam_avg_segment8_e50/ckpt.best.pth.tar
# Gives    62.7 / 88.0 % top-1 / top-5 with the published weights
# Options  GPUS="0 1", TAM_DATASETS, CHECKPOINTS, WEIGHTS; further flags are passed on
set -euo pipefail
source "$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/launch.sh"

WEIGHTS="${WEIGHTS:-$CHECKPOINTS/somethingv2_RGB_resnet50_tam_avg_segment8_e50/ckpt.best.pth.tar}"
run test_models.py somethingv2 --weights "$WEIGHTS" --test_segments 8 \
    --test_crops 3 --full_res --sample uniform-2 --batch_size 32 -j 8 ${GPU_FLAGS[@]+"${GPU_FLAGS[@]}"} "$@"
