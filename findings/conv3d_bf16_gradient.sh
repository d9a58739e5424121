#!/usr/bin/env bash
# The gradient of the weights of a 3D convolution in bfloat16, on a CPU.
#
# Expected: the gradient that float32 gives, to about two digits, whatever the number of frames.
# What happens: if a clip has fewer frames than the kernel has taps over time (but more than one), parts of the gradient
#   are whatever the memory contained before: NaN, infinity, or numbers of any size. Nothing is raised or printed, the
#   output and the gradient of the input are right, and so is the gradient for one frame and for as many frames as taps.
# Why it matters: such clips are what the last stages of a 3D network with strides over time see, and what quick tests
#   train with. The next step of the optimizer destroys the weights, or changes them at random.
# Instead: compute these layers in float32 (`torch.autocast("cpu", enabled=False)` around them).
#
# It needs a CPU with AVX-512, for which oneDNN has these kernels; with AVX2 only, the gradient is right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.14.1 numpy==2.4.6
cd "$work"
venv/bin/python - <<'EOF'
import sys

import torch
from torch.nn import functional as F

ROUNDS = 10


def compared(frames, taps):
    """How many of the gradients of weights and of inputs, and of the outputs, are within 5 % of those in float32."""
    right = {"gradient of the weights": 0, "gradient of the input": 0, "output": 0}
    for _ in range(ROUNDS):
        clip, weight = torch.randn(1, 32, frames, 4, 4), torch.randn(32, 32, taps, 1, 1)
        upstream = torch.randn(1, 32, frames, 4, 4)
        results = []
        for dtype in (torch.float32, torch.bfloat16):
            x, w = (value.to(dtype).detach().requires_grad_() for value in (clip, weight))
            out = F.conv3d(x, w, padding=(taps // 2, 0, 0))
            out.backward(upstream.to(dtype))
            results.append([value.float() for value in (w.grad, x.grad, out.detach())])
        for name, exact, found in zip(right, *results):
            right[name] += bool((found - exact).norm() < 0.05 * exact.norm())  # False for NaN
    return right


torch.manual_seed(0)
print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}")
if not torch.backends.cpu.get_cpu_capability().startswith("AVX512"):
    print("not shown: this CPU has no AVX-512")
    sys.exit()
earlier = [torch.full((size,), float("nan")) for size in (1_000, 10_000, 100_000, 1_000_000)]
del earlier  # memory that is used again
ok = True
for taps in (3, 5):
    for frames in (1, 2, 3, 4, 5, 8):
        right = compared(frames, taps)
        print(f"{taps} taps, {frames} frames: right in {ROUNDS} rounds: {right}")
        unset = 1 < frames < taps
        ok &= (right["gradient of the weights"] < ROUNDS) == unset
        ok &= right["gradient of the input"] == right["output"] == ROUNDS
sys.exit(0 if ok else "the behaviour has changed")
EOF
