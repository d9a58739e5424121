"""Signals that ask a run to stop: it stops after the current step, in all processes, with everything saved."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import torch

from ops.common import distributed
from ops.common.async_flags import AsyncFlags
from ops.common.stop_signals import SIGNALS, WITH_PARENT, handled

HANGUP = 1
"""The number of SIGHUP, which a process gets when its terminal is closed."""


class Preemption:
    """Records whether this process, or any other, received such a signal."""

    def __init__(self) -> None:
        self.signal = 0
        self.parent = os.getppid()
        self._flags: AsyncFlags | None = None

    @contextmanager
    def watched(self) -> Iterator["Preemption"]:
        """Record signals within the block; a second Ctrl-C raises KeyboardInterrupt as usual.

        If SIGHUP is ignored, as under `nohup`, it stays ignored.
        """
        deaf = signal.getsignal(HANGUP) is signal.SIG_IGN if HANGUP in SIGNALS else False
        heeded = [number for number in SIGNALS if not (deaf and number == HANGUP)]
        with handled(heeded, self._note):
            yield self

    def everywhere(self, device: torch.device, deferred: bool = False) -> bool:
        """Whether any process received a signal; all must call this at the same point, and get the same answer.

        If torchrun has died, for example of SIGUSR1, which it does not handle, its processes stop too, and so does a
        training whose sweep was killed (`WITH_PARENT`). With `deferred`, several processes get the answer of the call
        before, so that none has to wait for `device`.
        """
        follows = distributed.world_size() > 1 or WITH_PARENT in os.environ
        if follows and os.getppid() != self.parent:
            self.signal = self.signal or HANGUP
        if distributed.world_size() == 1:
            return self.signal > 0
        self._flags = self._flags or AsyncFlags(device)
        self._flags.put(distributed.any_rank(torch.full((), self.signal > 0, device=device)))
        seen = False
        while len(self._flags) > int(deferred):
            seen |= self._flags.pop()[0]
        return seen

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal == signal.SIGINT == number:
            raise KeyboardInterrupt
        self.signal = number
