#!/usr/bin/env bash
# Fine-tunes TSM (ResNet-50) on UCF101 from videos, 8 frames per clip, from the weights of Kinetics-400.
# The recipe is the one published with TSM's code. It trains only the first batch norm (no --npb).
#
# Expects  $TAM_DATASETS/UCF101/{train,val}/… (videos) and
#          $TAM_DATASETS/UCF101/ucf101_{train,val}_list.txt, lines "path num_frames label"
#          and weights, published or yours: WEIGHTS=FILE, by default
#          pretrained/TSM_kinetics_RGB_resnet50_shift8_blockres_avg_segment8_e50.pth
# Gives    no accuracy was published with the code
# Options  GPUS="0 1", TAM_DATASETS, CHECKPOINTS, WEIGHTS; further flags are passed on
set -euo pipefail
source "$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/../scripts/launch.sh"

WEIGHTS="${WEIGHTS:-$ROOT/pretrained/TSM_kinetics_RGB_resnet50_shift8_blockres_avg_segment8_e50.pth}"
BATCH=$((8 * NUM_GPUS))
run online_main.py ucf101 RGB --arch resnet50 --shift --shift_div 8 --shift_place blockres --num_segments 8 \
    --tune_from "$WEIGHTS" --consensus_type avg --batch-size "$BATCH" --lr 0.001 --scale_lr 64 --lr_steps 10 20 --epochs 25 \
    --dropout 0.8 --wd 0.0005 --gd 20 --eval-freq 1 -j 8 ${GPU_FLAGS[@]+"${GPU_FLAGS[@]}"} \
    --root_log "$CHECKPOINTS" --root_model "$CHECKPOINTS" "$@"
