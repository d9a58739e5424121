"""Where networks are translated, they use plain operations in place of those that were written for training."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

import torch

_wanted = ContextVar("plain_operations", default=False)


@contextlib.contextmanager
def plain_operations() -> Iterator[None]:
    """Within it, networks use plain operations."""
    token = _wanted.set(True)
    try:
        yield
    finally:
        _wanted.reset(token)


def wants_plain_operations() -> bool:
    """Whether the network is being exported, recorded, or compiled for inference.

    Writing in place would become scattering in an exported graph, and inductor cannot freeze weights with it. In a
    compiled training step, the gradients that were written by hand are still the faster ones.
    """
    if torch.compiler.is_compiling():  # also while exporting
        return torch.compiler.is_exporting() or not torch.is_grad_enabled()
    return _wanted.get()
