"""Exporting a trained model to OpenVINO, in float32 or half precision, or quantised to int8 by NNCF."""

import contextlib
import json
import logging
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino
from numpy.typing import NDArray

from ops.common.errors import InputError
from ops.export.exported_model import clip_shape, facts_for_users
from ops.export.onnx_export import to_onnx
from ops.export.options import quiet_packages
from ops.export.verification import Exported, verify
from ops.models.runtimes import open_session, openvino_core
from ops.predict.predictor import Predictor

log = logging.getLogger(__name__)


def export_openvino(
    predictor: Predictor,
    target: str | os.PathLike[str],
    precision: str = "fp32",
    calibration: Sequence[NDArray[np.uint8]] = (),
) -> Exported:
    """Write the model of `predictor` as `target`, which ends in .xml, and its weights beside it as .bin.

    `precision` is "fp32", "fp16" (of the weights) or "int8", which needs clips `[1, T, C, H, W]` for `calibration`.
    Input and output are those of `export_onnx`; `facts_for_users` are in the runtime information, below "tam".
    InputError if OpenVINO and PyTorch do not agree within `BOUNDS`.
    """
    target, shape = Path(target), clip_shape(predictor)
    log.info("exporting %s for clips of %s", predictor.checkpoint.path, " x ".join(map(str, shape)))
    with tempfile.TemporaryDirectory(dir=target.absolute().parent, prefix=f".{target.name}.") as folder:
        source, written = Path(folder, "model.onnx"), Path(folder, target.name)
        onnx.save(to_onnx(predictor.model, shape, "fp32"), source)
        model = openvino_core().read_model(source)
        if precision == "int8":
            model = quantised(model, calibration)
        for key, value in facts_for_users(predictor, shape[-1], precision).items():
            model.set_rt_info(json.dumps(value), ["tam", key])
        openvino.save_model(model, written, compress_to_fp16=precision == "fp16")
        session = open_session("openvino", written)
        done = verify(session, predictor, shape, str(target), precision, "OpenVINO", calibration)
        try:
            for ending in (".bin", ".xml"):
                written.with_suffix(ending).replace(target.with_suffix(ending))
        except OSError as error:
            raise InputError(f"{target}: not written: {error.strerror}") from None
    return done


def quantised(model: Any, clips: Sequence[NDArray[np.uint8]]) -> Any:
    """`model` with convolutions in int8; TAM's coefficients and the classifier stay in float32."""
    quiet_packages()
    import nncf

    nncf.set_log_level(logging.ERROR)
    with contextlib.redirect_stdout(sys.stderr):  # keeps its progress bar off standard output
        return nncf.quantize(
            model,
            nncf.Dataset(list(clips)),
            subset_size=len(clips),
            ignored_scope=nncf.IgnoredScope(types=["MatMul"], validate=False),
        )
