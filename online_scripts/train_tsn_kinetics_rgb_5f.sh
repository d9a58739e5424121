#!/usr/bin/env bash
# Trains TSN (ResNet-50) on Kinetics-400 from videos, 5 frames per clip, from ImageNet weights.
# The recipe is the one published with TSM's code, for 8 GPUs with 128 clips in total; otherwise the rate is scaled.
# Its authors recommend training a TSN with 5 frames and testing it with more, because it then overfits less.
#
# Expects  $TAM_DATASETS/Kinetics400/{train,val}/… (videos) and
#          $TAM_DATASETS/Kinetics400/k400_{train,val}_list.txt, lines "path num_frames label"
# Gives    68.8 % top-1 (published), by test_tsn_kinetics_rgb_8f.sh: 8 frames x 1 crop x 1 clip at 224
# Options  GPUS="0 1 2 3", TAM_DATASETS, CHECKPOINTS; further flags are passed on: bash online_scripts/train_tsn_kinetics_rgb_5f.sh --resume auto
set -euo pipefail
source "$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/../scripts/launch.sh"

BATCH=$((16 * NUM_GPUS))
run online_main.py kinetics RGB --arch resnet50 --num_segments 5 --consensus_type avg \
    --batch-size "$BATCH" --lr 0.02 --scale_lr 128 --lr_steps 20 40 --epochs 50 \
    --dropout 0.5 --wd 0.0001 --gd 20 --npb --eval-freq 1 -j 8 ${GPU_FLAGS[@]+"${GPU_FLAGS[@]}"} \
    --root_log "$CHECKPOINTS" --root_model "$CHECKPOINTS" "$@"
