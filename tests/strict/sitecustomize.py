"""In processes that tests start: what modules of this project use must not be deprecated."""

import warnings

for category in (DeprecationWarning, PendingDeprecationWarning):
    warnings.filterwarnings("error", category=category, module=r"(ops|tools|benchmarks|examples|__main__)\b")
