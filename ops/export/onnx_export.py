"""Exporting a trained model to ONNX, with metadata on its use, and verified against PyTorch before it is moved into
place."""

import json
import logging
import os

import onnx
import torch

from ops.common.errors import InputError
from ops.common.storage import atomic_path
from ops.common.text import first_line
from ops.export.exported_model import PRECISIONS, PixelsToLogits, clip_shape, facts_for_users
from ops.export.verification import Exported, verify
from ops.models.recognizer import Recognizer
from ops.models.runtimes import open_session
from ops.predict.predictor import Predictor

log = logging.getLogger(__name__)


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
