#!/usr/bin/env bash
# Trains TSM (ResNet-50) on Something-Something v2 from extracted frames, 8 frames per clip, from ImageNet weights.
# The recipe is the one published with TSM's code, with its default weight decay and its 64 clips on 8 GPUs.
#
# Expects  $TAM_DATASETS/SomethingV2/frames/… (images) and
#          $TAM_DATASETS/SomethingV2/annotations/{train,val}.txt, lines "frames/video num_frames label"
# Gives    61.2 % top-1 (published), by test_tsm_somethingv2_rgb_8f.sh: 8 frames x 3 crops x 2 clips at 256
# Options  GPUS="0 1 2 3", TAM_DATASETS, CHECKPOINTS; further flags are passed on: bash scripts/train_tsm_somethingv2_rgb_8f.sh --resume auto
set -euo pipefail
source "$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/launch.sh"

BATCH=$((8 * NUM_GPUS))
run main.py somethingv2 RGB --arch resnet50 --shift --shift_div 8 --shift_place blockres --num_segments 8 --consensus_type avg \
    --batch-size "$BATCH" --lr 0.01 --scale_lr 64 --lr_steps 20 40 --epochs 50 \
    --dropout 0.5 --wd 0.0005 --gd 20 --npb --eval-freq 1 -j 8 ${GPU_FLAGS[@]+"${GPU_FLAGS[@]}"} \
    --root_log "$CHECKPOINTS" --root_model "$CHECKPOINTS" "$@"
