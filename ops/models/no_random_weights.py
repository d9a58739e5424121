"""Building networks whose weights are loaded afterwards."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor
from torch.nn import init
from torch.overrides import TorchFunctionMode

_RANDOM = frozenset((Tensor.normal_, Tensor.uniform_, init.normal_, init.uniform_, init.kaiming_uniform_))


class no_random_weights(TorchFunctionMode):  # noqa: N801 (used like a function)
    """Within this context, tensors that would be filled with random numbers keep what is in their memory.

    Random initialisation takes more than half of the time that it takes to build a network.
    """

    def __torch_function__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """The result of `func`, or its first argument, a tensor, as it is."""
        kwargs = kwargs or {}
        if func in _RANDOM:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)
