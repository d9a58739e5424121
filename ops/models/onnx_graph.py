"""Building an ONNX graph: nodes, constants, and the names of PyTorch's tensors in it."""

import os
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper
from onnx.numpy_helper import from_array
from torch import Tensor

OPSET = 18
IR_VERSION = 8
"""The oldest version with opset 18, because runtimes read all versions up to their own."""

WEIGHTS = "weights.bin"
"""The file beside the model for its large constants, which avoids another copy of them in memory."""

LARGE = 1024
"""Constants of at least this many bytes are stored there."""

TYPES = {torch.uint8: TensorProto.UINT8, torch.float32: TensorProto.FLOAT}


class Graph:
    """An ONNX graph that is being built, and the names of PyTorch's tensors in it."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[np.ndarray[Any, Any]] = []
        self._names: dict[int, tuple[weakref.ref[Tensor], str]] = {}  # id → tensor, which may have been freed, and name

    def is_recorded(self, tensor: Tensor) -> bool:
        """Whether `tensor` was computed from the clip."""
        known = self._names.get(id(tensor))
        return known is not None and known[0]() is tensor

    def call(self, tensor: Tensor, name: str) -> None:
        """Record that `tensor` is the value `name` of the graph."""
        self._names[id(tensor)] = weakref.ref(tensor), name

    def name(self, value: Tensor | float) -> str:
        """The name of a tensor, which becomes a constant if it was not computed from the clip, or of a number."""
        if isinstance(value, Tensor) and self.is_recorded(value):
            return self._names[id(value)][1]
        array = value.detach().contiguous().numpy() if isinstance(value, Tensor) else np.array(value, np.float32)
        return self._constant(array)

    def integers(self, values: Sequence[int]) -> str:
        """The name of an int64 constant."""
        return self._constant(np.array(values, np.int64))

    def _constant(self, array: np.ndarray[Any, Any]) -> str:
        self.constants.append(array)
        return f"constant_{len(self.constants) - 1}"

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output; returns the name of the output."""
        output = f"value_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def save(self, folder: str | os.PathLike[str], clip: Tensor, logits: Tensor) -> Path:
        """Write the model from `clips` to `logits` into `folder`; returns its path. OSError if the disk is full."""
        self.nodes.append(helper.make_node("Identity", [self.name(logits)], ["logits"]))
        ends = [
            helper.make_tensor_value_info(name, TYPES[tensor.dtype], list(tensor.shape))
            for name, tensor in (("clips", clip), ("logits", logits))
        ]
        constants = []
        with open(Path(folder, WEIGHTS), "wb") as weights:
            for number, array in enumerate(self.constants):
                name = f"constant_{number}"
                constants.append(_store(array, name, weights) if array.nbytes >= LARGE else from_array(array, name))
        graph = helper.make_graph(self.nodes, "network", ends[:1], ends[1:], constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        path = Path(folder, "network.onnx")
        path.write_bytes(model.SerializeToString())
        return path


def _store(array: np.ndarray[Any, Any], name: str, weights: BinaryIO) -> onnx.TensorProto:
    """Append an array to the file of weights; returns the constant that refers to it."""
    tensor = TensorProto(name=name, data_location=TensorProto.EXTERNAL, dims=array.shape)
    tensor.data_type = helper.np_dtype_to_tensor_dtype(array.dtype)
    for key, value in (("location", WEIGHTS), ("offset", weights.tell()), ("length", array.nbytes)):
        tensor.external_data.add(key=key, value=str(value))
    weights.write(array.tobytes())
    return tensor
