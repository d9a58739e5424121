"""When networks are translated, they use plain operations instead of those that were written for training."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

import torch

_wanted = ContextVar("plain_operations", default=False)


@contextlib.contextmanager
def plain_operations() -> Iterator[None]:
    """Within the context, networks use plain operations."""
    token = _wanted.set(True)
    try:
        yield
    finally:
        _wanted.reset(token)


def wants_plain_operations() -> bool:
    """Whether the network is being exported, recorded, or compiled for inference.

    Writing in place would become a scatter operation in an exported graph, and prevents inductor from freezing weights.
    In a compiled training step, the gradients that were written by hand are still faster.
    """
    if torch.compiler.is_compiling():  # also true while exporting
        return torch.compiler.is_exporting() or not torch.is_grad_enabled()
    return _wanted.get()
