"""The limit on open files: raised as far as the system allows, and checked before workers start."""

import contextlib

from ops.common.errors import InputError

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

PLENTY = 65536
"""The limit that is requested: loaders keep one file open for each tensor that they pass on."""

OWN = 32
"""Open files that a process needs for itself."""

PER_LOADER = 10
"""Open files that training or testing needs for each loader process; up to 9 were counted."""

PER_JOB = 4
"""Open files that a data tool needs for each of its processes; up to 3 were counted."""


def allow_open_files(processes: int, each: int) -> None:
    """Raise the soft limit on open files, before starting `processes` workers that need `each` of them in this process.

    InputError if even the hard limit is too low: PyTorch and multiprocessing would then fail in many ways, and
    sometimes hang.
    """
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < PLENTY:
        most = PLENTY if hard == resource.RLIM_INFINITY else min(hard, PLENTY)
        with contextlib.suppress(ValueError, OSError):  # macOS allows fewer than its hard limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            soft = most
    needed = OWN + processes * each
    if processes and soft != resource.RLIM_INFINITY and soft < needed:
        fitting = (soft - OWN) // each
        advice = f", or use -j {fitting}" if fitting > 0 else ""
        raise InputError(
            f"the limit on open files is too low: {soft}, but -j {processes} needs {needed}; raise the limit "
            f"(ulimit -n {needed}){advice}"
        )
