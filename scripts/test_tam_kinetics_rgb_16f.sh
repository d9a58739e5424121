#!/usr/bin/env bash
# Tests TANet-50 on Kinetics-400 from extracted frames: 16 frames x 3 crops x 10 clips at 256.
#
# Expects  $TAM_DATASETS/Kinetics400/frames/… (images) and
#          $TAM_DATASETS/Kinetics400/annotations/val.txt, lines "frames/video num_frames label"
#          and weights, published or yours: WEIGHTS=FILE, by default
#          $CHECKPOINTS/kinetics_RGB_resnet50_tam_avg_segment16_e100_dense/ckpt.best.pth.tar
# Gives    76.9 / 92.9 % top-1 / top-5 with the published weights
# Options  GPUS="0 1", TAM_DATASETS, CHECKPOINTS, WEIGHTS; further flags are passed on
set -euo pipefail
source "$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/launch.sh"

WEIGHTS="${WEIGHTS:-$CHECKPOINTS/kinetics_RGB_resnet50_tam_avg_segment16_e100_dense/ckpt.best.pth.tar}"
run test_models.py kinetics --weights "$WEIGHTS" --test_segments 16 \
    --test_crops 3 --full_res --sample dense-10 --batch_size 4 -j 8 ${GPU_FLAGS[@]+"${GPU_FLAGS[@]}"} "$@"
