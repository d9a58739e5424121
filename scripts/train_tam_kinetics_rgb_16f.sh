#!/usr/bin/env bash
# Trains TANet-50 on Kinetics-400 from extracted frames, 16 frames per clip, from ImageNet weights.
# The 16-frame recipe was not published. This is ours: the 8-frame recipe with half the batch and half the rate.
#
# Expects  $TAM_DATASETS/Kinetics400/frames/… (images) and
#          $TAM_DATASETS/Kinetics400/annotations/{train,val}.txt, lines "frames/video num_frames label"
# Gives    76.9 / 92.9 % top-1 / top-5 (published), by test_tam_kinetics_rgb_16f.sh: 16 frames x 3 crops x 10 clips at 256
# Options  GPUS="0 1 2 3", TAM_DATASETS, CHECKPOINTS; further flags are passed on: bash scripts/train_tam_kinetics_rgb_16f.sh --resume auto
set -euo pipefail
source "$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/launch.sh"

BATCH=$((4 * NUM_GPUS))
run main.py kinetics RGB --arch resnet50 --tam --num_segments 16 --consensus_type avg --dense_sample \
    --batch-size "$BATCH" --lr 0.01 --scale_lr 64 --lr_steps 50 75 90 --epochs 100 \
    --dropout 0.5 --wd 0.0001 --gd 20 --npb --eval-freq 1 -j 8 ${GPU_FLAGS[@]+"${GPU_FLAGS[@]}"} \
    --root_log "$CHECKPOINTS" --root_model "$CHECKPOINTS" "$@"
