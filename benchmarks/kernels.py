"""Count the operations that launch a kernel on a GPU, and the reads for which the host waits; on any device."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

NO_KERNEL = {
    "empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided",  # only reserve memory
    "_unsafe_view", "lift_fresh", "_local_scalar_dense", "dropout",  # dropout that drops nothing; else it is others
}  # fmt: skip
"""Operations that launch no kernel although their schema does not say that they return a view."""

READS = {"_local_scalar_dense", "equal", "nonzero", "masked_select", "_unique2", "unique_dim"}
"""Operations whose result, or its shape, the host needs. Boolean indices are added, and copies to the host."""


class KernelCounts:
    """Counts by name: `kernels`, operations that launch one, and `reads` by the host, each of which waits."""

    def __init__(self) -> None:
        self.kernels: Counter[str] = Counter()
        self.reads: Counter[str] = Counter()


@contextmanager
def count_kernels() -> Iterator[KernelCounts]:
    """Within the context, count operations; one over a list of tensors (`_foreach_…`) counts once."""
    counts = KernelCounts()
    with _Operations(counts), _Copies(counts):
        yield counts


class _Operations(TorchDispatchMode):
    """Counts below autograd, where composite operations have been replaced by what they are made of."""

    def __init__(self, counts: KernelCounts) -> None:
        super().__init__()
        self.counts = counts

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        if name not in NO_KERNEL and torch.is_inference_mode_enabled():  # which does not take composites apart
            with self:
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        if name in READS or (name in ("index", "index_put_") and _has_mask(args[1])):
            self.counts.reads[name] += 1
        if not (func.is_view or name in NO_KERNEL):
            self.counts.kernels[name] += 1
        return func(*args, **kwargs)


class _Copies(TorchFunctionMode):
    """Counts copies to the host where they are asked for: on a CPU nothing is copied."""

    def __init__(self, counts: KernelCounts) -> None:
        super().__init__()
        self.counts = counts

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (torch.Tensor.cpu, torch.Tensor.numpy, torch.Tensor.tolist):
            self.counts.reads[func.__name__] += 1
        return func(*args, **kwargs)


def _has_mask(indices: Any) -> bool:
    return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in indices)
