"""Exporting a trained model to ONNX, with metadata on its use, and verified against PyTorch before it is moved into
place."""

import copy
import json
import logging
import os
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from ops.common.device import fold_batch_norms
from ops.common.errors import InputError
from ops.common.storage import atomic_path
from ops.common.text import first_line
from ops.export.verification import Exported, verify
from ops.models.network_name import model_name
from ops.models.recognizer import Recognizer
from ops.models.runtimes import open_session
from ops.models.tam import TAM
from ops.predict.predictor import Predictor

log = logging.getLogger(__name__)

PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16}


class PixelsToLogits(nn.Module):
    """The exported module: uint8 clips `[N, T, C, H, W]` → float32 logits `[N, K]`, computed in `dtype`.

    Pixels are normalised, and TAM's coefficients computed, in float32, as with mixed precision.
    """

    def __init__(self, model: Recognizer, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.model = copy.deepcopy(model).eval()
        fold_batch_norms(self.model)
        self.model.to(dtype)
        self.model.mean, self.model.std = model.mean.float(), model.std.float()
        for module in self.model.modules():
            if isinstance(module, TAM):
                module.float()

    def forward(self, clips: Tensor) -> Tensor:
        """`clips [N, T, C, H, W]`, uint8 → logits `[N, K]`, float32."""
        logits: Tensor = self.model(self.model.normalize(clips).to(self.dtype))
        return logits.float()


def export_onnx(predictor: Predictor, target: str | os.PathLike[str], precision: str = "fp32") -> Exported:
    """Write the model of `predictor` as ONNX to `target`, atomically; `precision` is one of `PRECISIONS`.

    The model takes uint8 pixels `clips [N, T, C, H, W]`, for any N, and returns float32 `logits [N, K]`; its metadata
    has `facts_for_users`. InputError if onnxruntime and PyTorch do not agree within `BOUNDS`.
    """
    shape = clip_shape(predictor)
    log.info("exporting %s for clips of %s", predictor.checkpoint.path, " x ".join(map(str, shape)))
    proto = to_onnx(predictor.model, shape, precision)
    facts = facts_for_users(predictor, shape[-1], precision)
    onnx.helper.set_model_props(proto, {key: json.dumps(value) for key, value in facts.items()})
    with atomic_path(target) as temporary:
        onnx.save(proto, temporary)
        try:
            session = open_session("onnxruntime", temporary)
        except Exception as error:  # its errors have no other common base class
            reason = first_line(error)
            raise InputError(f"{target}: not written: onnxruntime cannot use it ({reason})") from None
        return verify(session, predictor, shape, os.fspath(target), precision, "onnxruntime")


def clip_shape(predictor: Predictor) -> tuple[int, int, int, int]:
    """The shape `[T, C, H, W]` of a clip that the model of `predictor` is exported for."""
    size = predictor.shape.scale_size if predictor.full_res else predictor.shape.input_size
    return predictor.model.num_segments, predictor.model.channels, size, size


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
        **({"multi_label": True} if checkpoint.multi_label else {}),
    }
