"""How PyTorch's threads wait for each other: set before PyTorch is imported, which reads it once."""

import os

SPINNING = {"GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "0"}
"""How long threads of GNU's and of LLVM's OpenMP spin before they sleep: some ten microseconds.

By default they spin for milliseconds after every operation. On a machine whose cores are shared, with loader processes
or with other jobs, they keep the cores from those that have work. Results do not depend on it.
"""


def limit_spinning() -> None:
    """Set `SPINNING` for this process and those that it starts, unless the user has said how threads wait."""
    if "OMP_WAIT_POLICY" not in os.environ and not SPINNING.keys() & os.environ.keys():
        os.environ.update(SPINNING)
