#!/usr/bin/env bash
# Trains TSM (ResNet-50) on Kinetics-400 from videos, 8 frames per clip, from ImageNet weights.
# The command for dense sampling was not published. This is ours: the published one with dense sampling and the 100 epochs
# in the checkpoint's name, and with the learning rate steps of MMAction2's recipes of 100 epochs for TSN and TSM.
#
# Expects  $TAM_DATASETS/Kinetics400/{train,val}/… (videos) and
#          $TAM_DATASETS/Kinetics400/k400_{train,val}_list.txt, lines "path num_frames label"
# Gives    74.1 % top-1 (published), by test_tsm_kinetics_dense_rgb_8f.sh: 8 frames x 3 crops x 10 clips at 256
# Options  GPUS="0 1 2 3", TAM_DATASETS, CHECKPOINTS; further flags are passed on: bash online_scripts/train_tsm_kinetics_dense_rgb_8f.sh --resume auto
set -euo pipefail
source "$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/../scripts/launch.sh"

BATCH=$((16 * NUM_GPUS))
run online_main.py kinetics RGB --arch resnet50 --shift --shift_div 8 --shift_place blockres --num_segments 8 --consensus_type avg --dense_sample \
    --batch-size "$BATCH" --lr 0.02 --scale_lr 128 --lr_steps 40 80 --epochs 100 \
    --dropout 0.5 --wd 0.0001 --gd 20 --npb --eval-freq 1 -j 8 ${GPU_FLAGS[@]+"${GPU_FLAGS[@]}"} \
    --root_log "$CHECKPOINTS" --root_model "$CHECKPOINTS" "$@"
