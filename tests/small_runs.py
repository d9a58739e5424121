"""The smallest trainings and checkpoints that tests of several packages use."""

import io
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import media
import torch

from ops.models.checkpoint import save_checkpoint
from ops.models.recognizer import build_model

TRAINING = [
    *("custom", "RGB", "--train_list", "l.txt", "--val_list", "l.txt", "--root_path", ".", "--num_class", "2"),
    *("--arch", "resnet18", "--pretrain", "none", "--num_segments", "2", "-b", "2", "--npb", "--input_size", "32"),
    *("--device", "cpu", "-j", "0"),
]
"""Flags of a training with the videos of `write_two_classes`, in whose folder it runs."""


def write_two_classes(folder: Path, label: Callable[[int], int] = lambda number: number // 4) -> None:
    """Write five short videos with the labels `label(number)`, and their list `l.txt`."""
    for number in range(5):
        media.write_video(folder / f"{number}.mp4", 8, seed=number)
    (folder / "l.txt").write_text("".join(f"{number}.mp4 8 {label(number)}\n" for number in range(5)))


@cache
def _bytes_of_weights(classes: int, segments: int, meta: tuple[tuple[str, object], ...]) -> bytes:
    file = io.BytesIO()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = build_model("resnet18", classes, segments).state_dict()
        torch.save({"state_dict": state, **({"meta": dict(meta)} if meta else {})}, file)
    return file.getvalue()


def save_weights(path: Path, classes: int = 2, segments: int = 3, **meta: object) -> Path:
    """Save a new TANet-18 with nothing but `meta`; its weights are the same in all tests, and made only once."""
    path.write_bytes(_bytes_of_weights(classes, segments, tuple(meta.items())))
    return path


def save_small_checkpoint(path: Path, names: Sequence[str], std: float = 0.5) -> Path:
    """Save a TANet-18 for the classes `names`, four segments and 32 pixels, whose scores differ clearly."""
    torch.manual_seed(0)
    model = build_model("resnet18", len(names), 4)
    torch.nn.init.normal_(model.head.weight, std=std)
    save_checkpoint(path, model, {"class_names": list(names), "input_size": 32, "dataset": "custom"})
    return path
