"""Exporting a trained model to Core ML. Files are made on any system, but Core ML computes on macOS only."""

import json
import logging
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ops.common.errors import InputError
from ops.common.text import first_line
from ops.export.exported_model import PixelsToLogits, clip_shape, facts_for_users, quiet
from ops.export.options import computes_here
from ops.export.verification import Exported, verify
from ops.models.runtimes import Session
from ops.predict.predictor import Predictor

log = logging.getLogger(__name__)


class FloatPixelsToLogits(PixelsToLogits):
    """The exported module: Core ML has no input of type uint8, so pixels from 0 to 255 are float32."""

    def forward(self, clips: Tensor) -> Tensor:
        """`clips [N, T, C, H, W]`, float32, 0 to 255 → logits `[N, K]`, float32."""
        logits: Tensor = self.model((clips / 255 - self.model.mean) / self.model.std)
        return logits


def export_coreml(predictor: Predictor, target: str | os.PathLike[str], precision: str = "fp32") -> Exported:
    """Write the model of `predictor` for Core ML (an ML program for iOS 17, macOS 14 and later) as the folder `target`.

    `precision` is "fp32", "fp16" (of weights and operations), or "int8" (of the weights of convolutions, with fp16
    operations). The model takes `clips [1, T, C, H, W]`, float32 from 0 to 255, and returns `logits [1, K]`, float32;
    `facts_for_users` are in its metadata.

    On macOS, the file is compared with PyTorch. Elsewhere only the graph that it is translated from is compared, and
    the file's description is checked. InputError if these do not agree within `BOUNDS`.
    """
    target, shape, here = Path(target), clip_shape(predictor), computes_here("coreml")
    log.info("exporting %s for clips of %s", predictor.checkpoint.path, " x ".join(map(str, shape)))
    program = _recorded(predictor, shape)
    try:
        with quiet():
            model = _translated(program, precision)
    except Exception as error:  # its errors have no other common base class
        raise InputError(f"{target}: not written: Core ML cannot use the model ({first_line(error)})") from None
    for key, value in facts_for_users(predictor, shape[-1], precision, "float32 [1").items():
        model.user_defined_metadata[f"tam.{key}"] = json.dumps(value, ensure_ascii=False)
    with tempfile.TemporaryDirectory(dir=target.absolute().parent, prefix=f".{target.name}.") as folder:
        written = Path(folder, target.name)
        model.save(os.fspath(written))
        check_description(written, (1, *shape), predictor.model.num_classes)
        session = open_coreml(written) if here else _session_of(program)
        done = verify(session, predictor, shape, str(target), precision if here else "fp32", "Core ML")
        try:
            if target.exists():
                target.replace(Path(folder, "older"))
            written.replace(target)
        except OSError as error:
            raise InputError(f"{target}: not written: {error.strerror}") from None
    return done


def open_coreml(path: str | os.PathLike[str]) -> Session:
    """The network in the folder `path`, which computes one clip after another; on macOS only."""
    import coremltools

    model = coremltools.models.MLModel(os.fspath(path))

    def compute(clips: NDArray[Any]) -> NDArray[np.float32]:
        outputs = [model.predict({"clips": clip[None].astype(np.float32)})["logits"] for clip in clips]
        return np.concatenate(outputs).astype(np.float32)

    return compute


def check_description(path: Path, shape: tuple[int, ...], classes: int) -> None:
    """InputError unless the model in the folder `path` maps clips of `shape` to `[1, classes]` logits, both float32."""
    import coremltools

    description = coremltools.utils.load_spec(os.fspath(path)).description
    found = [
        (entry.name, tuple(entry.type.multiArrayType.shape), entry.type.multiArrayType.dataType)
        for entry in (*description.input, *description.output)
    ]
    float32 = coremltools.proto.FeatureTypes_pb2.ArrayFeatureType.FLOAT32
    wanted = [("clips", shape, float32), ("logits", (1, classes), float32)]
    if found != wanted:
        raise InputError(f"{path.name}: not written: Core ML has other inputs or outputs ({found}) than {wanted}")


def _recorded(predictor: Predictor, shape: tuple[int, ...]) -> Any:
    """The graph of the model, with a batch of one, in PyTorch's basic operations."""
    module = FloatPixelsToLogits(predictor.model).eval()
    with torch.no_grad():
        return torch.export.export(module, (torch.zeros(1, *shape),)).run_decompositions({})


def _translated(program: Any, precision: str) -> Any:
    import coremltools

    precisions = coremltools.precision
    model = coremltools.convert(
        program,
        outputs=[coremltools.TensorType("logits", dtype=np.float32)],
        minimum_deployment_target=coremltools.target.iOS17,
        compute_precision=precisions.FLOAT32 if precision == "fp32" else precisions.FLOAT16,
        skip_model_load=True,
    )
    if precision == "int8":
        tools = coremltools.optimize.coreml
        settings = tools.OpLinearQuantizerConfig(mode="linear_symmetric", dtype="int8", granularity="per_channel")
        model = tools.linear_quantize_weights(model, tools.OptimizationConfig(op_type_configs={"conv": settings}))
    return model


def _session_of(program: Any) -> Session:
    """The recorded graph as a session, for machines without Core ML."""
    network = program.module()

    def compute(clips: NDArray[Any]) -> NDArray[np.float32]:
        with torch.inference_mode():
            logits = [network(torch.from_numpy(clip[None]).float()) for clip in clips]
        out: NDArray[np.float32] = torch.cat(logits).numpy()
        return out

    return compute
