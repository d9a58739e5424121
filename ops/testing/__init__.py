"""Testing: `evaluate` goes from arguments to accuracies and result files, over all views of every video."""

from typing import TYPE_CHECKING

from ops.common.lazy import lazy_names

if TYPE_CHECKING:
    from ops.testing.evaluate import run_evaluation as run_evaluation
    from ops.testing.options import test_parser as test_parser

__getattr__ = lazy_names(
    __name__,
    {
        "run_evaluation": "evaluate",
        "test_parser": "options",
    },
)
