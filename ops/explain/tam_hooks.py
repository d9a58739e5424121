"""Recording the kernels and the importance of a network's TAMs while it runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from ops.models.tam import TAM


@dataclass(frozen=True)
class TamRecorder:
    """The kernels and importance of each TAM for one clip, by the name of its block (`layer1.0`), in network order.

    Attributes:
        kernels: float32 `[C, K]`, the global branch's weights of K frames in a row, the frame itself in the middle;
            those of each channel sum to one (paper, eq. 5). Without that branch it has no entry.
        importance: float32 `[C, T]` in (0, 1), the local branch's weight of each frame (eq. 3); likewise.
    """

    kernels: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    importance: dict[str, NDArray[np.float32]] = field(default_factory=dict)


def tams_of(model: nn.Module) -> dict[str, TAM]:
    """The TAMs of a recognizer by the name of their block, in network order; none for a plain TSN."""
    return {
        name.removeprefix("base_model.").removesuffix(".tam"): module
        for name, module in model.named_modules()
        if isinstance(module, TAM)
    }


@contextmanager
def watch_tams(model: nn.Module) -> Iterator[TamRecorder]:
    """Within the context, a forward pass of one clip records the numbers that its TAMs use in the `TamRecorder`.

    The numbers are recorded at the output of each branch, so they are exactly those of the pass. If a pass has
    several clips, the first is recorded; of several passes, the last.
    """
    watch = TamRecorder()
    handles = []
    for name, tam in tams_of(model).items():
        keep_kernel = partial(_keep_kernel, watch.kernels, name)
        keep_importance = partial(_keep_importance, watch.importance, name, tam.num_segments)
        if tam.G is not None:  # TAM calls the layers of its branches one by one
            handles.append(tam.G[-1].register_forward_hook(keep_kernel))
        if tam.L is not None:
            handles.append(tam.L[-1].register_forward_hook(keep_importance))
    try:
        yield watch
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def fixed_kernels(model: nn.Module, kernels: dict[str, NDArray[np.float32]]) -> Iterator[None]:
    """Within the context, the global branch of each block returns `kernels[block]` (`[C, K]`) for any input."""
    handles = []
    for name, tam in tams_of(model).items():
        if tam.G is not None:
            handles.append(tam.G[-1].register_forward_hook(partial(_replace_kernel, kernels[name])))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _keep_kernel(
    store: dict[str, NDArray[np.float32]], name: str, module: nn.Module, inputs: Any, output: Tensor
) -> None:
    """`output [N, K, C]`."""
    store[name] = output.detach()[0].T.float().cpu().numpy()


def _keep_importance(
    store: dict[str, NDArray[np.float32]], name: str, segments: int, module: nn.Module, inputs: Any, output: Tensor
) -> None:
    """`output [N·T, C]`."""
    store[name] = output.detach()[:segments].T.float().cpu().numpy()


def _replace_kernel(kernel: NDArray[np.float32], module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
    """`output [N, K, C]` → the same shape."""
    return output.new_tensor(kernel).T.expand_as(output)
