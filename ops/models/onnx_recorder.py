"""Recording a network as an ONNX graph while it computes: it takes a forward pass; `torch.onnx` takes a minute.

Every operation of PyTorch that depends on the clip becomes nodes of the graph (`onnx_operations`); tensors that are
computed from weights alone become constants. The graph is therefore only for clips of that shape.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from ops.common.errors import UnusableRuntimeError
from ops.models.onnx_graph import Graph
from ops.models.onnx_operations import OPERATIONS
from ops.models.plain_operations import plain_operations


class _Dispatch:
    # A separate class: PyTorch wraps the method of a direct subclass in code that imports its compiler (seconds).
    graph: Graph

    def __torch_dispatch__(
        self, function: Any, types: object, args: tuple[Any, ...] = (), options: dict[str, Any] | None = None
    ) -> Any:
        options = options or {}
        out = function(*args, **options)
        if any(self.graph.is_recorded(tensor) for tensor in _tensors([*args, *options.values()])):
            operation = OPERATIONS.get(function.overloadpacket.__name__)
            if operation is None:
                raise UnusableRuntimeError(f"the network uses {function}, which cannot be translated")
            names = operation(self.graph, _named(function, args, options), out)
            for tensor, name in zip(_tensors([out]), [names] if isinstance(names, str) else names, strict=False):
                self.graph.call(tensor, name)
        return out


class _Recorder(_Dispatch, TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, graph: Graph) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.graph = graph


def _tensors(values: Sequence[Any]) -> list[Tensor]:
    lists = [value if isinstance(value, list | tuple) else [value] for value in values]
    return [value for each in lists for value in each if isinstance(value, Tensor)]


def _named(function: Any, args: tuple[Any, ...], options: dict[str, Any]) -> dict[str, Any]:
    """All arguments of a call by name."""
    arguments = function._schema.arguments
    defaults = {argument.name: argument.default_value for argument in arguments if argument.has_default_value()}
    return defaults | dict(zip((argument.name for argument in arguments), args, strict=False)) | options


def record_onnx(network: nn.Module, clip: Tensor, folder: str | os.PathLike[str]) -> tuple[Path, Tensor]:
    """Write the graph of `network`, for clips of the shape of `clip`, into `folder`; its path, and the clip's logits.

    `clip [1, T, C, H, W]`, uint8 → logits `[1, K]`. UnusableRuntimeError for an operation that `onnx_operations` does
    not have; OSError if the disk is full.
    """
    graph = Graph()
    with torch.inference_mode(False), torch.no_grad(), torch.autocast("cpu", enabled=False), plain_operations():
        clip = clip.clone()  # an inference tensor could not be recorded
        graph.call(clip, "clips")
        with _Recorder(graph):
            logits = network(clip)
        return graph.save(folder, clip, logits), logits
