"""Signals that ask a process to stop, and passing them on to child processes. Imports nothing heavy."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGUSR1", "SIGHUP") if hasattr(signal, name))

WITH_PARENT = "TAM_STOP_WITH_PARENT"
"""The environment variable that makes a training stop, with everything saved, when its parent process has died."""

PREEMPTED = "preempted"
"""The file that marks the folder of a training that a signal stopped, until the training is resumed."""


@contextmanager
def handled(numbers: Iterable[int], handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Within the block, `handler` handles the signals with these numbers; afterwards, the handlers are as before."""
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


class ChildProcesses:
    """Child processes that get the signals of this process, and only from here.

    Each child has its own process group, because a terminal sends Ctrl-C to all processes of a group. `signal` is the
    number of the first signal that arrived, or 0.
    """

    def __init__(self) -> None:
        self.signal = 0
        self._processes: list[subprocess.Popen[bytes]] = []

    @contextmanager
    def passing_signals(self) -> Iterator[None]:
        """Pass signals on within the block. An ignored signal, such as SIGHUP under `nohup`, stays ignored."""
        heeded = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        with handled(heeded, self._pass_on):
            yield

    def start(self, command: Sequence[str], **options: Any) -> "subprocess.Popen[bytes]":
        """Start a child without standard input; `options` are further ones of `subprocess.Popen`.

        If this process is killed, so that it can pass nothing on, a child that is a training stops by itself.
        """
        options["env"] = {**options.get("env", os.environ), WITH_PARENT: "1"}
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0, **options)
        self._processes = [*(other for other in self._processes if other.poll() is None), process]
        if self.signal:  # it arrived while the process was being started
            process.send_signal(self.signal)
        return process

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        self.signal = self.signal or number
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(number)
