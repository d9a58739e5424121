#!/usr/bin/env bash
# The stack on which signals are handled, after two networks in OpenVINO were released.
#
# Expected: a library that computes leaves the signal handling of its process alone, or restores it.
# What happens: the first network that is compiled for the CPU gives the calling thread an alternate stack for signal
#   handlers (sigaltstack), and its release puts back the stack that was there before. Each `openvino.Core()` does so for
#   itself, also the one inside `openvino.compile_model(model)`. Where the first of two is released first, as in any
#   program that replaces one network by another, the thread is left with a stack whose memory has been returned.
# Why it matters: Python installs its handlers for this stack. The next signal that Python handles ends the process with a
#   segmentation fault in whatever code runs at that moment, long after OpenVINO was used: Ctrl-C, SIGTERM before the end
#   of a job, or SIGCHLD, which PyTorch's DataLoader handles, when a worker ends.
# Instead: keep one `openvino.Core()` for the whole process, and compile all networks with it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check openvino==2026.4.1 numpy==2.4.6
cd "$work"
venv/bin/python - <<'EOF'
import ctypes
import gc
import multiprocessing
import sys

import numpy as np
import openvino


class Stack(ctypes.Structure):
    _fields_ = (("address", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


def signal_stack():
    stack = Stack()
    ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack))
    if not stack.address:
        return "none"
    lines = open("/proc/self/maps").read().splitlines()
    ranges = ([int(end, 16) for end in line.split()[0].split("-")] for line in lines)
    return "memory" if any(start <= stack.address < end for start, end in ranges) else "no memory"


def network():
    clips = openvino.opset13.parameter([1, 4], np.float32)
    return openvino.Model([openvino.opset13.relu(clips)], [clips])


def states(queue, order, core):
    shared = openvino.Core() if core == "one Core" else None
    seen, compiled = [signal_stack()], {}
    for name in "ab":
        if core == "compile_model":
            compiled[name] = openvino.compile_model(network(), "CPU")
        else:
            compiled[name] = (shared or openvino.Core()).compile_model(network(), "CPU")
        seen.append(signal_stack())
    for name in order:
        del compiled[name]
        gc.collect()
        seen.append(signal_stack())
    queue.put(seen)


print(f"openvino {openvino.__version__}")
context, found = multiprocessing.get_context("fork"), {}
for core in ("a Core each", "compile_model", "one Core"):
    for order in ("ab", "ba"):
        queue = context.Queue()
        process = context.Process(target=states, args=(queue, order, core))
        process.start()
        found[core, order] = queue.get(timeout=120)
        process.join()
        print(f"{core:<14} released {' then '.join(order)}: signal stack at first, after a, after b, and after each release: "
              f"{', '.join(found[core, order])}")

kept = ["none", "memory", "memory", "memory"]
expected = {
    ("a Core each", "ab"): [*kept, "no memory"],
    ("a Core each", "ba"): [*kept, "none"],
    ("compile_model", "ab"): [*kept, "no memory"],
    ("compile_model", "ba"): [*kept, "none"],
    ("one Core", "ab"): [*kept, "memory"],
    ("one Core", "ba"): [*kept, "memory"],
}
if found != expected:
    sys.exit(f"the behaviour has changed: {found}")
EOF
