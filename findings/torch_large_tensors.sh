#!/usr/bin/env bash
# Tensors of more than 32 MiB on a CPU, made by one operation after the other, as the activations of a network are.
#
# Expected: memory that was freed is used again, so that twice the batch takes twice the time.
# What happens: glibc gives every block of more than 32 MiB back to the system as soon as it is freed, and PyTorch has no
#   cache on a CPU. Each result of an operation is therefore written to new pages, which the system clears one by one;
#   tensors of 8 MiB fetch few or none. No setting of glibc's threshold changes this, for 32 MiB is also its upper limit.
# Why it matters: the first feature map of a ResNet-50 has 24.5 MiB for one clip of 8 frames of 224 x 224, and 49 for two:
#   larger batches are slower per clip. A training step can spend more than a quarter of its time in this way.
# Instead: MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=4294967296 in the environment, or another allocator (jemalloc).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.14.1 numpy==2.4.6
cd "$work"
cat > program.py <<'EOF'
import os
import resource
import sys

import torch

torch.set_num_threads(1)
TIMES, PAGE = 20, resource.getpagesize()


def fetched(mebibytes):
    """The share of the result's pages that are fetched from the system, per operation."""
    x = torch.ones(mebibytes * 2**18)
    for _ in range(TIMES):
        x + 1
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(TIMES):
        x + 1
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) * PAGE / (TIMES * mebibytes * 2**20)


shares = {mebibytes: fetched(mebibytes) for mebibytes in (8, 48)}
settings = " ".join(f"{name}={value}" for name, value in sorted(os.environ.items()) if name.startswith("MALLOC_"))
print(f"torch {torch.__version__}, {os.confstr('CS_GNU_LIBC_VERSION')}, {settings or 'no settings'}:",
      ", ".join(f"{size} MiB: {share:.0%} of the pages are new" for size, share in shares.items()))
small, large = shares.values()
expected = small < 0.5 and (large < 0.05 if settings else large > 0.95)
sys.exit(0 if expected else "the behaviour has changed")
EOF
venv/bin/python program.py
MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=4294967296 venv/bin/python program.py
