"""The exceptions for bad input and stopped runs, their exit statuses, and how they are printed."""

import contextlib
import errno
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn, TextIO, TypeVar, cast

from ops.common.heap import reuse_large_blocks
from ops.common.text import counted, one_line, printable
from ops.common.threads import limit_spinning

T = TypeVar("T")

EXIT_DONE = 0
EXIT_WITH_FAILURES = 1
EXIT_BAD_INPUT = 2
EXIT_STOPPED = 3
EXIT_INTERRUPTED = 130

_OPENCV_NO_MEMORY = -4

SHORTAGES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""System errors (errno) that are not caused by the arguments."""

GRACE = 5.0
"""Seconds that other processes wait, so that the first one can report what is usually an error of all of them.

torchrun then ends them."""

CHECK_ADVICE = "python tools/check_dataset.py finds all bad videos of a dataset beforehand"
"""Advice for messages about unreadable videos found during training or testing."""


class InputError(Exception):
    """Input that cannot be used; the message says in one line what is wrong, where, and what to do."""


class RunStoppedError(InputError):
    """A run had to stop halfway; files that it saved before are intact. `failures` hold the reasons."""

    def __init__(self, message: str, failures: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.failures = failures


class UnusableRuntimeError(RunStoppedError):
    """A runtime other than PyTorch cannot compute a network, for this `reason`; the message says what to do."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"{reason}: use --runtime torch")
        self.reason = reason


class MediaError(InputError):
    """A video or a frame folder that cannot be read: its `path` and the `reason`."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class TruncatedMediaError(MediaError):
    """Fewer frames could be read than the list or the header claims: only the first `readable` ones."""

    def __init__(self, path: str, claimed: int, readable: int) -> None:
        super().__init__(path, f"only {readable} of {counted(claimed, 'frame')} could be read")
        self.args = (path, claimed, readable)
        self.claimed, self.readable = claimed, readable


@contextlib.contextmanager
def memory_errors_as_media_errors(path: str) -> Iterator[None]:
    """Turn running out of memory within the block into a MediaError for the video at `path`."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise MediaError(path, "not enough memory to read it") from None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error means that an allocation on the CPU failed, in Python, NumPy, PyTorch or OpenCV."""
    return (
        isinstance(error, MemoryError)
        or (isinstance(error, RuntimeError) and "allocate memory" in str(error))
        or getattr(error, "code", None) == _OPENCV_NO_MEMORY
    )


def is_shortage(error: BaseException) -> bool:
    """Whether the system has run out of a resource, in this process or in one of a loader's."""
    if isinstance(error, OSError):
        return error.errno in SHORTAGES
    # An error of a worker, as PyTorch passes it on; its last line is the original error.
    return isinstance(error, RuntimeError) and any(os.strerror(number) in str(error) for number in SHORTAGES)


class _Output:
    """Standard output or error that its reader may close: the work then continues, and nothing more is written.

    `problem` says why, except for a closed pipe (as with `head`), which is not an error. Control characters, such as
    in file names, are escaped, and so are characters that the encoding lacks.
    """

    def __init__(self, stream: Any) -> None:
        self._stream, self._open, self.problem = stream, True, ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @property
    def is_closed(self) -> bool:
        """Whether nothing more can be written, so that what has no other purpose can end."""
        return not self._open

    def write(self, text: str) -> int:
        """Write `text`, or nothing once writing has failed."""
        text = printable(text)
        encoding = self._stream.encoding or "utf-8"
        try:
            text.encode(encoding)
        except UnicodeEncodeError:
            text = text.encode(encoding, "backslashreplace").decode(encoding)
        return self._try(lambda: int(self._stream.write(text)), len(text))

    def flush(self) -> None:
        """Likewise."""
        self._try(self._stream.flush, None)

    def _try(self, action: Callable[[], T], otherwise: T) -> T:
        if not self._open:
            return otherwise
        try:
            return action()
        except OSError as error:
            self._open = False
            self.problem = "" if isinstance(error, BrokenPipeError) else error.strerror or str(error)
            with contextlib.suppress(OSError, ValueError):  # so that Python has nothing to flush at exit
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
            return otherwise


def run(main: Callable[[], int]) -> NoReturn:
    """Call `main` and exit with its status; bad input ends in one line and exit status 2."""
    _open_standard_streams()
    limit_spinning()
    reuse_large_blocks()
    streams = sys.stdout, sys.stderr
    output = _Output(sys.stdout)
    sys.stdout, sys.stderr = cast(TextIO, output), cast(TextIO, _Output(sys.stderr))
    try:
        status = _status_of(main)
        sys.stdout.flush()
        if output.problem:
            sys.stderr.write(f"error: standard output cannot be written ({output.problem})\n")
            status = status or EXIT_WITH_FAILURES
        sys.stderr.flush()
    finally:
        sys.stdout, sys.stderr = streams
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:  # gloo's threads can outlive what they use and abort the process
        os._exit(status)
    sys.exit(status)


def _open_standard_streams() -> None:
    """Open /dev/null for each of the three streams that is closed: else the next opened file would take its number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # os.open returns the lowest free number
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 (open to the end)


def _status_of(main: Callable[[], int]) -> int:
    try:
        return main()
    except InputError as error:
        return _say(str(error), EXIT_STOPPED if isinstance(error, RunStoppedError) else EXIT_BAD_INPUT)
    except (OSError, MemoryError, RuntimeError) as error:
        if not (is_out_of_memory(error) or is_shortage(error)):
            raise
        text = str(error).strip() or "memory"
        return _say(f"this machine has run out of a resource: {text.splitlines()[-1]}", EXIT_STOPPED)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return EXIT_INTERRUPTED


def _say(message: str, status: int) -> int:
    rank = os.environ.get("RANK", "0")
    if rank != "0":
        time.sleep(GRACE)
    sys.stderr.write(f"error{'' if rank == '0' else f' on rank {rank}'}: {one_line(message)}\n")
    return status


def write_error(path: str | os.PathLike[str], error: OSError) -> InputError:
    """The error for a file that cannot be written: RunStoppedError for a full disk, else InputError."""
    kind = RunStoppedError if error.errno in (*SHORTAGES, 0) else InputError
    return kind(f"{path}: cannot be written ({error.strerror or error})")
