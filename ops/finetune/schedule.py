"""The training flags for a number of clips, and starting a fine-tuning again because its videos changed."""

import itertools
import json
import os
from collections.abc import Sequence
from pathlib import Path

from ops.common.folder_lock import locked_folder
from ops.data.lists import Records

BATCH, STEPS, EPOCHS = 8, 300, 15
"""The largest number of clips per step, and the smallest numbers of steps and epochs of a fine-tuning."""

VALIDATIONS, PATIENCE = 30, 15
"""The number of validations in a fine-tuning of many epochs, and how many without a better result end it."""

KEPT = ("lists", "earlier", "finetune.txt")
"""The files that stay in the folder if a fine-tuning is started again."""


def schedule_flags(clips: int, batch: int | None = None, epochs: int | None = None) -> list[str]:
    """Flags of the training scripts for a schedule that fits a number of clips.

    A step has `batch` clips (default: `BATCH`, or all clips if there are fewer). If `EPOCHS` epochs would have fewer
    than `STEPS` steps, as with a few dozen clips, there are more epochs, and not all of them are validated. `epochs`
    sets another number, with a validation after each.
    """
    batch = batch or min(BATCH, clips)
    steps = -(-clips // batch)
    needed = max(EPOCHS, -(-STEPS // steps))
    every = 1 if epochs else max(needed // VALIDATIONS, 1)
    flags = {"batch-size": batch, "epochs": epochs or needed, "eval-freq": every, "patience": PATIENCE}
    return [word for name, value in flags.items() for word in (f"--{name}", str(value))] + ["--keep_last_batch"]


def set_aside(out: str | os.PathLike[str], lists: Sequence[Records]) -> str:
    """Move the results in `out` to `out/earlier/N` if they do not come from these training and validation `lists`.

    Returns what was done, in words; "" if nothing was. InputError if a run is still going on in `out`.
    """
    folder = Path(out)
    try:
        before = json.loads((folder / "args.json").read_text("utf-8"))["lists_sha256"]
        theirs = list(before.values())
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return ""
    if theirs == [records.sha256 for records in lists]:
        return ""
    with locked_folder(folder, "wait until it has ended"):
        target = next(path for n in itertools.count(1) if not (path := folder / "earlier" / str(n)).exists())
        target.mkdir(parents=True)
        there = [path for path in folder.iterdir() if path.name not in KEPT and not path.name.startswith(".")]
        for path in sorted(there, key=lambda path: path.name == "args.json"):  # last, because it says what to do
            path.rename(target / path.name)
    return f"the videos have changed: training starts anew; the results so far are in {target}"
