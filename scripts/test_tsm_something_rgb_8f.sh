#!/usr/bin/env bash
# Tests TSM (ResNet-50) on Something-Something v1 from extracted frames: 8 frames x 1 crop x 1 clip at 224.
#
# Expects  $TAM_DATASETS/SomethingV1/frames/… (images) and
#          $TAM_DATASETS/SomethingV1/annotations/val.txt, lines "frames/video num_frames label"
#          and weights, published or yours: WEIGHTS=FILE, by default
#          pretrained/TSM_something_RGB_resnet50_shift8_blockres_avg_segment8_e45.pth
# Gives    45.6 % top-1 (published, with the published weights; docs/zoo.md says where they are)
# Options  GPUS="0 1", TAM_DATASETS, WEIGHTS; further flags are passed on
set -euo pipefail
source "$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/launch.sh"

WEIGHTS="${WEIGHTS:-$ROOT/pretrained/TSM_something_RGB_resnet50_shift8_blockres_avg_segment8_e45.pth}"
run test_models.py something --weights "$WEIGHTS" --test_segments 8 --output "${WEIGHTS%.pth*}_test" \
    --test_crops 1 --sample uniform-1 --batch_size 32 -j 8 ${GPU_FLAGS[@]+"${GPU_FLAGS[@]}"} "$@"
