"""For processes that tests start: modules of this project must not use anything deprecated."""

import warnings

for category in (DeprecationWarning, PendingDeprecationWarning):
    warnings.filterwarnings("error", category=category, module=r"(ops|tools|benchmarks|examples|__main__)\b")
