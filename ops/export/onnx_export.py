"""Exporting a trained model to ONNX, with metadata on its use, and verified against PyTorch before it is moved into
place."""

import copy
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from ops.common.errors import InputError
from ops.common.storage import atomic_path
from ops.common.timing import median_seconds
from ops.models.network_name import model_name
from ops.models.recognizer import Recognizer
from ops.models.tam import TAM
from ops.predict.predictor import Predictor

log = logging.getLogger(__name__)

PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16}

BOUNDS = {"fp32": 1e-4, "fp16": 1e-2}
"""The largest allowed difference from PyTorch's logits in float32, as ‖a - b‖ / ‖b‖.

fp32: the tolerance of this project towards the published code; another order of summation gives 2e-7 (TANet-50).
fp16: each rounding is up to 2^-11 = 5e-4 of a value; over all layers of TANet-50 this gives 1e-3, and ten times that
would be an error.
"""

BATCHES = (1, 3)
"""The file is verified with these batch sizes: one, and a size that was not used for the export."""

RUNS = 9
"""Number of timings; the median is reported."""


class PixelsToLogits(nn.Module):
    """The exported module: uint8 clips `[N, T, C, H, W]` → float32 logits `[N, K]`, computed in `dtype`.

    Pixels are normalised, and TAM's coefficients computed, in float32, as with mixed precision.
    """

    def __init__(self, model: Recognizer, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.model = copy.deepcopy(model).eval().to(dtype)
        self.model.mean, self.model.std = model.mean.float(), model.std.float()
        for module in self.model.modules():
            if isinstance(module, TAM):
                module.float()

    def forward(self, clips: Tensor) -> Tensor:
        """`clips [N, T, C, H, W]`, uint8 → logits `[N, K]`, float32."""
        logits: Tensor = self.model(self.model.normalize(clips).to(self.dtype))
        return logits.float()


@dataclass(frozen=True)
class Exported:
    """The result of an export: for each batch size the largest difference of the logits, and the relative difference of
    norms; and the median seconds that PyTorch (in float32) and onnxruntime need for one clip.
    """

    differences: Mapping[int, tuple[float, float]]
    torch_seconds: float
    onnx_seconds: float


def export_onnx(predictor: Predictor, target: str | os.PathLike[str], precision: str = "fp32") -> Exported:
    """Write the model of `predictor` as ONNX to `target`, atomically; `precision` is one of `PRECISIONS`.

    It takes uint8 pixels `clips [N, T, C, H, W]`, for any N, and gives float32 `logits [N, K]`; `facts_for_users` are
    in its metadata. InputError if onnxruntime and PyTorch do not agree within `BOUNDS`.
    """
    size = predictor.shape.scale_size if predictor.full_res else predictor.shape.input_size
    shape = (predictor.model.num_segments, predictor.model.channels, size, size)
    log.info("exporting %s for clips of %s", predictor.checkpoint.path, " x ".join(map(str, shape)))
    proto = to_onnx(predictor.model, shape, precision)
    facts = facts_for_users(predictor, size, precision)
    onnx.helper.set_model_props(proto, {key: json.dumps(value) for key, value in facts.items()})
    with atomic_path(target) as temporary:
        onnx.save(proto, temporary)
        try:
            session = open_session(temporary)
        except Exception as error:  # its errors have no other common base class
            reason = f"{error}".splitlines()[0]
            raise InputError(f"{target}: not written: onnxruntime cannot use it ({reason})") from None
        differences = {batch: _difference(session, predictor.model, (batch, *shape)) for batch in BATCHES}
        worst = max(relative for _, relative in differences.values())
        if not worst <= BOUNDS[precision]:
            raise InputError(
                f"{target}: not written: the logits of onnxruntime differ from PyTorch's by {worst:.1e} of their "
                f"norm, but only {BOUNDS[precision]:g} is allowed for {precision}"
            )
        seconds = _latencies(session, predictor.model, (1, *shape))
    return Exported(differences, *seconds)


def to_onnx(model: Recognizer, shape: tuple[int, int, int, int], precision: str) -> onnx.ModelProto:
    """The graph of `model` for clips of `shape [T, C, H, W]` and any batch size."""
    example = torch.zeros(2, *shape, dtype=torch.uint8)  # a batch size of one would become a constant
    module = PixelsToLogits(model, PRECISIONS[precision]).eval()
    with torch.no_grad():
        program = torch.onnx.export(
            module, (example,), dynamo=True, input_names=["clips"], output_names=["logits"],
            dynamic_shapes={"clips": {0: torch.export.Dim("batch")}}, verbose=False,
        )  # fmt: skip
    assert program is not None
    proto: onnx.ModelProto = program.model_proto
    return proto


def facts_for_users(predictor: Predictor, size: int, precision: str) -> dict[str, Any]:
    """What users of the file need to know about its input and output: plain data."""
    model, shape, checkpoint = predictor.model, predictor.shape, predictor.checkpoint
    return {
        "model": model_name(model.arch, model.temporal),
        "source": Path(checkpoint.path).name,
        "dataset": checkpoint.meta.get("dataset"),
        "class_names": predictor.class_names,
        "modality": model.modality,
        "num_segments": model.num_segments,
        "input": "uint8 [N, T, C, H, W], RGB, 0 to 255; normalised inside",
        "scale_size": shape.scale_size,
        "input_size": size,
        "cut": "short side of a frame to scale_size, the long side rounded down, then a centre crop of input_size",
        "sampling": predictor.sample.one_clip.kind,
        "mean": model.mean.flatten().tolist(),
        "std": model.std.flatten().tolist(),
        "precision": precision,
    }


def open_session(path: str | os.PathLike[str]) -> onnxruntime.InferenceSession:
    """The ONNX file at `path`, loaded in onnxruntime, on the CPU with as many threads as PyTorch."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _random_clips(shape: tuple[int, ...]) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@torch.inference_mode()
def _difference(
    session: onnxruntime.InferenceSession, model: Recognizer, shape: tuple[int, ...]
) -> tuple[float, float]:
    """The largest and the relative difference of the logits for random clips of `shape [N, T, C, H, W]`."""
    clips = _random_clips(shape)
    wanted, (got,) = model(clips).numpy(), session.run(None, {"clips": clips.numpy()})
    difference = got - wanted
    return float(np.abs(difference).max()), float(np.linalg.norm(difference) / np.linalg.norm(wanted))


@torch.inference_mode()
def _latencies(session: onnxruntime.InferenceSession, model: Recognizer, shape: tuple[int, ...]) -> tuple[float, float]:
    """Median seconds of PyTorch and onnxruntime, measured in turn after warming up."""
    clips = _random_clips(shape)
    feed = {"clips": clips.numpy()}
    torch_seconds, onnx_seconds = median_seconds((lambda: model(clips), lambda: session.run(None, feed)), RUNS)
    return torch_seconds, onnx_seconds
