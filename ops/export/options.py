"""The values of flags of the export tools. Imports nothing heavy."""

import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from ops.common.errors import InputError
from ops.common.storage import check_writable

TARGETS = ("ours", "published", "mmaction2", "safetensors", "hf")
"""The dialects and formats that tools/convert_checkpoint.py can write."""


@dataclass(frozen=True)
class Format:
    """A format of `tools/export.py`: its runtime, the ending of its files, the packages that write and verify it, and
    its precisions. `note` follows the line that says how to install the packages.
    """

    runtime: str
    ending: str
    packages: tuple[str, ...]
    precisions: tuple[str, ...] = ("fp32", "fp16", "int8")
    note: str = ""


FORMATS = {
    "onnx": Format("onnxruntime", ".onnx", ("onnx", "onnxscript", "onnxruntime"), ("fp32", "fp16")),
    "openvino": Format("openvino", ".xml", ("onnx", "onnxscript", "openvino")),
    "litert": Format("litert", ".tflite", ("litert_torch",), note="in another environment, as docs/using.md says"),
    "coreml": Format("coreml", ".mlpackage", ("coremltools",)),
}


def computes_here(form: str) -> bool:
    """Whether files of the format `form` can be computed on this machine."""
    return form != "coreml" or sys.platform == "darwin"


def format_of(target: str, name: str | None, precision: str, calibrated: bool) -> str:
    """The format, by `name` or else by the ending of `target`; InputError if the other arguments do not fit it.

    `calibrated` says whether a list of videos for int8 was given.
    """
    endings = {form.ending: key for key, form in FORMATS.items()}
    ending = Path(target).suffix
    key = name or endings.get(ending, "onnx")
    form = FORMATS[key]
    if ending != form.ending and key != "onnx":
        more = " (its weights go beside it, as .bin)" if key == "openvino" else ""
        raise InputError(f"{target}: the name of a model for {key} must end in {form.ending}{more}")
    if precision not in form.precisions:
        others = [other for other, its in FORMATS.items() if precision in its.precisions]
        raise InputError(f"--format {key} has no --precision {precision}; {', '.join(others)} have it")
    if calibrated and key != "openvino":
        raise InputError("--calibrate is for --format openvino; the int8 of other formats needs no videos")
    if key == "openvino" and (precision == "int8") != calibrated:
        raise InputError("--precision int8 and --calibrate LIST belong together")
    return key


def check_target(target: str, form: str) -> None:
    """InputError unless a model could be written as `target`: a file, or for Core ML a folder."""
    path = Path(target)
    if form == "coreml" and path.is_dir():
        if not (path / "Manifest.json").is_file():
            raise InputError(f"{target}: is a folder, but no Core ML model that may be replaced; choose another name")
        return
    if form == "coreml" and os.path.lexists(path):
        raise InputError(f"{target}: is a file, but a Core ML model is a folder; choose another name")
    check_writable(path)


def quiet_packages() -> None:
    """Keep NNCF from sending statistics on its use over the network, and others from logging what does not matter here.

    To be called before they are imported.
    """
    os.environ.setdefault("NNCF_CI", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # LiteRT's
    for name in ("coremltools", "torch.utils._pytree"):  # on versions, and on what only macOS has
        logging.getLogger(name).setLevel(logging.ERROR)
