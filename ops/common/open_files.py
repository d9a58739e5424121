"""How many files a process may have open: raised as far as the system allows, and checked before workers start."""

import contextlib

from ops.common.errors import InputError

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

PLENTY = 65536
"""Open files that are asked for: loaders hold one for each tensor that they hand over."""

OWN = 32
"""Open files that a process needs for itself."""

PER_LOADER = 10
"""Open files that training or testing needs for each loader process; up to 9 were counted."""

PER_JOB = 4
"""Open files that a data tool needs for each of its processes; up to 3 were counted."""


def allow_open_files(processes: int, each: int) -> None:
    """Raise the soft limit on open files, before `processes` are started that need `each` of them in this process.

    InputError where even the hard limit is too low: PyTorch and multiprocessing fail in many ways then, some of which
    hang.
    """
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < PLENTY:
        most = PLENTY if hard == resource.RLIM_INFINITY else min(hard, PLENTY)
        with contextlib.suppress(ValueError, OSError):  # macOS allows less than its hard limit says
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            soft = most
    needed = OWN + processes * each
    if processes and soft != resource.RLIM_INFINITY and soft < needed:
        fitting = (soft - OWN) // each
        advice = f", or give -j {fitting}" if fitting > 0 else ""
        raise InputError(
            f"too few open files are allowed: {soft}, and -j {processes} needs {needed}; raise the limit "
            f"(ulimit -n {needed}){advice}"
        )
