"""Exporting to each of `FORMATS`: one function that writes a file, one that opens it, one that says how it went."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ops.common.text import counted
from ops.export.options import FORMATS, computes_here
from ops.export.verification import Exported
from ops.models.runtimes import Session, open_session
from ops.predict.predictor import Predictor

MOST_CLIPS = 300
"""The largest number of videos that are read to calibrate int8: as many as NNCF uses."""


def export_model(
    predictor: Predictor, target: str, form: str, precision: str, calibration: Sequence[NDArray[np.uint8]]
) -> Exported:
    """Write the model of `predictor` as `target`, if its format `form` agrees with PyTorch; InputError if not.

    `calibration` are clips `[1, T, C, H, W]`, for int8 in OpenVINO.
    """
    if form == "openvino":
        from ops.export.openvino_export import export_openvino

        return export_openvino(predictor, target, precision, calibration)
    if form == "litert":
        from ops.export.litert_export import export_litert

        return export_litert(predictor, target, precision)
    if form == "coreml":
        from ops.export.coreml_export import export_coreml

        return export_coreml(predictor, target, precision)
    from ops.export.onnx_export import export_onnx

    return export_onnx(predictor, target, precision)


def open_exported(form: str, target: str) -> Session:
    """The model in the file `target` of the format `form`."""
    if form == "litert":
        from ops.export.litert_export import open_litert

        return open_litert(target)
    if form == "coreml":
        from ops.export.coreml_export import open_coreml

        return open_coreml(target)
    return open_session(FORMATS[form].runtime, target)


def describe(done: Exported, form: str, precision: str, threads: int) -> list[str]:
    """Lines on how far a file of the format `form` agrees with PyTorch, and how fast both are with `threads`."""
    runtime = FORMATS[form].runtime
    computed = runtime if computes_here(form) else "the graph that was translated"
    lines = [
        f"{computed} and PyTorch, batch {batch}: logits differ by {largest:.2g} at most, {relative:.1e} relative"
        for batch, (largest, relative) in done.differences.items()
    ]
    if not computes_here(form):
        return [
            *lines,
            "Core ML computes on macOS only: this machine checked the file's inputs and outputs, not its logits",
        ]
    return [
        *lines,
        f"one clip on this CPU, {counted(threads, 'thread')}: PyTorch (fp32) {1e3 * done.torch_seconds:.1f} ms, "
        f"{runtime} ({precision}) {1e3 * done.file_seconds:.1f} ms",
    ]
