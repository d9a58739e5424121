"""Checkpoints: saved atomically, and loaded in every dialect without running code from them."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from ops.common.errors import InputError
from ops.common.storage import atomic_path
from ops.common.tensor_files import load_hashed_tensors, load_tensors, write_tensors
from ops.common.text import counted
from ops.models.checkpoint_meta import check_meta
from ops.models.checkpoint_names import OWN_HEADS, Dialect, ModelSpec, describe, dialect_of, to_our_names
from ops.models.checkpoint_source import normalisation_told, segments_told, temporal_told
from ops.models.no_random_weights import no_random_weights
from ops.models.pretrained import tensors_of
from ops.models.recognizer import MEAN, STD, Recognizer, build_model
from ops.models.temporal_options import differing_option
from ops.models.weights import local_weights

log = logging.getLogger(__name__)

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint file: tensors with our names, the model they describe, and everything else.

    `meta` is the description in our own checkpoints ({} for others); `rest` the other entries of the file (epoch,
    optimizer, best_prec1, …); `dialect` the naming scheme of the tensors in the file; `sha256` the hash of the file, if
    requested.
    """

    path: str
    state: dict[str, Tensor]
    spec: ModelSpec
    meta: dict[str, Any] = field(default_factory=dict)
    rest: dict[str, Any] = field(default_factory=dict)
    dialect: Dialect = "ours"
    sha256: str = ""

    @property
    def num_segments(self) -> int | None:
        """The segments of its training: from its tensors, else from `meta` or the file's name; None if unknown."""
        if self.spec.num_segments is not None:
            return self.spec.num_segments
        return segments_told(self.meta, self.path)

    @property
    def normalisation(self) -> tuple[list[float], list[float]]:
        """Mean and deviation of the pixels (in [0, 1]) in its training: those of ImageNet if the file has no others."""
        told = normalisation_told(self.meta, self.dialect == "mmaction2" and self.spec.tam)
        mean, std = told or (MEAN[self.spec.modality], STD[self.spec.modality])
        return list(mean), list(std)

    @property
    def multi_label(self) -> bool:
        """Whether it was trained with several labels per video; its scores then go through a sigmoid, not a softmax."""
        return bool(self.meta.get("multi_label"))

    @property
    def class_names(self) -> list[str] | None:
        """Its class names in order, if known."""
        names = self.meta.get("class_names")
        if not isinstance(names, list) or len(names) != self.spec.num_classes:
            return None
        return [str(name) for name in names]


def read_checkpoint(path: str | os.PathLike[str], hashed: bool = False) -> Checkpoint:
    """Read a checkpoint of ours, of TAM's or TSM's authors or of MMAction2; InputError, naming `path`, for others.

    A string may also name a published checkpoint or an address, which is downloaded (`ops.models.weights`); a Path is
    always a file.
    """
    path = local_weights(path) if isinstance(path, str) else path
    loaded, digits = load_hashed_tensors(path) if hashed else (load_tensors(path), "")
    tensors = tensors_of(loaded, Path(path))
    is_bare = not isinstance(loaded.get("state_dict", loaded.get("model")), Mapping)
    rest = {} if is_bare else {k: v for k, v in loaded.items() if k not in ("state_dict", "model", "meta")}
    meta = loaded.get("meta")
    stored = dict(meta) if isinstance(meta, Mapping) else {}
    check_meta(stored, path)
    try:
        state = to_our_names(tensors)
        spec = describe(state, temporal_told(stored, str(path)))
    except (ValueError, InputError) as error:
        raise InputError(f"{path}: not a checkpoint of a TANet, TSM or TSN ({error})") from None
    return Checkpoint(str(path), state, spec, stored, rest, dialect_of(tensors), digits)


def load_model(path: str | os.PathLike[str], num_segments: int | None = None) -> Recognizer:
    """The recognizer in a checkpoint file, in evaluation mode on the CPU.

    Depth, classes, modality and temporal module are derived from its tensors, and so are the segments of a TANet, for
    which `num_segments` must be None or the number it was trained with. Other tensors do not depend on the segments:
    the default is what `meta` or the published name of the file says, else 8 for a TSN, which only averages them.
    Raises InputError, in one line that names the file, also if the segments of a TSM are not known.
    """
    return model_of(read_checkpoint(path), num_segments)


def model_of(checkpoint: Checkpoint, num_segments: int | None = None) -> Recognizer:
    """The recognizer of an already read checkpoint; see `load_model`."""
    spec = checkpoint.spec
    if spec.num_segments and num_segments not in (None, spec.num_segments):
        raise InputError(
            f"{checkpoint.path}: trained for {counted(spec.num_segments, 'segment')}, which TAM's layers depend "
            f"on, but not for {num_segments}"
        )
    stored = checkpoint.meta.get("dropout")
    dropout = 0.0 if spec.own_head else float(stored) if isinstance(stored, float) and stored > 0 else 0.5
    segments = num_segments or checkpoint.num_segments
    if segments is None and spec.temporal.needs_segments:
        raise InputError(
            f"{checkpoint.path}: its tensors, its meta and its name do not tell how many frames a clip has; give "
            "--test_segments (num_segments in Python)"
        )
    with no_random_weights():  # every tensor is loaded, or load_state raises
        model = build_model(
            spec.arch, spec.num_classes, segments or 8, spec.modality, dropout=dropout, temporal=spec.temporal
        )
    load_state(model, checkpoint)
    use_normalisation(model, checkpoint)
    return model.eval()


def use_normalisation(model: Recognizer, checkpoint: Checkpoint) -> None:
    """Make `model` normalise pixels as when `checkpoint` was trained; InputError, naming its file, for bad values."""
    try:
        model.set_normalisation(*checkpoint.normalisation)
    except ValueError as error:
        raise InputError(f"{checkpoint.path}: {error}") from None


def load_state(model: Recognizer, checkpoint: Checkpoint, skip: Sequence[str] = ()) -> None:
    """Load exactly the tensors of `checkpoint` into `model`; InputError if any is missing, unexpected or misshapen.

    Tensors of the model whose names contain one of `skip` are left unchanged.
    """
    expected = {k: v for k, v in model.state_dict().items() if not any(part in k for part in skip)}
    state = {k: v for k, v in checkpoint.state.items() if not any(part in k for part in skip)}
    # Old versions of PyTorch did not count batches.
    missing = [k for k in expected if k not in state and not k.endswith("num_batches_tracked")]
    surplus = [k for k in state if k not in expected]
    shapes = [k for k in expected if k in state and state[k].shape != expected[k].shape]
    if missing or surplus or shapes:
        what = "is missing" if missing else "is unknown" if surplus else "has a different shape"
        name = (missing or surplus or shapes)[0]
        count = len(missing) + len(surplus) + len(shapes)
        raise InputError(f"{checkpoint.path}: does not fit this model: {name} {what} ({count} tensors in all)")
    model.load_state_dict(state, strict=False)


def tune_from(
    model: Recognizer, checkpoint: Checkpoint, dataset: str, class_names: list[str] | None, input_size: int = 224
) -> bool:
    """Initialise `model` from `checkpoint`, which may have other segments or classes; log which tensors are not used.

    TAM's global branch depends on the number of segments, the classifier on the classes and their order: if these
    differ, the model keeps its own initialisation. Returns whether the classifier was taken over (same classes).
    """
    spec, skip = checkpoint.spec, []
    if (spec.arch, spec.modality) != (model.arch, model.modality):
        raise InputError(
            f"{checkpoint.path}: holds a {spec.arch} on {spec.modality}; "
            f"this run trains a {model.arch} on {model.modality}"
        )
    difference = differing_option(spec.temporal, model.temporal)
    if difference:
        raise InputError(f"{checkpoint.path}: {difference}")
    if spec.num_segments and spec.num_segments != model.num_segments:
        skip.append(".tam.G.")
        log.info(
            "%s has %s, this model %d: TAM's global branch is initialised again",
            checkpoint.path, counted(spec.num_segments, "segment"), model.num_segments,
        )  # fmt: skip
    theirs = checkpoint.meta.get("input_size")
    if theirs not in (None, input_size):
        log.warning("%s: trained with --input_size %s, but this run has %d", checkpoint.path, theirs, input_size)
    reason = _why_new_head(model, checkpoint, dataset, class_names)
    renamed = dict(checkpoint.state)
    if reason:
        skip += ["new_fc.", *OWN_HEADS]
        log.info("%s: the classifier is initialised again (%s)", checkpoint.path, reason)
    elif spec.own_head != (model.new_fc is None):  # the layer's name depends on dropout
        own = f"base_model.{model.base_model.head_name}."
        old, new = (own, "new_fc.") if spec.own_head else ("new_fc.", own)
        renamed = {name.replace(old, new): value for name, value in renamed.items()}
    load_state(model, Checkpoint(checkpoint.path, renamed, spec), skip)
    use_normalisation(model, checkpoint)
    return not reason


def _why_new_head(model: Recognizer, checkpoint: Checkpoint, dataset: str, class_names: list[str] | None) -> str:
    """Why the classifier cannot be taken over, or ""."""
    if checkpoint.spec.num_classes != model.num_classes:
        return f"{counted(checkpoint.spec.num_classes, 'class')} there, {model.num_classes} here"
    theirs = checkpoint.class_names
    if theirs and class_names:
        return "" if theirs == class_names else "the classes or their order differ"
    if dataset != "custom" and checkpoint.meta.get("dataset") == dataset:
        return ""
    return "the order of its classes is not known"


def save_checkpoint(path: str | os.PathLike[str], model: Recognizer, meta: Mapping[str, Any], **rest: Any) -> None:
    """Write `{arch, state_dict, meta, **rest}` to `path`, whole or not at all."""
    with atomic_path(path) as temporary:
        write_checkpoint(temporary, model, meta, **rest)


def write_checkpoint(path: Path, model: Recognizer, meta: Mapping[str, Any], **rest: Any) -> None:
    """The same to a path of `atomic_path`; OSError if it cannot be written."""
    state = {name: value.detach() for name, value in model.state_dict().items()}
    content = {"arch": model.arch, "state_dict": state, "meta": {**meta, "format": FORMAT_VERSION}, **rest}
    write_tensors(path, content)
