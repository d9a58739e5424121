"""One page about training runs and tests, from the files that they wrote."""

from typing import TYPE_CHECKING

from ops.common.lazy import lazy_names

if TYPE_CHECKING:
    from ops.report.page import write_report as write_report
    from ops.report.results import read_results as read_results

__getattr__ = lazy_names(
    __name__,
    {
        "write_report": "page",
        "read_results": "results",
    },
)
