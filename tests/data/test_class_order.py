"""It is detected, without false alarms, if a model and a list number the classes differently."""

from pathlib import Path

import media
import numpy as np
import pytest
import torch
from conftest import Call

from ops.data.class_order import diagnose_class_order, differing_order
from ops.models.checkpoint import save_checkpoint
from ops.models.recognizer import build_model


def predictions(rng: np.random.Generator, labels: np.ndarray, classes: int, accuracy: float) -> np.ndarray:
    """Predictions of a model with the given accuracy; wrong predictions are random."""
    return np.where(rng.random(len(labels)) < accuracy, labels, rng.integers(0, classes, len(labels)))


@pytest.mark.parametrize("classes", [8, 174, 400])
@pytest.mark.parametrize("accuracy", [0.4, 0.76])
def test_permuted_classes_are_diagnosed_and_others_are_not(classes: int, accuracy: float) -> None:
    rng = np.random.default_rng(classes)
    labels = rng.integers(0, classes, 20 * classes)
    found = predictions(rng, labels, classes, accuracy)
    names = [f"class {k}" for k in range(classes)]
    assert diagnose_class_order(labels, found, names) is None
    permuted = rng.permutation(classes)[found]
    message = diagnose_class_order(labels, permuted, names)
    assert message and "numbered differently" in message and "is predicted as 'class " in message
    shuffled = rng.permutation(found)  # random predictions must not look like a permutation, even with many classes
    assert diagnose_class_order(labels, shuffled, names) is None
    assert diagnose_class_order(labels[:classes], permuted[:classes], names) is None  # too few videos to tell


@pytest.mark.parametrize("share", [0.9, 1.0])
def test_one_answer_for_everything_is_no_permutation(share: float) -> None:
    labels = np.where(np.arange(200) < 200 * share, 0, 2)
    assert diagnose_class_order(labels, np.ones(200, dtype=np.int64), ["a", "b", "c"]) is None


@pytest.mark.parametrize(
    ("theirs", "ours", "differs"),
    [
        (["a", "b"], ["a", "b"], False),
        (["a", "b"], ["b", "a"], True),
        (["a", "b"], ["a", "c"], False),
        (None, ["a", "b"], False),
        (["a", "b"], None, False),
    ],
)
def test_the_same_names_in_another_order(theirs: list[str] | None, ours: list[str] | None, differs: bool) -> None:
    assert bool(differing_order("w.pth.tar", theirs, "names.txt", ours)) == differs


def test_a_test_refuses_a_class_file_in_another_order(call: Call, tmp_path: Path) -> None:
    media.write_video(tmp_path / "a.mp4", 8)
    (tmp_path / "l.txt").write_text("a.mp4 1\n")
    model = build_model("resnet18", 3, 4)
    save_checkpoint(tmp_path / "w.pth.tar", model, {"class_names": ["jump", "run", "swim"]})
    (tmp_path / "same.txt").write_text("jump\nrun\nswim\n")
    (tmp_path / "other.txt").write_text("jump\nswim\nrun\n")
    test = ["online_test_models.py", "custom", "--weights", "w.pth.tar", "--test_list", "l.txt", "--root_path", "."]
    test += ["--input_size", "32", "--device", "cpu", "-j", "0", "--class_names"]
    call(*test, "same.txt")
    error = call(*test, "other.txt", status=2).err
    assert "class 1 is 'run' in the checkpoint and 'swim' here" in error and len(error.splitlines()) == 1


def test_a_test_whose_list_numbers_classes_differently_says_so(call: Call, tmp_path: Path) -> None:
    """The model distinguishes three colours perfectly, but the list numbers them differently."""
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    model = build_model("resnet18", 3, 2, tam=False)
    lines = []
    for number, colour in enumerate(colours):
        frames = [np.full((48, 64, 3), colour, dtype=np.uint8)] * 4
        media.write_video(tmp_path / f"{number}.mp4", frames=frames)
        lines.append(f"{number}.mp4 {(number + 1) % 3}\n")
    (tmp_path / "l.txt").write_text("".join(lines) * 8)
    with torch.no_grad():
        clips = torch.tensor(colours, dtype=torch.uint8)[:, None, :, None, None].expand(3, 2, 3, 32, 32)
        features: list[torch.Tensor] = []
        hook = model.head.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
        model.eval()(clips)
        hook.remove()
        seen = features[0][::2]
        model.head.weight.copy_(torch.linalg.pinv(seen).T)
        model.head.bias.zero_()
    save_checkpoint(tmp_path / "w.pth.tar", model, {"num_segments": 2})
    test = ["online_test_models.py", "custom", "--weights", "w.pth.tar", "--test_list", "l.txt", "--root_path", "."]
    done = call(*test, "--input_size", "32", "--device", "cpu", "-j", "0")
    assert "top-1 0.00 %" in done.out
    assert "warning: the classes seem to be numbered differently: top-1 is 0.0 %, but 100.0 % after" in done.err
    assert "numbered differently" in (tmp_path / "test/metrics.json").read_text()
