"""The cores that a process may use, and how PyTorch's threads wait for each other. Does not import PyTorch.

How they wait must be set before PyTorch is imported, because it is read only once.
"""

import os

SPINNING = {"GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "0"}
"""How long threads of GNU and LLVM OpenMP spin before they sleep: about ten microseconds.

By default they spin for milliseconds after every operation. If the cores are shared with loader processes or other
jobs, this keeps them from doing their work. Results do not depend on it.
"""


def limit_spinning() -> None:
    """Set `SPINNING` for this process and its children, unless the user has set how threads wait."""
    if "OMP_WAIT_POLICY" not in os.environ and not SPINNING.keys() & os.environ.keys():
        os.environ.update(SPINNING)


def usable_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
