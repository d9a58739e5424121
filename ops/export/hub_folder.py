"""The files beside the weights in a folder for the Hugging Face Hub: config.json and the model card."""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ops.common.errors import InputError
from ops.common.storage import atomic_file
from ops.common.text import counted, one_line
from ops.export.checkpoint_info import Facts, checkpoint_facts, described_rows
from ops.models.hub import CARD, CONFIG, PREFIX, WEIGHTS, read_config

_CARD = """\
---
library_name: tam
pipeline_tag: video-classification
tags:
- video-classification
- action-recognition
- {network_tag}
---

# {title}

{model}. It gives scores for {count}{kind}.

## Protocol

| | |
| --- | --- |
{protocol}

## Results

{results}.

They were measured while it was trained: on the validation list, with one clip from the middle of each video and a crop
from the middle of each frame.

## Use

By its name on the Hub, with the tools of the code that it was trained with, which continues
[TAM](https://github.com/liu-zhy/temporal-adaptive-module):

```bash
python tools/predict.py film.mp4 --weights hf:OWNER/NAME
python tools/finetune.py clips --weights hf:OWNER/NAME
```

`{weights}` has the tensors and all that the tools need; `{config}` has the same facts for other programs, and
the SHA-256 of the weights.

## Classes

{classes}
"""


_TYPE = "tam"
_SEVERAL = ", of which a video may have several or none: the sigmoid of each score is a probability"


def check_hub_folder(folder: Path) -> None:
    """InputError if `folder` has files of another kind with the names that are written there, such as a README.md."""
    there = [name for name in (CARD, CONFIG) if (folder / name).exists()]
    if not there:
        return
    try:
        is_ours = read_config(folder / CONFIG, str(folder)).get("model_type") == _TYPE
    except InputError:
        is_ours = False
    if not is_ours:
        raise InputError(
            f"{folder}: has a {there[0]} that --to hf did not write and would replace: give another folder"
        )


def without_folders(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a training with the names of files alone: a public file need not show where they were."""

    def plain(value: Any) -> Any:
        is_path = isinstance(value, str) and os.sep in value and "://" not in value and not value.startswith(PREFIX)
        return os.path.basename(value.rstrip(os.sep)) if is_path else value

    return {key: plain(value) for key, value in recipe.items()}


def write_hub_files(folder: Path) -> None:
    """Write config.json and README.md for the weights in `folder`; raises what `write_error` gives."""
    facts = checkpoint_facts(folder / WEIGHTS)
    with open(folder / WEIGHTS, "rb") as file:
        digits = hashlib.file_digest(file, "sha256").hexdigest()
    with atomic_file(folder / CONFIG, "w", encoding="utf-8") as file:
        json.dump(config_of(facts, digits), file, indent=2, allow_nan=False)
        file.write("\n")
    with atomic_file(folder / CARD, "w", encoding="utf-8") as file:
        file.write(card_of(facts))


def config_of(facts: Facts, sha256: str) -> dict[str, Any]:
    """The content of config.json, with class names and the kind of labels where the library transformers has them."""
    keys = (
        "arch", "temporal", "modality", "num_segments", "num_classes", "dropout", "consensus", "dataset", "sampling",
        "input_size", "scale_size", "mean", "std", "results", "history", "parameters",
    )  # fmt: skip
    names = facts["class_names"]
    labels = {str(number): name for number, name in enumerate(names)} if names else None
    several = bool(facts.get("multi_label"))
    return {
        "model_type": _TYPE, "sha256": sha256, **{key: facts[key] for key in keys}, "multi_label": several,
        "problem_type": "multi_label_classification" if several else "single_label_classification",
        "id2label": labels,
    }  # fmt: skip


def card_of(facts: Facts) -> str:
    """The model card, in Markdown."""
    rows = described_rows(facts)
    shown = ("dataset", "sampling", "resolution", "pixels", "recipe", "size", "compute", "history")
    names = facts["class_names"]
    classes = "\n".join(f"{number}. {_plain(name)}" for number, name in enumerate(names)) if names else rows["classes"]
    return _CARD.format(
        network_tag=facts["temporal"]["module"] if facts["temporal"]["module"] != "none" else "tsn",
        title=_plain(f"{rows['model'].partition(' on ')[0]}, trained on {facts['dataset'] or 'an unknown dataset'}"),
        model=_plain(rows["model"]),
        count=counted(facts["num_classes"], "class"),
        kind=_SEVERAL if facts.get("multi_label") else "",
        protocol="\n".join(f"| {name} | {_plain(rows[name])} |" for name in shown if rows[name]),
        results=_plain(rows["results"][:1].upper() + rows["results"][1:]),
        weights=WEIGHTS,
        config=CONFIG,
        classes=classes,
    )


def _plain(text: str) -> str:
    """Text from a checkpoint, which is untrusted, without Markdown and HTML."""
    return re.sub(r"[\\`*\[\]<>|&]", lambda found: f"&#{ord(found[0])};", one_line(text))
