#!/usr/bin/env bash
# Tests TSM (ResNet-50) on Something-Something v2 from extracted frames: 8 frames x 3 crops x 2 clips at 256.
#
# Expects  $TAM_DATASETS/SomethingV2/frames/… (images) and
#          $TAM_DATASETS/SomethingV2/annotations/val.txt, lines "frames/video num_frames label"
#          and weights, published or yours: WEIGHTS=FILE, by default
#          pretrained/TSM_somethingv2_RGB_resnet50_shift8_blockres_avg_segment8_e45.pth
# Gives    61.2 % top-1 (published, with the published weights; docs/zoo.md says where they are)
# Options  GPUS="0 1", TAM_DATASETS, WEIGHTS; further flags are passed on
set -euo pipefail
source "$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/launch.sh"

WEIGHTS="${WEIGHTS:-$ROOT/pretrained/TSM_somethingv2_RGB_resnet50_shift8_blockres_avg_segment8_e45.pth}"
run test_models.py somethingv2 --weights "$WEIGHTS" --test_segments 8 --output "${WEIGHTS%.pth*}_test" \
    --test_crops 3 --full_res --sample twice --batch_size 16 -j 8 ${GPU_FLAGS[@]+"${GPU_FLAGS[@]}"} "$@"
