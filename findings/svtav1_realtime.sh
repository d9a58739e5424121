#!/usr/bin/env bash
# Encoding AV1 with libsvtav1 (PyAV) in a process that runs as root, as in most containers.
#
# Expected: afterwards the process is scheduled as before.
# What happens: the calling thread keeps real-time priority (SCHED_FIFO, 99), even after the file is closed, and every
#   process that it starts inherits it. Other encoders do not change the priority, and without root nothing changes.
# Why it matters: a data loader or a training that has written one AV1 film keeps all other processes from the
#   processor. These take ten times as long or run into their time limits, and `nice` has no effect.
# Instead: os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0)) after encoding, or do not encode as root.
set -euo pipefail
[ "$(id -u)" = 0 ] || { echo "this shows what happens to root: run it as root, or in a container" >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check av==18.1.0 numpy==2.4.6
cd "$work"
SVT_LOG=1 venv/bin/python - <<'EOF'
import os
import subprocess
import sys

import av
import numpy as np

POLICIES = {os.SCHED_OTHER: "SCHED_OTHER", os.SCHED_FIFO: "SCHED_FIFO", os.SCHED_RR: "SCHED_RR"}
ASK = "import os; print(os.sched_getscheduler(0))"


def encode(codec):
    with av.open(f"{codec}.mkv", "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def scheduling():
    child = int(subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=True).stdout)
    return POLICIES[os.sched_getscheduler(0)], os.sched_getparam(0).sched_priority, POLICIES[child]


print(f"PyAV {av.__version__}")
seen = {"before": scheduling()}
for codec in ("libx264", "libx265", "libvpx-vp9", "libsvtav1"):
    encode(codec)
    seen[codec] = scheduling()
for what, (policy, priority, child) in seen.items():
    print(f"{what:12} {policy} {priority}, a process started then: {child}")
calm = ("SCHED_OTHER", 0, "SCHED_OTHER")
expected = {**dict.fromkeys(seen, calm), "libsvtav1": ("SCHED_FIFO", 99, "SCHED_FIFO")}
sys.exit(0 if seen == expected else "the behaviour has changed")
EOF
