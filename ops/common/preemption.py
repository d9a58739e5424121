"""Signals that ask a run to end: it ends at the next step, in all processes, with everything saved."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import torch

from ops.common import distributed

SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGUSR1", "SIGHUP") if hasattr(signal, name))

HANGUP = 1
"""The number of SIGHUP, which a process gets whose terminal is gone."""


class Preemption:
    """Whether a signal came, to this process or to any other."""

    def __init__(self) -> None:
        self.signal = 0
        self.parent = os.getppid()

    @contextmanager
    def watched(self) -> Iterator["Preemption"]:
        """Take note of the signals; a second interrupt by the keyboard ends at once, as usual.

        SIGHUP stays ignored where it is, as under `nohup`.
        """
        deaf = signal.getsignal(HANGUP) is signal.SIG_IGN if HANGUP in SIGNALS else False
        heeded = [number for number in SIGNALS if not (deaf and number == HANGUP)]
        before = {number: signal.signal(number, self._note) for number in heeded}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def everywhere(self, device: torch.device) -> bool:
        """Whether one came anywhere; all processes must ask at the same time, and get the same answer.

        Where torchrun is gone, as after SIGUSR1, which it does not heed, nobody waits for its processes: they end too.
        """
        if distributed.world_size() > 1 and os.getppid() != self.parent:
            self.signal = self.signal or HANGUP
        return distributed.any_rank(torch.tensor(self.signal > 0, device=device))

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal == signal.SIGINT == number:
            raise KeyboardInterrupt
        self.signal = number
