#!/usr/bin/env bash
# Trains every temporal module with one recipe and several seeds on a built-in dataset, tests all in the same way, and
# makes one page: accuracy with its spread, parameters, multiply-adds, latency, time per step, curves, classes. TAM is
# also tested with kernels that do not adapt: the mean kernels of all test videos.
#
#     bash scripts/compare_modules.sh [motion|motion_order] [--quick] [--seeds "0 1 2"] [--modules "none tsm tam"]
#                                     [-- MORE TRAINING FLAGS]
#
#   --quick    a smoke test of a few minutes: a few steps each, so that the accuracies mean nothing
#   --seeds    seeds of the trainings (default: 0 1 2)
#   --modules  some of none pool tconv tim i3d tsm tam tam-global tam-local (default: all)
#
# Runs and results go to runs/compare_DATASET (COMPARE_RUNS selects another folder). An existing run is not made
# again; if the script is interrupted, the same command continues it. A run that fails is named, and the others continue.
set -uo pipefail
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

DATASET=motion QUICK=() SEEDS="0 1 2" MORE=()
MODULES="none pool tconv tim i3d tsm tam tam-global tam-local"
while [ $# -gt 0 ]; do
    case "$1" in
        motion | motion_order) DATASET="$1" ;;
        --quick) QUICK=(--max_steps 3) ;;
        --seeds) SEEDS="${2:?--seeds needs numbers}"; shift ;;
        --modules) MODULES="${2:?--modules needs names}"; shift ;;
        --) shift; MORE=("$@"); break ;;
        -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 0 ;;
        *) echo "error: unknown option $1 (see bash scripts/compare_modules.sh --help)" >&2; exit 2 ;;
    esac
    shift
done

flags_of() {
    case "$1" in
        none | pool | tconv | tim | i3d | tsm | tam) echo "--temporal $1" ;;
        tam-global) echo "--temporal tam --tam_branches global" ;;
        tam-local) echo "--temporal tam --tam_branches local" ;;
        *) return 1 ;;
    esac
}
for module in $MODULES; do
    flags_of "$module" > /dev/null || { echo "error: unknown module $module (see --help)" >&2; exit 2; }
done

source "$ROOT/scripts/environment.sh"
export TAM_DATASETS="${TAM_DATASETS:-$ROOT/datasets}"
RUNS="${COMPARE_RUNS:-$ROOT/runs/compare_$DATASET}${QUICK:+_quick}"
EPOCHS=6

train_and_test() {
    local name="$1"
    shift
    [ ! -f "$RUNS/$name/test/metrics.json" ] || return 0
    "$PYTHON" -u "$ROOT/online_main.py" "$DATASET" RGB --arch resnet18 --pretrain none --num_segments 8 \
        --input_size 32 --epochs "$EPOCHS" --batch-size 8 --lr 0.03 --lr_steps 5 --warmup_epochs 1 --no_fc_lr5 \
        --dropout 0 --wd 0.0005 --gd 2 --npb --eval-freq "$EPOCHS" -j 2 --device cpu --root_log "$RUNS" \
        --root_model "$RUNS" --store_name "$name" --resume auto ${QUICK[@]+"${QUICK[@]}"} "$@" \
        ${MORE[@]+"${MORE[@]}"} || return 1
    if [ -f "$RUNS/$name/preempted" ]; then
        echo "stopped; run bash scripts/compare_modules.sh with the same options to continue"
        exit 3
    fi
    "$PYTHON" -u "$ROOT/online_test_models.py" "$DATASET" --weights "$RUNS/$name/ckpt.pth.tar" --sample uniform-1 \
        --test_crops 1 -j 2 --device cpu --output "$RUNS/$name/test"
}

fix_kernels() {
    local name="$1" data="$TAM_DATASETS/Motion"
    [ "$DATASET" = motion ] || data="$TAM_DATASETS/MotionOrder"
    [ ! -f "$RUNS/$name/explain/explain.json" ] || return 0
    "$PYTHON" -u "$ROOT/tools/explain.py" --weights "$RUNS/$name/ckpt.pth.tar" --list "$data/${DATASET}_val_list.txt" \
        --root_path "$data" --sample uniform --fix_kernels --drawn 0 --device cpu --output "$RUNS/$name/explain"
}

FAILED=()
for seed in $SEEDS; do
    for module in $MODULES; do
        echo "== $module, seed $seed"
        read -r -a FLAGS <<< "$(flags_of "$module")"
        name="${module}_seed$seed"
        if ! train_and_test "$name" "${FLAGS[@]}" --seed "$seed"; then
            FAILED+=("$name")
        elif [ "$module" = tam ] || [ "$module" = tam-global ]; then
            fix_kernels "$name" || FAILED+=("$name")
        fi
    done
done
"$PYTHON" "$ROOT/tools/compare_modules.py" "$RUNS" || [ $? -eq 1 ] || exit 1
[ -z "${QUICK[*]-}" ] || printf '\nA smoke run of a few steps: these accuracies mean nothing, but that everything works.\n'
if [ "${#FAILED[@]}" -gt 0 ]; then
    echo "error: failed, see above: ${FAILED[*]}" >&2
    exit 1
fi
