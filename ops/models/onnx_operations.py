"""PyTorch's operations as ONNX nodes: those that the networks of this project use."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from onnx import helper
from torch import Tensor

from ops.models.onnx_graph import Graph

Arguments = Mapping[str, Any]
Operation = Callable[[Graph, Arguments, Any], str | list[str]]
"""Adds the nodes of a call with these arguments and this result; returns the names of its tensors."""


def _unary(kind: str) -> Operation:
    return lambda graph, given, out: graph.add(kind, graph.name(given["self"]))


def _binary(kind: str) -> Operation:
    def add(graph: Graph, given: Arguments, out: Tensor) -> str:
        other = given["other"]
        if given.get("alpha", 1) != 1:
            other = other * given["alpha"]
        return graph.add(kind, graph.name(given["self"]), graph.name(other))

    return add


def _same(graph: Graph, given: Arguments, out: Tensor) -> str:
    return graph.name(given["self"])


def _restride(graph: Graph, given: Arguments, out: Tensor) -> str:
    assert tuple(given["size"]) == tuple(given["self"].shape), "only the order in memory may change"
    return graph.name(given["self"])


def _convert(graph: Graph, given: Arguments, out: Tensor) -> str:
    if out.dtype == given["self"].dtype:
        return graph.name(given["self"])
    return graph.add("Cast", graph.name(given["self"]), to=helper.np_dtype_to_tensor_dtype(out.numpy().dtype))


def _reshape(graph: Graph, given: Arguments, out: Tensor) -> str:
    return graph.add("Reshape", graph.name(given["self"]), graph.integers(out.shape))


def _expand(graph: Graph, given: Arguments, out: Tensor) -> str:
    return graph.add("Expand", graph.name(given["self"]), graph.integers(out.shape))


def _transpose(graph: Graph, given: Arguments, out: Tensor) -> str:
    order = list(range(out.ndim))
    if "dims" in given:
        order = [axis % out.ndim for axis in given["dims"]]
    else:  # `t` swaps the first two axes
        first, second = given.get("dim0", 0), given.get("dim1", 1)
        order[first], order[second] = order[second], order[first]
    return graph.add("Transpose", graph.name(given["self"]), perm=order)


def _select(graph: Graph, given: Arguments, out: Tensor) -> str:
    index = int(given["index"]) % given["self"].shape[given["dim"]]
    part = _cut(graph, graph.name(given["self"]), given["dim"], index, index + 1)
    return graph.add("Reshape", part, graph.integers(out.shape))


def _slice(graph: Graph, given: Arguments, out: Tensor) -> str:
    length = given["self"].shape[given["dim"]]
    start, stop, step = slice(given["start"], given["end"], given["step"]).indices(length)
    return _cut(graph, graph.name(given["self"]), given["dim"], start, stop, step)


def _cut(graph: Graph, name: str, axis: int, start: int, stop: int, step: int = 1) -> str:
    return graph.add("Slice", name, *(graph.integers([number]) for number in (start, stop, axis, step)))


def _split(graph: Graph, given: Arguments, out: list[Tensor]) -> list[str]:
    name, axis, names, start = graph.name(given["self"]), given["dim"], [], 0
    for part in out:
        names.append(_cut(graph, name, axis, start, start + part.shape[axis]))
        start += part.shape[axis]
    return names


def _cat(graph: Graph, given: Arguments, out: Tensor) -> str:
    return graph.add("Concat", *map(graph.name, given["tensors"]), axis=given["dim"])


def _stack(graph: Graph, given: Arguments, out: Tensor) -> str:
    axis = given["dim"] % out.ndim
    shape = graph.integers([1 if place == axis else size for place, size in enumerate(out.shape)])
    return graph.add("Concat", *(graph.add("Reshape", graph.name(x), shape) for x in given["tensors"]), axis=axis)


def _pad(graph: Graph, given: Arguments, out: Tensor) -> str:
    before, after = given["pad"][::2], given["pad"][1::2]  # starting with the last axis
    none = [0] * (out.ndim - len(before))
    pads = graph.integers([*none, *reversed(before), *none, *reversed(after)])
    return graph.add("Pad", graph.name(given["self"]), pads, graph.name(float(given["value"])))


def _mean(graph: Graph, given: Arguments, out: Tensor) -> str:
    axes = graph.integers(given["dim"])
    return graph.add("ReduceMean", graph.name(given["self"]), axes, keepdims=int(given["keepdim"]))


def _softmax(graph: Graph, given: Arguments, out: Tensor) -> str:
    return graph.add("Softmax", graph.name(given["self"]), axis=given["dim"])


def _clip(graph: Graph, given: Arguments, out: Tensor) -> str:
    return graph.add(
        "Clip", graph.name(given["self"]), *(graph.name(float(given[end])) for end in ("min_val", "max_val"))
    )


def _convolution(graph: Graph, given: Arguments, out: Tensor) -> str:
    inputs = [given[key] for key in ("input", "weight", "bias") if given[key] is not None]
    assert not given["transposed"]
    return graph.add(
        "Conv", *map(graph.name, inputs), strides=given["stride"], pads=[*given["padding"], *given["padding"]],
        dilations=given["dilation"], group=given["groups"],
    )  # fmt: skip


def _max_pool(graph: Graph, given: Arguments, out: tuple[Tensor, Tensor]) -> str:
    return graph.add(
        "MaxPool", graph.name(given["self"]), kernel_shape=given["kernel_size"], dilations=given["dilation"],
        strides=given["stride"] or given["kernel_size"], pads=[*given["padding"], *given["padding"]],
        ceil_mode=int(given["ceil_mode"]),
    )  # fmt: skip


def _matmul(graph: Graph, given: Arguments, out: Tensor) -> str:
    return graph.add("MatMul", graph.name(given["self"]), graph.name(given["mat2"]))


def _addmm(graph: Graph, given: Arguments, out: Tensor) -> str:
    operands = [graph.name(given[key]) for key in ("mat1", "mat2", "self")]
    return graph.add("Gemm", *operands, alpha=float(given["alpha"]), beta=float(given["beta"]))


def _baddbmm(graph: Graph, given: Arguments, out: Tensor) -> str:
    assert given["alpha"] == given["beta"] == 1
    product = graph.add("MatMul", graph.name(given["batch1"]), graph.name(given["batch2"]))
    return graph.add("Add", product, graph.name(given["self"]))


def _batch_norm(graph: Graph, given: Arguments, out: tuple[Tensor, ...]) -> str:
    assert not given.get("training")
    mean, variance = given["running_mean"], given["running_var"]
    weight = torch.ones_like(mean) if given["weight"] is None else given["weight"]
    bias = torch.zeros_like(mean) if given["bias"] is None else given["bias"]
    operands = map(graph.name, (given["input"], weight, bias, mean, variance))
    return graph.add("BatchNormalization", *operands, epsilon=given["eps"])


def _attention(graph: Graph, given: Arguments, out: tuple[Tensor, ...]) -> str:
    assert given["attn_mask"] is None and not given["is_causal"] and not given["dropout_p"]
    query, key, value = (graph.name(given[which]) for which in ("query", "key", "value"))
    scale = 1 / math.sqrt(given["query"].shape[-1]) if given["scale"] is None else given["scale"]
    likeness = graph.add("MatMul", query, graph.add("Transpose", key, perm=[0, 1, 3, 2]))
    shares = graph.add("Softmax", graph.add("Mul", likeness, graph.name(float(scale))), axis=-1)
    return graph.add("MatMul", shares, value)


OPERATIONS: dict[str, Operation] = {
    "_safe_softmax": _softmax,
    "_scaled_dot_product_flash_attention_for_cpu": _attention,
    "_softmax": _softmax,
    "_to_copy": _convert,
    "_unsafe_view": _reshape,
    "add": _binary("Add"),
    "add_": _binary("Add"),
    "addmm": _addmm,
    "alias": _same,
    "as_strided_": _restride,
    "baddbmm": _baddbmm,
    "bmm": _matmul,
    "cat": _cat,
    "clone": _same,
    "constant_pad_nd": _pad,
    "convolution": _convolution,
    "detach": _same,
    "div": _binary("Div"),
    "div_": _binary("Div"),
    "expand": _expand,
    "hardtanh": _clip,
    "hardtanh_": _clip,
    "max_pool2d_with_indices": _max_pool,
    "max_pool3d_with_indices": _max_pool,
    "maximum": _binary("Max"),
    "mean": _mean,
    "mm": _matmul,
    "mul": _binary("Mul"),
    "mul_": _binary("Mul"),
    "native_batch_norm": _batch_norm,
    "permute": _transpose,
    "relu": _unary("Relu"),
    "relu_": _unary("Relu"),
    "select": _select,
    "sigmoid": _unary("Sigmoid"),
    "sigmoid_": _unary("Sigmoid"),
    "slice": _slice,
    "split": _split,
    "squeeze": _reshape,
    "stack": _stack,
    "sub": _binary("Sub"),
    "sub_": _binary("Sub"),
    "t": _transpose,
    "transpose": _transpose,
    "unsqueeze": _reshape,
    "view": _reshape,
}
"""Operations by their names in `torch.ops.aten`; those that end in `_` work in place."""
