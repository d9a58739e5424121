#!/usr/bin/env bash
# Fine-tunes a checkpoint on your own videos: makes .venv, once, and calls tools/finetune.py in it.
#
#     bash examples/finetune_folder.sh DATA CKPT [options of tools/finetune.py]
#     bash examples/finetune_folder.sh clips checkpoints/kinetics_8f.pth.tar --epochs 25
#
# python tools/finetune.py --help explains DATA, the options, what is written, and the exit status. Needs Python 3.11 or newer.
set -euo pipefail
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

case "${1-}" in
    '') echo "error: videos and a checkpoint are needed: bash examples/finetune_folder.sh DATA CKPT" >&2; exit 2 ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 0 ;;
esac
if [ $# -ge 2 ] && [[ "$2" != -* ]]; then
    set -- "$1" --weights "${@:2}"
fi
source "$ROOT/scripts/environment.sh"
exec "$PYTHON" "$ROOT/tools/finetune.py" "$@"
