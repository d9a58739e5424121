"""SGD and AdamW of PyTorch, without the import of its compiler.

`torch.optim.Optimizer` imports `torch._dynamo`, which takes seconds and 100 MB, when the first one is made, so that its
methods can be left out of compiled code. Here only networks are compiled (`--compile`), never optimizers, so these
classes call the same methods of PyTorch directly. They compute the same and save the same state.
"""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch.optim import Optimizer


class EagerOptimizer(Optimizer):
    """The methods that all optimizers share."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, as `Optimizer.add_param_group`."""
        inspect.unwrap(Optimizer.add_param_group)(self, param_group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Reset the gradients, as `Optimizer.zero_grad`."""
        inspect.unwrap(Optimizer.zero_grad)(self, set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """The state, as `Optimizer.state_dict`."""
        state: dict[str, Any] = inspect.unwrap(Optimizer.state_dict)(self)
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state, as `Optimizer.load_state_dict`."""
        inspect.unwrap(Optimizer.load_state_dict)(self, state_dict)


class SGD(EagerOptimizer, torch.optim.SGD):
    """`torch.optim.SGD`."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Take a step, as `torch.optim.SGD.step`."""
        return inspect.unwrap(torch.optim.SGD.step)(self, closure)


class AdamW(EagerOptimizer, torch.optim.AdamW):
    """`torch.optim.AdamW`."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Take a step, as `torch.optim.AdamW.step`."""
        return inspect.unwrap(torch.optim.AdamW.step)(self, closure)
