#!/usr/bin/env bash
# Trains every temporal module with one recipe and several seeds on a built-in dataset, tests all in the same way, and
# makes one page: accuracy with its spread, parameters, multiply-adds, latency, time per step, curves, classes. TAM is
# also tested with kernels that do not adapt: the mean kernels of all test videos.
#
#     bash scripts/compare_modules.sh [motion|motion_order] [--quick] [--seeds "0 1 2"] [--modules "none tsm tam"]
#                                     [--jobs N] [-- MORE TRAINING FLAGS]
#
#   --quick    a smoke test of a few minutes: a few steps each, so that the accuracies mean nothing
#   --seeds    seeds of the trainings (default: 0 1 2)
#   --modules  some of none pool tconv tim i3d tsm tam tam-global tam-local (default: all)
#   --jobs     runs at the same time (default: one per core, each with one thread; about 1 GB of memory each)
#
# Runs and results go to runs/compare_DATASET (COMPARE_RUNS selects another folder), and what each run prints to
# output/RUN.txt there. An existing run is not made again; if the script is interrupted, the same command continues it.
# A run that fails is named, and the others continue.
set -uo pipefail
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

DATASET=motion QUICK=() SEEDS="0 1 2" JOBS='' MORE=()
MODULES="none pool tconv tim i3d tsm tam tam-global tam-local"
while [ $# -gt 0 ]; do
    case "$1" in
        motion | motion_order) DATASET="$1" ;;
        --quick) QUICK=(--max_steps 3) ;;
        --seeds) SEEDS="${2:?--seeds needs numbers}"; shift ;;
        --modules) MODULES="${2:?--modules needs names}"; shift ;;
        --jobs) JOBS="${2:?--jobs needs a number}"; shift ;;
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
case "$JOBS" in
    *[!0-9]* | 0*) echo "error: --jobs $JOBS: give a number, 1 or more" >&2; exit 2 ;;
esac

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
    [ ! -f "$RUNS/$name/preempted" ] || return 3
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

# make_run MODULE SEED: one run, with its test and, for TAM's kernels, their means; a signal ends the training or the test
make_run() {
    local name="$1_seed$2" flags
    trap : TERM
    read -r -a flags <<< "$(flags_of "$1")"
    train_and_test "$name" "${flags[@]}" --seed "$2" || return
    case "$1" in
        tam | tam-global) fix_kernels "$name" || return 1 ;;
    esac
}

# Runs of this moment, by process; bash 3.2, of macOS, cannot wait for the first of several processes that ends.
PIDS=() NAMES=() FAILED=() STOPPED='' ENDED=0
stop() {
    STOPPED=1
    for pid in ${PIDS[@]+"${PIDS[@]}"}; do
        kill -TERM -- "-$pid" 2> /dev/null
    done
}

# collect LIMIT: wait until fewer than LIMIT runs are left
collect() {
    local index status
    while [ "${#PIDS[@]}" -ge "$1" ] && [ "${#PIDS[@]}" -gt 0 ]; do
        for index in "${!PIDS[@]}"; do
            kill -0 "${PIDS[index]}" 2> /dev/null && continue
            wait "${PIDS[index]}"
            status=$?
            report "${NAMES[index]}" "$status"
            unset 'PIDS[index]' 'NAMES[index]'
        done
        [ "${#PIDS[@]}" -lt "$1" ] || sleep 0.2
    done
}

report() {
    ENDED=$((ENDED + 1))
    if [ "$2" -eq 3 ] || [ -n "$STOPPED" ]; then
        STOPPED=1
    elif [ "$2" -ne 0 ]; then
        FAILED+=("$1")
        echo "$1: failed: $(tail -n 1 "$RUNS/output/$1.txt" | tr '\r' '\n' | tail -n 1)" >&2
    else
        echo "$1: done ($ENDED of $TOTAL)"
    fi
}

JOBS="${JOBS:-$("$PYTHON" -c "import sys; sys.path.insert(0, '$ROOT')
from ops.common.threads import usable_cores; print(usable_cores())")}"
[ "$JOBS" -eq 1 ] || export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" # threads of several runs wait for each other
TOTAL=0
for seed in $SEEDS; do
    for module in $MODULES; do
        TOTAL=$((TOTAL + 1))
    done
done
mkdir -p "$RUNS/output" || exit 2
trap stop INT TERM HUP
set -m # each run is a group of processes of its own, which gets signals from stop() only
for seed in $SEEDS; do
    for module in $MODULES; do
        collect "$JOBS"
        [ -z "$STOPPED" ] || break 2
        name="${module}_seed$seed"
        echo "$name: started ($RUNS/output/$name.txt)"
        make_run "$module" "$seed" >> "$RUNS/output/$name.txt" 2>&1 &
        PIDS+=($!) NAMES+=("$name")
    done
done
collect 1
set +m
trap - INT TERM HUP
if [ -n "$STOPPED" ]; then
    echo "stopped; run bash scripts/compare_modules.sh with the same options to continue"
    exit 3
fi
"$PYTHON" "$ROOT/tools/compare_modules.py" "$RUNS" || [ $? -eq 1 ] || exit 1
[ -z "${QUICK[*]-}" ] || printf '\nA smoke run of a few steps: these accuracies mean nothing, but that everything works.\n'
if [ "${#FAILED[@]}" -gt 0 ]; then
    echo "error: failed, see above: ${FAILED[*]}" >&2
    exit 1
fi
