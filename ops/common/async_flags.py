"""Flags that a device computes and the host reads later, without making the device wait."""

from collections import deque

import torch
from torch import Tensor


class AsyncFlags:
    """A queue of tensors of boolean flags `[flags]`, at most `kept` of them at a time.

    Reading a tensor makes the host wait until the device has finished all of its queued work, and then the device waits
    for the host. Here the copy of the flags to page-locked memory is queued on the device, so reading those of an
    earlier step waits at most for the end of that step. On a CPU they are available at once.
    """

    def __init__(self, device: torch.device, flags: int = 1, kept: int = 2) -> None:
        cuda = device.type == "cuda"
        self._hosts = [torch.zeros(flags, dtype=torch.bool, pin_memory=cuda) for _ in range(kept)]
        self._values = [host.numpy() for host in self._hosts]  # the same memory
        # A blocking event lets the waiting host sleep, and leaves its core to the loaders.
        self._events = [
            torch.cuda.Event(blocking=True) if cuda else None  # type: ignore[no-untyped-call]
            for _ in range(kept)
        ]
        self._free, self._pending = deque(range(kept)), deque[int]()

    def __len__(self) -> int:
        return len(self._pending)

    def put(self, flags: Tensor) -> None:
        """Start to copy `flags`; IndexError if the queue already has `kept` entries."""
        slot = self._free.popleft()
        self._hosts[slot].copy_(flags, non_blocking=True)
        if event := self._events[slot]:
            event.record()
        self._pending.append(slot)

    def first(self) -> list[bool]:
        """The oldest flags, which stay in the queue; waits until the device has computed them."""
        slot = self._pending[0]
        if event := self._events[slot]:
            event.synchronize()
        return [bool(value) for value in self._values[slot]]

    def pop(self) -> list[bool]:
        """Remove the oldest flags from the queue, and return them."""
        flags = self.first()
        self._free.append(self._pending.popleft())
        return flags
