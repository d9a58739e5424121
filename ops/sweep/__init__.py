"""Sweeps: trainings of several settings with several seeds, one after the other or side by side, and their table."""

from typing import TYPE_CHECKING

from ops.common.lazy import lazy_names

if TYPE_CHECKING:
    from ops.sweep.options import parse_sweep as parse_sweep
    from ops.sweep.run_sweep import run_all as run_all
    from ops.sweep.runs import runs_of as runs_of
    from ops.sweep.runs import shown as shown

__getattr__ = lazy_names(
    __name__,
    {
        "parse_sweep": "options",
        "run_all": "run_sweep",
        "runs_of": "runs",
        "shown": "runs",
    },
)
