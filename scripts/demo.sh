#!/usr/bin/env bash
# Shows on a CPU, in minutes, that the temporal module works: trains TANet-18 on the built-in dataset of motions, tests
# it, does the same without TAM, and prints both accuracies. With TAM, it distinguishes a clip from the same
# clip played backwards; without it, a model that averages single frames cannot be right in more than half of the cases.
#
#     bash scripts/demo.sh [--frames] [--quick] [--seed N]
#
#   --frames   from extracted frames (main.py) instead of videos (online_main.py)
#   --quick    a smoke test of a minute: a few steps each, so that the accuracies mean nothing
#   --seed N   another seed of the training (default: 0)
#
# Needs Python 3.11 or newer; makes .venv and installs requirements.txt into it, once. Everything else goes to
# datasets/Motion and runs/ (TAM_DATASETS and DEMO_RUNS select other folders). It takes 6 to 10 minutes on 2 cores. If it
# is interrupted, the same command continues it.
set -euo pipefail
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

TRAIN=online_main.py TEST=online_test_models.py KIND=videos SEED=0 QUICK=()
while [ $# -gt 0 ]; do
    case "$1" in
        --frames) TRAIN=main.py TEST=test_models.py KIND=frames ;;
        --quick) QUICK=(--max_steps 5) ;;
        --seed) SEED="${2:?--seed needs a number}"; shift ;;
        -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 0 ;;
        *) echo "error: unknown option $1 (see bash scripts/demo.sh --help)" >&2; exit 2 ;;
    esac
    shift
done

# absolute PATH: prints PATH as an absolute path, because the commands printed at the end must work in every folder
absolute() { case "$1" in /*) printf '%s' "$1" ;; *) printf '%s' "$PWD/$1" ;; esac; }

source "$ROOT/scripts/environment.sh"
PYTHON="$(absolute "$PYTHON")"
TAM_DATASETS="$(absolute "${TAM_DATASETS:-$ROOT/datasets}")"
export TAM_DATASETS
RUNS="$(absolute "${DEMO_RUNS:-$ROOT/runs}")"
NAME="demo_${KIND}_seed$SEED${QUICK:+_quick}"

train_and_test() {
    local name="$1"
    shift
    if [ ! -f "$RUNS/$name/test/metrics.json" ]; then
        "$PYTHON" -u "$ROOT/$TRAIN" motion RGB --arch resnet18 --pretrain none --num_segments 8 --input_size 56 \
            --epochs 6 --batch-size 8 --lr 0.03 --lr_steps 5 --warmup_epochs 1 --no_fc_lr5 --dropout 0 --wd 0.0005 \
            --gd 2 --npb --eval-freq 2 -j 2 --device cpu --seed "$SEED" --root_log "$RUNS" --root_model "$RUNS" \
            --store_name "$name" --resume auto ${QUICK[@]+"${QUICK[@]}"} "$@"
        if [ -f "$RUNS/$name/preempted" ]; then
            echo "the demo was stopped; run bash scripts/demo.sh with the same options to continue"
            exit 3
        fi
        "$PYTHON" -u "$ROOT/$TEST" motion --weights "$RUNS/$name/ckpt.pth.tar" --sample uniform-1 --test_crops 1 \
            -j 2 --device cpu --output "$RUNS/$name/test"
    fi
}

echo "== TANet-18: with the temporal module"
train_and_test "${NAME}_tam" --tam
echo "== ResNet-18 on the same frames: without it"
train_and_test "${NAME}_plain"
"$PYTHON" "$ROOT/tools/compare.py" "with TAM=$RUNS/${NAME}_tam/test" "without TAM=$RUNS/${NAME}_plain/test"
"$PYTHON" "$ROOT/tools/report.py" "with TAM=$RUNS/${NAME}_tam" "without TAM=$RUNS/${NAME}_plain" \
    --output "$RUNS/$NAME.html"
[ -z "${QUICK[*]-}" ] || printf '\nA smoke run of a few steps: these accuracies mean nothing, but that everything works.\n'
quoted() { printf '%q' "$1"; }
FILMS="$TAM_DATASETS/Motion/videos/val"
BEST="$(quoted "$RUNS/${NAME}_tam/ckpt.best.pth.tar")"
cat <<END

A model that averages single frames cannot pass 50 %: each film is there forwards and backwards, with the same frames.
For context, TANet-50 as published: 76.1 % on Kinetics-400 (10 clips), 46.5 % on Something-Something v1 (1 clip of 8).

Look next at
  $RUNS/$NAME.html      both side by side: how they learned, and what cannot be told without time
  $FILMS/      the films
  $(quoted "$PYTHON") $(quoted "$ROOT/tools/predict.py") $(quoted "$FILMS/left") --weights $BEST
  $(quoted "$PYTHON") $(quoted "$ROOT/tools/explain.py") $(quoted "$FILMS/left/0000.mp4") --weights $BEST
  $ROOT/docs/training.md      your own videos, step by step
END
