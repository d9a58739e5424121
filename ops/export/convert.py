"""Converting checkpoints: dialect, file format, order of the classes, number of segments.

The result is read back, and its outputs are compared with the source's, before it is moved into place.
"""

import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ops.common.errors import InputError
from ops.common.storage import atomic_path, make_folder
from ops.common.tensor_files import write_safetensors, write_tensors
from ops.common.text import counted
from ops.export.hub_folder import check_hub_folder, without_folders, write_hub_files
from ops.models.checkpoint import FORMAT_VERSION, Checkpoint, load_state, model_of, read_checkpoint
from ops.models.checkpoint_names import OWN_HEADS, Dialect, to_dialect
from ops.models.hub import WEIGHTS
from ops.models.recognizer import Recognizer, build_model
from ops.models.temporal_options import TemporalOptions, differing_option, temporal_flags

log = logging.getLogger(__name__)


_HEADS = ("new_fc.", *OWN_HEADS)
_GLOBAL_BRANCH = ".tam.G."
_KEPT = ("epoch", "best_prec1")
"""Entries of a file that are kept besides weights and meta: plain numbers."""


@dataclass(frozen=True)
class Classes:
    """Class names in the order of a checkpoint's head (None: unknown), and in the desired order (None: unchanged)."""

    now: Sequence[str] | None = None
    wanted: Sequence[str] | None = None


def convert_checkpoint(
    source: str, target: str, to: str, classes: Classes | None = None, segments: int | None = None, seed: int = 0
) -> None:
    """Convert the checkpoint `source` to `target`, atomically, as one of `TARGETS`; with "hf", `target` is a folder.

    A `target` that ends in .safetensors is always written in that format. Optimizer states are left out. With
    `segments`, TAM's global branch, whose layers depend on that number, is initialised again from `seed`. Raises
    InputError if settings contradict each other, or if the result does not compute the same as the source.
    """
    folder, target = (make_folder(target), os.path.join(target, WEIGHTS)) if to == "hf" else (None, target)
    if os.path.realpath(source) == os.path.realpath(target):
        raise InputError(f"{target}: is the file to convert; choose another name for the result")
    if folder:
        check_hub_folder(folder)
    before = read_checkpoint(source)
    meta = {**before.meta, "history": [*before.meta.get("history", []), f"converted from {Path(before.path).name}"]}
    order, meta = _order_of_classes(before, classes or Classes(), meta)
    changed = replace(before, state=_in_order(before.state, order), meta=meta)
    if segments and segments != before.num_segments:
        changed = _with_segments(changed, segments, seed)
    meta = changed.meta
    if folder and meta.get("recipe"):
        meta = {**meta, "recipe": without_folders(meta["recipe"])}
    dialect: Dialect = "published" if to == "published" else "mmaction2" if to == "mmaction2" else "ours"
    _say_what_cannot_be_used_there(before, dialect)
    if meta.get("class_names") is None:
        log.warning("%s has no class names; add them with --classes_from FILE", source)
    state = to_dialect(_with_head_as_trained(changed, meta), dialect)
    kept = {key: _number(changed.rest[key]) for key in _KEPT if key in changed.rest}
    mean, std = before.normalisation  # no tensor shows it for models that MMAction2 trained
    told: dict[str, Any] = {"temporal": before.spec.temporal.as_meta(), "mean": mean, "std": std}
    told |= {"num_segments": changed.num_segments} if changed.num_segments else {}
    facts = {"arch": before.spec.arch, "meta": {**meta, **told, "format": FORMAT_VERSION}, **kept}
    with atomic_path(target) as temporary:
        if to in ("safetensors", "hf") or target.endswith(".safetensors"):
            write_safetensors(temporary, state, facts)
        else:
            write_tensors(temporary, {**facts, "state_dict": state})
        after = read_checkpoint(temporary)
        _compare(before, after, order, target)
        sizes = [path.stat().st_size / 1e6 for path in (Path(before.path), temporary)]
    if folder:
        write_hub_files(folder)
    left = [key for key in before.rest if key not in (*kept, "arch")]
    log.info(
        "%s: %d tensors, %.1f MB from %.1f MB%s", target, len(state), sizes[1], sizes[0],
        f"; left out: {', '.join(left)}" if left else "",
    )  # fmt: skip


def _order_of_classes(
    checkpoint: Checkpoint, classes: Classes, meta: Mapping[str, Any]
) -> tuple[list[int] | None, dict[str, Any]]:
    """For each class of the result, its row in the source's head (None: unchanged), and the meta of the new file."""
    path, known, count = checkpoint.path, checkpoint.class_names, checkpoint.spec.num_classes
    if classes.now is not None and len(classes.now) != count:
        raise InputError(
            f"--classes_from has {counted(len(classes.now), 'name')}, but {path} has {counted(count, 'class')}"
        )
    if classes.now is not None and known is not None and list(classes.now) != known:
        raise InputError(f"{path}: has class names, but those in --classes_from or their order differ")
    now = known if classes.now is None else list(classes.now)
    if classes.wanted is None:
        return None, {**meta, "class_names": now}
    if now is None:
        raise InputError(f"{path}: has no class names; --classes_to needs --classes_from FILE")
    wanted = list(classes.wanted)
    alone = [f"only in the checkpoint: {_some(set(now) - set(wanted))}"] if set(now) - set(wanted) else []
    alone += [f"only in --classes_to: {_some(set(wanted) - set(now))}"] if set(wanted) - set(now) else []
    if alone:
        raise InputError(f"{path}: classes can be reordered, but the names must be the same; {'; '.join(alone)}")
    place = {name: index for index, name in enumerate(now)}
    order = [place[name] for name in wanted]
    if wanted == now:
        return None, {**meta, "class_names": wanted}
    # It no longer has the order of its dataset, which the dataset's name would imply.
    history = [*meta["history"], f"classes in another order than that of {meta.get('dataset') or 'the source'}"]
    return order, {**meta, "class_names": wanted, "dataset": "custom", "history": history}


def _some(names: set[str], shown: int = 5) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(sorted(names)[:shown]) + more


def _in_order(state: Mapping[str, Tensor], order: list[int] | None) -> dict[str, Tensor]:
    """The head with its rows in `order`."""
    if order is None:
        return dict(state)
    return {name: value[order] if name.startswith(_HEADS) else value for name, value in state.items()}


def _with_head_as_trained(checkpoint: Checkpoint, meta: Mapping[str, Any]) -> dict[str, Tensor]:
    """Move the head to the backbone's own if there was no dropout; MMAction2's name does not depend on that."""
    own = OWN_HEADS[checkpoint.spec.arch == "mobilenet_v2"] if meta.get("dropout") == 0 else "new_fc."
    return {name.replace("new_fc.", own): value for name, value in checkpoint.state.items()}


def _with_segments(checkpoint: Checkpoint, segments: int, seed: int) -> Checkpoint:
    """The checkpoint for another number of segments: all tensors are kept except those of TAM's global branch."""
    spec, old = checkpoint.spec, checkpoint.num_segments
    what = f"{counted(segments, 'segment')} from {old or 'an unknown number'}"
    state, untrained = checkpoint.state, {}
    if spec.num_segments:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            dropout = 0.0 if spec.own_head else 0.5
            model = build_model(
                spec.arch, spec.num_classes, segments, spec.modality, dropout=dropout, temporal=spec.temporal
            )
        load_state(model, checkpoint, skip=[_GLOBAL_BRANCH])
        state = model.state_dict()
        renewed = sum(_GLOBAL_BRANCH in name for name in state)
        what += f", {renewed} tensors of TAM's global branch initialised again"
        untrained = {"untrained": f"TAM's global branch ({renewed} tensors)"}
        log.warning(
            "%s: TAM's global branch depends on the number of segments, so its %d tensors are initialised again "
            "(seed %d) and need training; the other %d are kept", checkpoint.path, renewed, seed, len(state) - renewed,
        )  # fmt: skip
    history = [*checkpoint.meta["history"], what]
    meta = {**checkpoint.meta, "num_segments": segments, "history": history, "results": {}, **untrained}
    new_spec = replace(spec, num_segments=segments if spec.num_segments else None)
    return replace(checkpoint, state=state, spec=new_spec, meta=meta, rest={})  # the results belong to the other model


def _say_what_cannot_be_used_there(checkpoint: Checkpoint, dialect: Dialect) -> None:
    temporal = checkpoint.spec.temporal
    known = temporal.module in ("none", "tam") or (temporal.module == "tsm" and temporal.shift_place == "blockres")
    standard = differing_option(replace(temporal, non_local=""), TemporalOptions(temporal.module))
    if dialect == "mmaction2" and (not known or (standard and "shift_div" not in standard)):
        raise InputError(
            f"{checkpoint.path}: MMAction2 has no such network ({' '.join(temporal_flags(temporal))}); use "
            "--to published or --to safetensors"
        )
    if dialect == "mmaction2" and checkpoint.spec.tam and checkpoint.spec.arch in ("resnet18", "resnet34"):
        log.warning("MMAction2 computes TAM in bottleneck blocks only: it cannot use a TANet of ResNet-18 or 34")


@torch.inference_mode()
def _compare(before: Checkpoint, after: Checkpoint, order: list[int] | None, target: str) -> None:
    """InputError unless both compute the same on a random clip or, if they cannot, have the same tensors."""
    one, other = model_of(before), model_of(after)
    if before.spec.num_segments and one.num_segments != other.num_segments:
        _compare_tensors(one, other, order, target)
        log.info("logits cannot be compared with those of another number of segments; what is kept is equal")
        return
    generator = torch.Generator().manual_seed(0)
    shape = (1, other.num_segments, other.channels, 64, 64)  # any size reveals a wrong tensor, and a small one is fast
    clip = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    wanted, got = one(clip), other(clip)
    wanted = wanted[:, order] if order is not None else wanted
    difference, scale = float((wanted - got).abs().max()), float(wanted.abs().max())
    if not difference <= 1e-6 * scale:  # the sums are the same; only a reordered head may round differently
        raise InputError(f"{target}: not written: its logits differ from the source's by {difference:g} of {scale:g}")
    log.info("logits of source and result on a random clip: largest difference %g, largest logit %g", difference, scale)


def _compare_tensors(one: Recognizer, other: Recognizer, order: list[int] | None, target: str) -> None:
    wanted, got = _in_order(one.state_dict(), order), other.state_dict()
    for name, value in wanted.items():
        place = name if name in got else re.sub(r"^base_model\.(fc|classifier)\.", "new_fc.", name)  # as in MMAction2
        if _GLOBAL_BRANCH not in name and not torch.equal(got[place], value):
            raise InputError(f"{target}: not written: {name} differs from the source")


def _number(value: Any) -> Any:
    """The number in a tensor of one element, as in old files."""
    return value.item() if isinstance(value, Tensor) and value.numel() == 1 else value
