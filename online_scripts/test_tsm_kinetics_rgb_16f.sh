#!/usr/bin/env bash
# Tests TSM (ResNet-50) on Kinetics-400 from videos: 16 frames x 1 crop x 1 clip at 224.
#
# Expects  $TAM_DATASETS/Kinetics400/val/… (videos) and
#          $TAM_DATASETS/Kinetics400/k400_val_list.txt, lines "path num_frames label"
#          and weights, published or yours: WEIGHTS=FILE, by default
#          pretrained/TSM_kinetics_RGB_resnet50_shift8_blockres_avg_segment16_e50.pth
# Gives    72.6 % top-1 (published, with the published weights; docs/zoo.md says where they are)
# Options  GPUS="0 1", TAM_DATASETS, WEIGHTS; further flags are passed on
set -euo pipefail
source "$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/../scripts/launch.sh"

WEIGHTS="${WEIGHTS:-$ROOT/pretrained/TSM_kinetics_RGB_resnet50_shift8_blockres_avg_segment16_e50.pth}"
run online_test_models.py kinetics --weights "$WEIGHTS" --test_segments 16 --output "${WEIGHTS%.pth*}_test" \
    --test_crops 1 --sample uniform-1 --batch_size 32 -j 8 ${GPU_FLAGS[@]+"${GPU_FLAGS[@]}"} "$@"
