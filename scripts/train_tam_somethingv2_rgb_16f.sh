#!/usr/bin/env bash
# Trains TANet-50 on Something-Something v2 from extracted frames, 16 frames per clip, from ImageNet weights.
# The 16-frame recipe was not published. This is ours: the 8-frame recipe with half the batch and half the rate.
#
# Expects  $TAM_DATASETS/SomethingV2/frames/… (images) and
#          $TAM_DATASETS/SomethingV2/annotations/{train,val}.txt, lines "frames/video num_frames label"
# Gives    64.6 / 89.5 % top-1 / top-5 (published), by test_tam_somethingv2_rgb_16f.sh: 16 frames x 3 crops x 2 clips at 256
# Options  GPUS="0 1 2 3", TAM_DATASETS, CHECKPOINTS; further flags are passed on: bash scripts/train_tam_somethingv2_rgb_16f.sh --resume auto
set -euo pipefail
source "$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/launch.sh"

BATCH=$((8 * NUM_GPUS))
run main.py somethingv2 RGB --arch resnet50 --tam --num_segments 16 --consensus_type avg \
    --batch-size "$BATCH" --lr 0.02 --scale_lr 128 --lr_steps 30 40 45 --epochs 50 \
    --dropout 0.5 --wd 0.0005 --gd 20 --npb --eval-freq 1 -j 8 ${GPU_FLAGS[@]+"${GPU_FLAGS[@]}"} \
    --root_log "$CHECKPOINTS" --root_model "$CHECKPOINTS" "$@"
