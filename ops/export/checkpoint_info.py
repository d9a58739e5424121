"""Describing a checkpoint, from its meta and its tensors: as text and as plain data."""

import os
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from ops.common.tensor_files import is_safetensors
from ops.common.text import one_line
from ops.data.pipelines import ClipShape
from ops.models.checkpoint import Checkpoint, read_checkpoint
from ops.models.flops import multiply_adds
from ops.models.network_name import model_name
from ops.models.recognizer import Recognizer, build_model
from ops.models.temporal_options import TemporalOptions

UNKNOWN = "unknown"
DIALECTS = {"ours": "ours", "published": "published", "mmaction2": "MMAction2"}
INPUT_SIZE = 224
"""Input size in pixels if the file has none: that of all published models."""

SMALL = 10_000
"""Tensors besides the weights with fewer bytes than this are not mentioned."""

Facts = dict[str, Any]


def checkpoint_facts(path: str | os.PathLike[str]) -> Facts:
    """All facts about the checkpoint at `path`, as plain data; None for what the file does not contain.

    Raises InputError, naming the file, if it is not a checkpoint.
    """
    checkpoint = read_checkpoint(path)
    meta, spec = checkpoint.meta, checkpoint.spec
    stored = {
        key: meta.get(key) for key in ("dataset", "sampling", "input_size", "scale_size", "mean", "std", "recipe")
    }
    return {
        "file": checkpoint.path,
        "bytes": Path(checkpoint.path).stat().st_size,
        "container": "safetensors" if is_safetensors(checkpoint.path) else "PyTorch",
        "dialect": checkpoint.dialect,
        "format": meta.get("format"),
        "beside_the_weights": {key: size for key, size in map(_bytes_of, checkpoint.rest.items()) if size > SMALL},
        "arch": spec.arch,
        "tam": spec.tam,
        "temporal": spec.temporal.as_meta(),
        "modality": spec.modality,
        "num_segments": checkpoint.num_segments,
        "dropout": 0.0 if spec.own_head else meta.get("dropout"),
        "consensus": meta.get("consensus"),
        "num_classes": spec.num_classes,
        "class_names": checkpoint.class_names,
        **({"multi_label": True} if checkpoint.multi_label else {}),
        **stored,
        "results": results_of(checkpoint),
        "history": meta.get("history", []),
        **sizes_of(checkpoint),
    }


def results_of(checkpoint: Checkpoint) -> Facts:
    """`best_top1` in percent, `epochs_done`, and other results of the training; None if not recorded.

    Runs with several labels per video have `best_mAP` instead of `best_top1`.
    """
    stored = checkpoint.meta.get("results")
    results = dict(stored) if isinstance(stored, Mapping) else {}
    for name, old in (("best_mAP" if checkpoint.multi_label else "best_top1", "best_prec1"), ("epochs_done", "epoch")):
        value = results.get(name, checkpoint.rest.get(old))
        results[name] = value.item() if isinstance(value, Tensor) and value.numel() == 1 else value
    return {name: None if value != value else value for name, value in results.items()}  # NaN is not valid JSON


def sizes_of(checkpoint: Checkpoint) -> Facts:
    """The numbers of `tensors` and `parameters` (`parameters_tam`: of TAM), and the `compute` of one view."""
    spec, meta = checkpoint.spec, checkpoint.meta
    size = int(meta.get("input_size") or INPUT_SIZE)
    shape = ClipShape(checkpoint.num_segments or 8, spec.modality, size)
    model = build_model(spec.arch, spec.num_classes, shape.num_segments, spec.modality, temporal=spec.temporal)
    compute = [_compute(model, shape, pixels) for pixels in (shape.input_size, shape.scale_size)]
    tam = sum(value.numel() for name, value in model.named_parameters() if ".tam." in name)
    total = sum(value.numel() for value in model.parameters())
    return {"tensors": len(checkpoint.state), "parameters": total, "parameters_tam": tam, "compute": compute}


def _compute(model: Recognizer, shape: ClipShape, pixels: int) -> Facts:
    """The compute of one clip: two FLOPs for each multiply-add (MAC).

    Papers in this field call multiply-adds FLOPs: they give 43.0 G for 8 frames with TANet-50, which has 42.7 G here
    at 256 pixels.
    """
    macs = multiply_adds(model, pixels)
    return {"segments": shape.num_segments, "pixels": pixels, "flops": 2 * macs, "macs": macs}


def described_rows(facts: Facts) -> dict[str, str]:
    """`checkpoint_facts` as a text for each heading."""
    return {
        "format": _format(facts),
        "model": _model(facts),
        "classes": _classes(facts),
        "dataset": _text(facts["dataset"]),
        "sampling": _text(facts["sampling"]),
        "resolution": _resolution(facts),
        "pixels": _normalisation(facts),
        "recipe": _recipe(facts["recipe"]),
        "results": _results(facts["results"]),
        "history": "; ".join(facts["history"]),
        "size": _size(facts),
        "compute": "; ".join(_view(view) for view in facts["compute"]),
    }


def describe_facts(facts: Facts, width: int = 110) -> list[str]:
    """`checkpoint_facts` as lines of text of at most `width` characters: the file, then the facts."""
    lines = [facts["file"]]
    for name, text in described_rows(facts).items():
        lines += textwrap.wrap(text, width, initial_indent=f"  {name:<12}", subsequent_indent=" " * 14)
    return [one_line(line) for line in lines]  # names in a checkpoint are untrusted text


def _text(value: Any) -> str:
    return UNKNOWN if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _format(facts: Facts) -> str:
    version = f", version {facts['format']}" if facts["format"] is not None else ""
    beside = "".join(f", of which {size / 1e6:.1f} MB {key}" for key, size in facts["beside_the_weights"].items())
    return f"{DIALECTS[facts['dialect']]}{version}; {facts['container']} file, {facts['bytes'] / 1e6:.1f} MB{beside}"


def _model(facts: Facts) -> str:
    name = model_name(facts["arch"], TemporalOptions.from_meta(facts["temporal"]))
    texts = {key: _text(facts[key]) for key in ("num_segments", "dropout", "consensus")}
    return "{} on {}; segments {num_segments}, dropout {dropout}, consensus {consensus}".format(
        name, facts["modality"], **texts
    )


def _classes(facts: Facts) -> str:
    names, several = facts["class_names"], ", of which a video may have several" if facts.get("multi_label") else ""
    if names is None:
        return f"{facts['num_classes']}{several}, names and order {UNKNOWN}"
    return f"{facts['num_classes']}{several}, in this order: {', '.join(names)}"


def _resolution(facts: Facts) -> str:
    if facts["input_size"] is None:
        return f"{UNKNOWN} ({INPUT_SIZE} is assumed)"
    return f"{facts['input_size']} x {facts['input_size']}, from frames of short side {_text(facts['scale_size'])}"


def _normalisation(facts: Facts) -> str:
    if facts["mean"] is None or facts["std"] is None:
        return f"normalisation {UNKNOWN} (the published one is assumed)"
    mean, std = (" ".join(f"{value:g}" for value in facts[key]) for key in ("mean", "std"))
    return f"(p / 255 - mean) / deviation, mean {mean}, deviation {std}"


_NO_RECIPE = (  # shown elsewhere, or not about the training but the machine
    "dataset", "modality", "arch", "tam", "temporal", "shift", "num_segments", "input_size", "dropout",
    "consensus_type", "num_class", "class_names", "root_log", "root_model", "root_path", "store_name", "suffix",
    "resume", "start_epoch", "workers", "gpus", "device", "print_freq", "ckpt_interval", "keep",
)  # fmt: skip


def _recipe(recipe: Mapping[str, Any] | None) -> str:
    """The arguments of the training that were set and describe it."""
    if recipe is None:
        return UNKNOWN
    shown = {key: value for key, value in recipe.items() if key not in _NO_RECIPE and value not in (None, False)}
    return ", ".join(key if value is True else f"{key} {_plain(value)}" for key, value in shown.items())


def _plain(value: Any) -> str:
    return " ".join(map(_plain, value)) if isinstance(value, Sequence) and not isinstance(value, str) else _text(value)


def _results(results: Facts) -> str:
    name, words = ("best_mAP", "mAP") if "best_mAP" in results else ("best_top1", "top-1")
    best = UNKNOWN if results[name] is None else f"{results[name]:.2f} %"
    text = f"best validation {words} {best}; epochs done {_text(results['epochs_done'])}"
    metrics = {"mAP": "mAP"} if "best_mAP" in results else {"top1": "top-1", "top5": "top-5"}
    last = [(split, _last_figures(results, split, metrics)) for split in ("train", "val")]
    shown = [f"{split} {figures}" for split, figures in last if figures]
    return text + (f"; last: {'; '.join(shown)}" if shown else "")


def _last_figures(results: Facts, split: str, metrics: Mapping[str, str]) -> str:
    """The loss and those of `metrics` in the last epoch of a split that are recorded, in words."""
    values = {words: results.get(f"{split}_{name}") for name, words in {"loss": "loss", **metrics}.items()}
    return ", ".join(
        f"{words} {value:.3f}" if words == "loss" else f"{words} {value:.2f} %"
        for words, value in values.items()
        if isinstance(value, float)
    )


def _size(facts: Facts) -> str:
    tam = f", of them {facts['parameters_tam'] / 1e6:.2f} M in TAM" if facts["tam"] else ""
    return f"{facts['parameters'] / 1e6:.2f} M parameters{tam}; {facts['tensors']} tensors"


def _view(view: Facts) -> str:
    clip = f"{view['segments']} x {view['pixels']} x {view['pixels']}"
    return f"{view['macs'] / 1e9:.2f} GMACs = {view['flops'] / 1e9:.2f} GFLOPs for a view of {clip}"


def _bytes_of(item: tuple[str, Any]) -> tuple[str, int]:
    return item[0], _bytes_in(item[1])


def _bytes_in(value: Any) -> int:
    """The total bytes of all tensors in nested plain data."""
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return sum(map(_bytes_in, inner))
