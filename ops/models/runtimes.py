"""Computing a trained network in a runtime other than PyTorch: onnxruntime or OpenVINO, on a CPU."""

import copy
import functools
import importlib
import logging
import math
import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib import metadata, util
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ops.common.device import Compute, fold_batch_norms
from ops.common.errors import InputError, UnusableRuntimeError
from ops.common.optional_packages import need
from ops.common.text import first_line
from ops.models.packed_convolutions import pack_convolutions

log = logging.getLogger(__name__)

Session = Callable[[NDArray[Any]], NDArray[np.float32]]
"""Clips `[N, T, C, H, W]` → logits `[N, K]`, for the N, T, C, H and W that it was opened with."""

BOUNDS = {"off": 1e-4, "bf16": 0.1}
"""The largest allowed difference from PyTorch's logits in float32, as ‖a - b‖ / ‖b‖, for each `--amp`.

off: the tolerance of this project towards the published code; another order of summation gives 1e-6 at most.
bf16: each rounding is up to 2^-8 of a value, which gives 2e-2 in TANet-50; five times that would be an error.
"""

EXACT = 1e-5
"""The bound in float32 for a runtime that `auto` chose, because PyTorch can replace it."""

PACKAGES = {"torch": (), "onnxruntime": ("onnx", "onnxruntime"), "openvino": ("onnx", "openvino")}

AUTOMATIC = {"off": ("openvino", "onnxruntime"), "bf16": ("openvino",)}
"""The runtimes that `auto` tries in turn for each `--amp`, before PyTorch: the fastest first."""

WORTH_STARTING = {"off": 4e13, "bf16": 4e12}
"""From so many multiply-adds on, `auto` takes another runtime than PyTorch, for each `--amp`.

It starts 1 to 2 seconds later, which 1,222 clips of TANet-50 (8 × 224²) make up for several times over, or 122 in bf16
(`benchmarks/RESULTS.md`). The number of processes has no influence, because any number must give the same scores.
"""

T = TypeVar("T")


def choose_runtime(compute: Compute, name: str, work: float = math.inf) -> Compute:
    """`compute` with the runtime `name`. InputError if it cannot be used.

    "auto" is the fastest installed one for `work`, the number of multiply-adds of all clips together. In float32 its
    logits are those of PyTorch up to 1e-5 of their norm: see `with_fallback`.
    """
    if name == "auto":
        chosen = next(filter(is_installed, _automatic(compute, work)), "torch")
        return replace(compute, runtime=chosen, may_fall_back=chosen != "torch")
    if name not in PACKAGES:
        raise InputError(f"runtime ({name}) must be auto, {', '.join(PACKAGES)}")
    compute = replace(compute, runtime=name, may_fall_back=False)
    if name == "torch":
        return compute
    if compute.device.type != "cpu":
        raise InputError(f"--runtime {name} computes on the CPU, but the device is {compute.device}: add --device cpu")
    if compute.compile:
        raise InputError(f"--compile is for PyTorch: leave it out with --runtime {name}")
    allowed = ("off", "bf16") if name == "openvino" else ("off",)
    if compute.amp not in allowed:
        raise InputError(f"--runtime {name} has no --amp {compute.amp}: use {' or '.join(allowed)}")
    need(*PACKAGES[name])
    return compute


def is_installed(runtime: str) -> bool:
    """Whether the packages that a runtime needs are installed."""
    return all(map(util.find_spec, PACKAGES[runtime]))


def _automatic(compute: Compute, work: float) -> tuple[str, ...]:
    """The runtimes that "auto" prefers to PyTorch, best first."""
    usable = compute.device.type == "cpu" and not compute.compile and work >= WORTH_STARTING.get(compute.amp, math.inf)
    return AUTOMATIC[compute.amp] if usable else ()


def with_fallback(
    compute: Compute, attempt: Callable[[Compute], T], gather: Callable[[Any], list[Any]] = lambda state: [state]
) -> tuple[T, Compute]:
    """What `attempt` returns, and how it was computed: in PyTorch if the runtime that `auto` chose fails.

    `attempt` should compute a clip, because runtimes are opened only then. Without a fallback, its error is raised.
    `gather` collects a value from all processes: if the runtimes of two of them differ, all use PyTorch.
    """
    results, reason = [], ""
    try:
        results.append(attempt(compute))
    except UnusableRuntimeError as error:
        if not compute.may_fall_back:
            raise
        reason = error.reason
    except Exception as error:
        if not compute.may_fall_back or isinstance(error, InputError):  # which is not the fault of the runtime
            raise
        reason = f"{compute.runtime} cannot use the network ({first_line(error)})"
    states = gather(("" if reason else describe_runtime(compute), reason))
    reason = next((found for _, found in states if found), "")
    if not reason and len({runtime for runtime, _ in states}) > 1:
        reason = f"the processes have different runtimes ({', '.join(runtime for runtime, _ in states)})"
    if not reason:
        return results[0], replace(compute, may_fall_back=False)
    log.warning("computing in PyTorch: %s", reason)
    compute = replace(compute, runtime="torch", may_fall_back=False)
    return attempt(compute), compute


def describe_runtime(compute: Compute) -> str:
    """Name and version of the runtime, as in "onnxruntime 1.32.0"; "torch" alone, whose version is known."""
    name = compute.runtime
    if name == "torch":
        return name
    try:
        return f"{name} {metadata.version(name)}"
    except metadata.PackageNotFoundError:  # the module is from a package with another name, such as onnxruntime-gpu
        with suppress(ImportError):
            return f"{name} {importlib.import_module(name).__version__}"
    return name


def inference_network(model: nn.Module, compute: Compute) -> nn.Module:
    """The fastest form of `model` in the runtime of `compute`: uint8 clips `[N, T, C, H, W]` → logits `[N, K]`."""
    if compute.runtime != "torch":
        return RuntimeNetwork(model, compute)
    network = compute.for_inference(model)
    return pack_convolutions(network) if packs(compute) else network


def packs(compute: Compute) -> bool:
    """Whether PyTorch computes in packed convolutions, which are for float32 on a CPU."""
    return compute.device.type == "cpu" and compute.amp == "off" and not compute.compile


@torch.inference_mode()
def opened_network(model: nn.Module, compute: Compute, shape: Sequence[int]) -> nn.Module:
    """`inference_network`, ready for clips of `shape`, `[T, C, H, W]`. UnusableRuntimeError if its runtime cannot."""
    network = inference_network(model, compute)
    if isinstance(network, RuntimeNetwork):
        network(torch.randint(256, (1, *shape), generator=torch.Generator().manual_seed(0)).byte())
    return network


def folded_network(model: nn.Module, compute: Compute) -> nn.Module:
    """A copy of `model` with its batch norms folded, before it is compiled or loaded into another runtime."""
    return replace(compute, compile=False).for_inference(model)


class RuntimeNetwork(nn.Module):
    """`model`, its batch norms folded, computed by `compute.runtime`, one clip at a time.

    A clip may also be a frame, or the features of frames, if that is what `model` takes.

    The first clip of each shape is also computed by PyTorch, which records the network, and the logits are compared.
    """

    def __init__(self, model: nn.Module, compute: Compute) -> None:
        super().__init__()
        self._model, self._compute = [model], compute  # in a list, so that it does not become a submodule
        self._sessions: dict[tuple[int, ...], Session] = {}

    def forward(self, clips: Tensor) -> Tensor:
        """`clips [N, T, C, H, W]` → logits `[N, K]`, float32. UnusableRuntimeError if the runtime cannot do it."""
        return torch.from_numpy(np.concatenate([self._logits(clips[place : place + 1]) for place in range(len(clips))]))

    def _logits(self, clip: Tensor) -> NDArray[np.float32]:
        session = self._sessions.get(tuple(clip.shape))
        if session is None:
            session, wanted = self._open(clip)
            self._sessions[tuple(clip.shape)] = session
            got = session(clip.numpy())
            self._compare(got, wanted.numpy())
            return got
        return session(clip.numpy())

    def _open(self, clip: Tensor) -> tuple[Session, Tensor]:
        name = self._compute.runtime
        try:
            from ops.models.onnx_recorder import record_onnx
        except ImportError as error:  # installed, but not for this version of Python or of another package
            raise UnusableRuntimeError(f"onnx cannot be imported ({first_line(error)})") from None
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            try:
                with torch.inference_mode(False):
                    folded = fold_batch_norms(copy.deepcopy(self._model[0]).eval())
                path, logits = record_onnx(folded, clip, folder)
            except OSError as error:
                raise UnusableRuntimeError(f"{folder}: {error.strerror}, but {name} needs space there") from None
            del folded  # freed before the runtime makes its copy
            try:
                return open_session(name, path, self._compute.amp), logits
            except Exception as error:  # the runtimes' errors have no other common base class
                reason = first_line(error)
                raise UnusableRuntimeError(f"{name} cannot use the network ({reason})") from None

    def _compare(self, got: NDArray[np.float32], wanted: NDArray[np.float32]) -> None:
        if not np.isfinite(wanted).all():
            return  # the fault of the network, which the caller reports
        difference = float(np.linalg.norm(got - wanted) / max(np.linalg.norm(wanted), np.finfo(np.float32).tiny))
        name, amp = self._compute.runtime, self._compute.amp
        bound = EXACT if self._compute.may_fall_back and amp == "off" else BOUNDS[amp]
        if not difference <= bound:
            raise UnusableRuntimeError(
                f"the logits of {name} differ from PyTorch's by {difference:.1e} of their norm, but only "
                f"{bound:g} is allowed"
            )
        log.debug("%s: the first logits differ from PyTorch's by %.1e of their norm", name, difference)


def open_session(runtime: str, path: str | os.PathLike[str], amp: str = "off") -> Session:
    """The network in the file `path`, which maps `clips` to `logits`, loaded in `runtime`.

    It uses as many threads as PyTorch. They sleep while they wait, so that loaders can work.
    """
    return _in_onnxruntime(path) if runtime == "onnxruntime" else _in_openvino(path, amp)


def _in_onnxruntime(path: str | os.PathLike[str]) -> Session:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])

    def compute(clips: NDArray[Any]) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = session.run(["logits"], {"clips": clips})[0]
        return logits

    return compute


@functools.cache
def openvino_core() -> Any:
    """OpenVINO's entry point: one for the process, which is never released.

    OpenVINO's CPU plugin (seen in 2026.4.1) gives the thread that loads it another stack for signal handlers, and
    restores the previous one when it is released. If two of them are not released in reverse order, the thread is left
    with a freed stack, and the next signal, such as the end of a loader's process, ends the process.
    """
    import openvino

    return openvino.Core()


def _in_openvino(path: str | os.PathLike[str], amp: str) -> Session:
    core = openvino_core()
    options: dict[str, Any] = {
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "ENABLE_CPU_PINNING": False,  # otherwise processes that share a machine would be bound to the same cores
        "INFERENCE_PRECISION_HINT": "bf16" if amp == "bf16" else "f32",  # otherwise it uses bf16 if the CPU supports it
    }
    network = core.compile_model(core.read_model(os.fspath(path)), "CPU", options)

    def compute(clips: NDArray[Any]) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = network([np.ascontiguousarray(clips)])["logits"]
        return logits.copy()  # the next run overwrites it

    return compute
