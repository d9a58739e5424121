"""Fine-tuning on a folder: the training flags that fit a checkpoint and a number of clips, and a run made anew."""

import itertools
import json
import os
from collections.abc import Sequence
from pathlib import Path

from ops.common.errors import InputError
from ops.common.folder_lock import locked_folder
from ops.data.lists import read_records
from ops.models.temporal_options import temporal_flags


def tuning_flags(path: str | os.PathLike[str]) -> list[str]:
    """Flags of `online_main.py` for a model that fits the checkpoint at `path`; InputError for a Flow model.

    Architecture, temporal module and a TANet's segments come from its tensors; input size, dropout and the segments of
    other networks from its description, with defaults of 224 pixels, 0.5 and 8.
    """
    from ops.models.checkpoint import read_checkpoint  # imports PyTorch, which the other functions do not need

    checkpoint = read_checkpoint(path)
    spec, meta = checkpoint.spec, checkpoint.meta
    if spec.modality != "RGB":
        raise InputError(f"{path}: is a model for {spec.modality}, but videos contain only RGB; use an RGB model")
    stored = meta.get("dropout")
    dropout = 0.0 if spec.own_head else float(stored) if isinstance(stored, float) and stored > 0 else 0.5
    flags = ["--arch", spec.arch, "--num_segments", str(checkpoint.num_segments or 8), "--dropout", f"{dropout:g}"]
    flags += ["--input_size", str(int(meta.get("input_size") or 224))]
    return [*flags, *temporal_flags(spec.temporal)]


BATCH, STEPS, EPOCHS = 8, 300, 15
"""Clips per step at most, and the fewest steps and epochs of a fine-tuning."""

VALIDATIONS, PATIENCE = 30, 15
"""Validations in a fine-tuning of many epochs, and those without a better result after which it ends."""

KEPT = ("lists", "earlier", "finetune.txt")
"""What stays in the folder of a fine-tuning that is made anew."""


def schedule_flags(train_list: str | os.PathLike[str], batch: int | None = None) -> list[str]:
    """Flags of `online_main.py` for a schedule that fits the number of clips in `train_list`.

    A step has `batch` clips (default: `BATCH`, or all clips where there are fewer). Where `EPOCHS` epochs would have
    fewer than `STEPS` steps, as with a few dozen clips, there are more epochs, which are not all validated.
    """
    clips = len(read_records(train_list, counts_in_pairs=False))
    batch = batch or min(BATCH, clips)
    epochs = max(EPOCHS, -(-STEPS // -(-clips // batch)))
    flags = {"batch-size": batch, "epochs": epochs, "eval-freq": max(epochs // VALIDATIONS, 1), "patience": PATIENCE}
    return [word for name, value in flags.items() for word in (f"--{name}", str(value))] + ["--keep_last_batch"]


def set_aside(out: str | os.PathLike[str], lists: Sequence[str | os.PathLike[str]]) -> str:
    """Move the results in `out` to `out/earlier/N` if they are not from these training and validation `lists`.

    Returns what was done, in words; "" if nothing was. InputError if a run is still going on in `out`.
    """
    folder = Path(out)
    try:
        before = json.loads((folder / "args.json").read_text("utf-8"))["lists_sha256"]
        theirs = list(before.values())
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return ""
    if theirs == [read_records(path, counts_in_pairs=False).sha256 for path in lists]:
        return ""
    with locked_folder(folder, "wait until it has ended"):
        target = next(path for n in itertools.count(1) if not (path := folder / "earlier" / str(n)).exists())
        target.mkdir(parents=True)
        there = [path for path in folder.iterdir() if path.name not in KEPT and not path.name.startswith(".")]
        for path in sorted(there, key=lambda path: path.name == "args.json"):  # the last one: it says what to do
            path.rename(target / path.name)
    return f"the videos have changed: training starts anew; the results so far are in {target}"
