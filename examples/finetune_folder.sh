#!/usr/bin/env bash
# Fine-tunes a checkpoint on a folder of your own videos, one sub-folder per class, and reports on it.
#
#     bash examples/finetune_folder.sh DIR CKPT [--out OUT] [--epochs N] [--batch_size N] [--val_fraction F] [flags…]
#     bash examples/finetune_folder.sh clips checkpoints/kinetics_8f.pth.tar --epochs 25
#
#   DIR               folder of the videos: DIR/jump/a.mp4, DIR/run/b.mp4, …
#   CKPT              checkpoint to start from: a file, a published name or an address (docs/zoo.md)
#   --out OUT         folder for all results (default: checkpoints/finetune_DIR in the repository)
#   --epochs N        number of epochs (default: 15, or as many as make 300 steps)
#   --batch_size N    clips per step (default: 8, or all of fewer); the learning rate, 0.001 for 8, is scaled with it
#   --val_fraction F  share of each class that is used for testing, not for training (default: 0.2)
#   flags…            passed on to online_main.py, such as --lr 0.002 or -j 4
#
# Depth, segments, TAM, dropout and input size are those of CKPT. The lists and class names are written to OUT/lists (edit
# val.txt to choose other test videos), the checkpoints and curves to OUT, the results to OUT/test, and a report about all
# of them to OUT/report.html. Training ends early if 15 validations bring nothing better. The test uses the last epoch,
# because the best one was chosen on the videos of the test. The last line says whether the result is better than chance.
#
# If it is interrupted, the same command continues it. After videos were added, it trains anew with all of them; none
# changes between training and test, and the earlier results are kept in OUT/earlier. Exit status: 0 done, 1 done but some
# videos could not be read, 2 bad input, 3 stopped by a signal with everything saved. Needs Python 3.11 or newer; makes
# .venv, once.
set -euo pipefail
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }
fail() { echo "error: $1" >&2; exit 2; }

DIR='' CKPT='' OUT='' EPOCHS='' BATCH='' FRACTION=0.2 FLAGS=()
while [ $# -gt 0 ]; do
    case "$1" in
        -h | --help) usage; exit 0 ;;
        --out) OUT="${2:?--out needs a folder}"; shift ;;
        --epochs) EPOCHS="${2:?--epochs needs a number}"; shift ;;
        -b | --batch_size | --batch-size) BATCH="${2:?--batch_size needs a number}"; shift ;;
        --val_fraction) FRACTION="${2:?--val_fraction needs a number}"; shift ;;
        *) if [ -z "$DIR" ]; then DIR="$1"; elif [ -z "$CKPT" ]; then CKPT="$1"; else FLAGS+=("$1"); fi ;;
    esac
    shift
done
[ -n "$CKPT" ] || fail "a folder of videos and a checkpoint are needed (see bash examples/finetune_folder.sh --help)"
[ -d "$DIR" ] || fail "$DIR: no such folder; it must contain the videos, in one sub-folder per class"
[[ -f "$CKPT" || "$CKPT" == *://* || "$CKPT" != *[/.]* ]] || fail "$CKPT: no such file; give the checkpoint to start from"
DIR="$(cd "$DIR" && pwd)"
OUT="${OUT:-$ROOT/checkpoints/finetune_$(basename "$DIR")}"

source "$ROOT/scripts/environment.sh"
run() { "$PYTHON" -u "$ROOT/$1" "${@:2}"; }
call() { # an expression, and the arguments that it uses
    "$PYTHON" -c "
import sys
sys.path.insert(0, sys.argv[1])
from ops.common.errors import run
from ops.testing.confidence import verdict
from ops.training.finetune import schedule_flags, set_aside, tuning_flags
run(lambda: print($1) or 0)" "$ROOT" "${@:2}"
}
unreadable() { [ "$1" = 1 ] || exit "$1"; STATUS=1; }  # done, but some videos could not be read
STATUS=0

WHAT="$DIR from $CKPT"
[ ! -f "$CKPT" ] || WHAT="$DIR from $(cd "$(dirname "$CKPT")" && pwd)/$(basename "$CKPT")"
if [ -f "$OUT/finetune.txt" ] && [ "$(cat "$OUT/finetune.txt")" != "$WHAT" ]; then
    fail "$OUT: contains a fine-tuning of $(cat "$OUT/finetune.txt"), not of $WHAT; use another --out"
fi

echo "== Model of the checkpoint"
MODEL="$(call '*tuning_flags(sys.argv[2])' "$CKPT")"
echo "$MODEL"
read -r -a MODEL <<< "$MODEL"
mkdir -p "$OUT"
echo "$WHAT" > "$OUT/finetune.txt"

echo "== Lists"
LISTS="$OUT/lists"
run tools/gen_labels.py folder --data "$DIR" --out "$LISTS" --val_fraction "$FRACTION" --keep_split || unreadable $?
[ -f "$LISTS/val.txt" ] || fail "$DIR: no videos for the test; a class needs at least two videos, and F must be above 0"
call 'set_aside(sys.argv[2], sys.argv[3:])' "$OUT" "$LISTS/train.txt" "$LISTS/val.txt" | sed "/^$/d"

echo "== Training"
SCHEDULE="$(call '*schedule_flags(sys.argv[2], int(sys.argv[3]) or None)' "$LISTS/train.txt" "${BATCH:-0}")"
read -r -a SCHEDULE <<< "$SCHEDULE"
[ -z "$EPOCHS" ] || SCHEDULE+=(--epochs "$EPOCHS" --eval-freq 1)
START=(--tune_from "$CKPT")
for checkpoint in "$OUT"/ckpt*.pth.tar; do
    [ ! -f "$checkpoint" ] || START=(--resume auto)
done
run online_main.py custom RGB --train_list "$LISTS/train.txt" --val_list "$LISTS/val.txt" --root_path "$DIR" \
    --class_names "$LISTS/class_names.txt" "${MODEL[@]}" --npb --gd 20 "${SCHEDULE[@]}" --lr 0.001 --scale_lr 8 \
    --lr_type cos --warmup_epochs 1 --max_bad_fraction 0.1 -j 2 --ckpt_interval 5m \
    --root_log "$(dirname "$OUT")" --root_model "$(dirname "$OUT")" --store_name "$(basename "$OUT")" \
    "${START[@]}" ${FLAGS[@]+"${FLAGS[@]}"}
if [ -f "$OUT/preempted" ]; then
    echo "stopped; run this script with the same arguments to continue"
    exit 3
fi

echo "== Test"
run online_test_models.py custom --weights "$OUT/ckpt.pth.tar" --test_list "$LISTS/val.txt" --root_path "$DIR" \
    --sample uniform-1 -j 2 --output "$OUT/test" || unreadable $?

echo "== Report"
run tools/report.py "$OUT" --output "$OUT/report.html"

echo "== Verdict"
call 'verdict(sys.argv[2])' "$OUT/test"
exit "$STATUS"
