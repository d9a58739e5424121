#!/usr/bin/env bash
# Tests TSN (ResNet-50) on Kinetics-400 from extracted frames: 8 frames x 3 crops x 10 clips at 256.
#
# Expects  $TAM_DATASETS/Kinetics400/frames/… (images) and
#          $TAM_DATASETS/Kinetics400/annotations/val.txt, lines "frames/video num_frames label"
#          and weights, published or yours: WEIGHTS=FILE, by default
#          pretrained/TSM_kinetics_RGB_resnet50_avg_segment5_e50.pth
# Gives    70.6 % top-1 (published, with the published weights; docs/zoo.md says where they are)
# Options  GPUS="0 1", TAM_DATASETS, WEIGHTS; further flags are passed on
set -euo pipefail
source "$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/launch.sh"

WEIGHTS="${WEIGHTS:-$ROOT/pretrained/TSM_kinetics_RGB_resnet50_avg_segment5_e50.pth}"
run test_models.py kinetics --weights "$WEIGHTS" --test_segments 8 --output "${WEIGHTS%.pth*}_test" \
    --test_crops 3 --full_res --sample dense-10 --batch_size 8 -j 8 ${GPU_FLAGS[@]+"${GPU_FLAGS[@]}"} "$@"
