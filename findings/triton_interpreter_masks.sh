#!/usr/bin/env bash
# A Triton kernel whose mask combines a block of flags with a comparison of two scalars, run by Triton's interpreter.
#
# Expected: what compiles for a GPU also runs with TRITON_INTERPRET=1, which is the way to test kernels without one.
# What happens: in the interpreter, a comparison of a scalar that was computed from a loop variable is an int32, so that
#   `block & comparison` is one as well, although its type is still printed as int1. Triton 3.8 loads with such a mask;
#   3.9 raises "mask has unsupported dtype". The compiler accepts the kernel in both.
# Why it matters: tests of kernels in the interpreter, which passed with one release of Triton, fail with the next one.
# Instead: tl.where(comparison, block, False), which is a mask in the interpreter too.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.15.0 triton==3.9.0 numpy==2.4.6
cd "$work"
cat > kernel.py <<'EOF'
import triton
import triton.language as tl


@triton.jit
def add_neighbour(x, out, length, rows: tl.constexpr, where: tl.constexpr, block: tl.constexpr):
    """out[row] = x[row - 1] + x[row], with zeros before the first row; rows of `length` numbers."""
    column = tl.arange(0, block)
    keep = column < length
    for row in range(rows):
        total = tl.zeros([block], tl.float32)
        for back in tl.static_range(2):
            source = row - back
            inside = source >= 0
            if where:
                mask = tl.where(inside, keep, False)
            else:
                mask = keep & inside
            total += tl.load(x + source * length + column, mask=mask, other=0.0)
        tl.store(out + row * length + column, total, mask=keep)
EOF
cat > interpret.py <<'EOF'
import torch
import triton
from kernel import add_neighbour

seen = {}
for where in (False, True):
    x, out = torch.arange(6.0).view(2, 3), torch.zeros(2, 3)
    try:
        add_neighbour[(1,)](x, out, 3, 2, where, 4)
        seen[where] = out.tolist()
    except Exception as error:
        seen[where] = str(error)
print(f"torch {torch.__version__}, triton {triton.__version__}, interpreted:", seen)
right = [[0.0, 1.0, 2.0], [3.0, 5.0, 7.0]]
raise SystemExit(0 if "unsupported dtype" in seen[False] and seen[True] == right else "the behaviour has changed")
EOF
cat > compile.py <<'EOF'
import triton
from kernel import add_neighbour
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

types = {"x": "*fp32", "out": "*fp32", "length": "i32"} | dict.fromkeys(("rows", "where", "block"), "constexpr")
for where in (False, True):
    source = ASTSource(add_neighbour, types, {"rows": 2, "where": where, "block": 4})
    code = triton.compile(source, target=GPUTarget("cuda", 80, 32)).asm["ptx"]
    print("compiled for", next(line for line in code.splitlines() if line.startswith(".target")))
EOF
TRITON_INTERPRET=1 venv/bin/python interpret.py
TRITON_CACHE_DIR="$work/cache" venv/bin/python compile.py
