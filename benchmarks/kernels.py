"""Count the operations that launch a kernel on a GPU, and the reads for which the host waits. Works on any device."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

NO_KERNEL = {
    "empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided",  # only reserve memory
    "_unsafe_view", "lift_fresh", "_local_scalar_dense", "dropout",  # dropout in evaluation mode
}  # fmt: skip
"""Operations that launch no kernel, although their schema does not mark their result as a view."""

READS = {"_local_scalar_dense", "equal", "nonzero", "masked_select", "_unique2", "unique_dim"}
"""Operations for which the host needs the result or its shape. Boolean indices and copies to the host also count."""


class KernelCounts:
    """Counts by name: `kernels` are operations that launch a kernel, and `reads` those for which the host waits."""

    def __init__(self) -> None:
        self.kernels: Counter[str] = Counter()
        self.reads: Counter[str] = Counter()


@contextmanager
def count_kernels() -> Iterator[KernelCounts]:
    """Within the context, count operations; an operation on a list of tensors (`_foreach_…`) counts once."""
    counts = KernelCounts()
    with _Operations(counts), _Copies(counts):
        yield counts


class _Operations(TorchDispatchMode):
    """Counts operations below autograd, where composite operations are already decomposed."""

    def __init__(self, counts: KernelCounts) -> None:
        super().__init__()
        self.counts = counts

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        if name not in NO_KERNEL and torch.is_inference_mode_enabled():  # inference mode does not decompose composites
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
    """Counts copies to the host when they are called, because nothing is really copied on a CPU."""

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
