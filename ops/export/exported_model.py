"""What every exported file computes, for clips of which shape, and what its users need to know."""

import contextlib
import copy
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ops.common.device import fold_batch_norms
from ops.models.network_name import model_name
from ops.models.recognizer import Recognizer
from ops.models.tam import TAM
from ops.predict.predictor import Predictor

PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16}


class PixelsToLogits(nn.Module):
    """The exported module: uint8 clips `[N, T, C, H, W]` → float32 logits `[N, K]`, computed in `dtype`.

    Pixels are normalised, and TAM's coefficients computed, in float32, as with mixed precision.
    """

    def __init__(self, model: Recognizer, dtype: torch.dtype = torch.float32) -> None:
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


def clip_shape(predictor: Predictor) -> tuple[int, int, int, int]:
    """The shape `[T, C, H, W]` of a clip that the model of `predictor` is exported for."""
    return predictor.model.clip_shape(predictor.pixels)


def facts_for_users(predictor: Predictor, size: int, precision: str, clips: str = "uint8 [N") -> dict[str, Any]:
    """What users of the file need to know about its input and output: plain data.

    `clips` is the type of the input and the number of clips at once.
    """
    model, shape, checkpoint = predictor.model, predictor.shape, predictor.checkpoint
    return {
        "model": model_name(model.arch, model.temporal),
        "source": Path(checkpoint.path).name,
        "dataset": checkpoint.meta.get("dataset"),
        "class_names": predictor.class_names,
        "modality": model.modality,
        "num_segments": model.num_segments,
        "input": f"{clips}, T, C, H, W], RGB, 0 to 255; normalised inside",
        "scale_size": shape.scale_size,
        "input_size": size,
        "cut": "short side of a frame to scale_size, the long side rounded down, then a centre crop of input_size",
        "sampling": predictor.sample.one_clip.kind,
        "mean": model.mean.flatten().tolist(),
        "std": model.std.flatten().tolist(),
        "precision": precision,
        **({"multi_label": True} if checkpoint.multi_label else {}),
    }


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress what converters print of their progress, on both streams."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
