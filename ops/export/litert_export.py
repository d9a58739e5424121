"""Exporting a trained model to LiteRT (TensorFlow Lite), in float32, or with weights in half precision or int8."""

import json
import logging
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ops.common.errors import InputError
from ops.common.storage import atomic_path
from ops.common.text import first_line
from ops.export.exported_model import PixelsToLogits, clip_shape, facts_for_users, quiet
from ops.export.verification import Exported, verify
from ops.models.runtimes import Session
from ops.predict.predictor import Predictor

log = logging.getLogger(__name__)

FACTS = "tam.json"
LABELS = "labels.txt"
"""Files that are appended to the model as a ZIP archive, which is where LiteRT's tools look for files with labels."""


class _NamedLogits(PixelsToLogits):
    """Gives the output its name."""

    def forward(self, clips: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        """`clips [1, T, C, H, W]`, uint8 → logits `[1, K]`, float32."""
        return {"logits": super().forward(clips)}


def export_litert(predictor: Predictor, target: str | os.PathLike[str], precision: str = "fp32") -> Exported:
    """Write the model of `predictor` for LiteRT to `target`, atomically.

    `precision` is "fp32", "fp16" (of the weights) or "int8" (of the weights of convolutions; their inputs are quantised
    for each clip while it is computed, so nothing has to be calibrated).

    The model takes uint8 pixels `clips [1, T, C, H, W]` and returns float32 `logits [1, K]`; `facts_for_users` are
    appended as `FACTS`. InputError if LiteRT and PyTorch do not agree within `BOUNDS`.
    """
    shape = clip_shape(predictor)
    log.info("exporting %s for clips of %s (a few minutes)", predictor.checkpoint.path, " x ".join(map(str, shape)))
    with atomic_path(target) as temporary:
        try:
            with quiet():
                _convert(predictor, shape, temporary)
                if precision != "fp32":
                    _quantise(temporary, precision)
        except Exception as error:  # its errors have no other common base class
            raise InputError(f"{target}: not written: LiteRT cannot use the model ({first_line(error)})") from None
        _append_facts(temporary, facts_for_users(predictor, shape[-1], precision, "uint8 [1"))
        return verify(open_litert(temporary), predictor, shape, os.fspath(target), precision, "LiteRT")


def open_litert(path: str | os.PathLike[str]) -> Session:
    """The network in the file `path`, which computes one clip after another, with as many threads as PyTorch."""
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(os.fspath(path), num_threads=torch.get_num_threads()).get_signature_runner()

    def compute(clips: NDArray[Any]) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = np.concatenate([runner(clips=clip[None])["logits"] for clip in clips])
        return logits

    return compute


def _convert(predictor: Predictor, shape: tuple[int, ...], path: Path) -> None:
    import litert_torch

    clip = torch.zeros(1, *shape, dtype=torch.uint8)
    litert_torch.convert(_NamedLogits(predictor.model).eval(), sample_kwargs={"clips": clip}).export(os.fspath(path))


def _quantise(path: Path, precision: str) -> None:
    """Replace the weights in the file `path`, those of TAM's branches and of the classifier only with fp16."""
    from ai_edge_quantizer import qtyping, quantizer
    from ai_edge_quantizer.algorithm_manager import AlgorithmName

    operations = qtyping.TFLOperationName
    tool = quantizer.Quantizer(os.fspath(path))
    if precision == "int8":
        tool.add_dynamic_config(regex=".*", operation_name=operations.CONV_2D, num_bits=8)
    else:
        weights = qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT)
        tool.update_quantization_recipe(
            regex=".*",
            operation_name=operations.ALL_SUPPORTED,
            algorithm_key=AlgorithmName.FLOAT_CASTING,
            op_config=qtyping.OpQuantizationConfig(
                weight_tensor_config=weights,
                compute_precision=qtyping.ComputePrecision.FLOAT,
                explicit_dequantize=True,
            ),
        )
    path.write_bytes(tool.quantize().quantized_model)


def _append_facts(path: Path, facts: dict[str, Any]) -> None:
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(FACTS, json.dumps(facts, ensure_ascii=False, indent=2))
        if facts["class_names"]:
            archive.writestr(LABELS, "\n".join(facts["class_names"]) + "\n")
