"""The training flags that fit a checkpoint to start from."""

import os

from ops.common.errors import InputError
from ops.models.checkpoint import read_checkpoint
from ops.models.temporal_options import temporal_flags


def tuning_flags(path: str | os.PathLike[str]) -> list[str]:
    """Flags of `online_main.py` for a model that fits the checkpoint at `path`; InputError for a Flow model.

    Architecture, temporal module and a TANet's segments come from its tensors; input size, dropout and the segments of
    other networks from its description, with defaults of 224 pixels, 0.5 and 8.
    """
    checkpoint = read_checkpoint(path)
    spec, meta = checkpoint.spec, checkpoint.meta
    if spec.modality != "RGB":
        raise InputError(f"{path}: is a model for {spec.modality}, but videos contain only RGB; use an RGB model")
    stored = meta.get("dropout")
    dropout = 0.0 if spec.own_head else float(stored) if isinstance(stored, float) and stored > 0 else 0.5
    flags = ["--arch", spec.arch, "--num_segments", str(checkpoint.num_segments or 8), "--dropout", f"{dropout:g}"]
    flags += ["--input_size", str(int(meta.get("input_size") or 224))]
    return [*flags, *temporal_flags(spec.temporal)]
