"""Training with several labels per video is what its formulas say, and continues exactly."""

import csv
import json
import re
from pathlib import Path

import media
import numpy as np
import pytest
import ranks
import torch
from conftest import Call
from torch import nn

from ops.common.device import Compute
from ops.data.collate import ClipBatch
from ops.data.lists import read_records
from ops.training.mean_average_precision import average_precisions, mean_average_precision, over_all_processes
from ops.training.metrics import correct_in_top
from ops.training.mixup import NO_MIXING, Mixing
from ops.training.multi_label_loss import MultiLabelLoss, balanced_target_weights, validation_loss
from ops.training.train_step import accumulate

CPU = Compute(torch.device("cpu"))
TARGETS = torch.tensor([[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 1], [0, 0, 1]], dtype=torch.float32)
WEIGHTS = torch.tensor([[0.5, 2.0, 1.0], [3.0, 1.0, 0.25]])
LABELS = ("0,2", "-", "1", "0,1,2", "2", "1,2", "0")
TRAIN = ["online_main.py", "custom", "RGB", "--train_list", "l.txt", "--val_list", "l.txt", "--root_path", "."]
TRAIN += ["--num_class", "4", "--arch", "resnet18", "--pretrain", "none", "--num_segments", "2", "-b", "3", "--npb"]
TRAIN += ["--input_size", "32", "--device", "cpu", "-j", "0", "--resume", "auto", "--epochs", "2", "--eval-freq", "1"]
TRAIN += ["--keep_last_batch", "--store_name"]


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Seven videos with none to three labels of four classes, the last of which none has."""
    for number in range(len(LABELS)):
        media.write_video(tmp_path / f"{number}.mp4", 8, seed=number)
    lines = (f"{number}.mp4 8 {labels}\n" for number, labels in enumerate(LABELS))
    (tmp_path / "l.txt").write_text("".join(lines))
    return tmp_path


@pytest.mark.parametrize("parts", [1, 2, 5])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("mixing", [NO_MIXING, Mixing(mixup=1.0)])
def test_the_loss_is_binary_cross_entropy_of_each_class(
    parts: int, smoothing: float, weights: torch.Tensor | None, mixing: Mixing
) -> None:
    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scores = nn.Parameter(torch.linspace(-2, 2, 3))

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return self.scores * pixels.float().mean((1, 2, 3, 4))[:, None] / 100

    pixels = torch.randint(256, (5, 1, 1, 2, 2), dtype=torch.uint8)
    batch, network = ClipBatch(pixels, TARGETS, list(range(5)), 5), Network()
    torch.manual_seed(8)
    scores, labels, found = accumulate(
        network, batch, CPU.scaler(), CPU, parts, 1.0, MultiLabelLoss(smoothing, weights), mixing
    )
    torch.manual_seed(8)
    share = mixing.draw(2, 2).share if mixing else 1.0
    targets = share * TARGETS + (1 - share) * TARGETS.roll(1, 0)
    targets = targets * (1 - smoothing) + smoothing / 3
    absent, present = torch.ones(2, 3) if weights is None else weights
    probabilities = scores.double().sigmoid()
    losses = -(present * targets * probabilities.log() + absent * (1 - targets) * (1 - probabilities).log())
    assert found.item() == pytest.approx(losses.mean().item(), rel=1e-5)
    assert torch.equal(labels, TARGETS if share >= 0.5 else TARGETS.roll(1, 0))
    assert network.scores.grad is not None and network.scores.grad.abs().sum() > 0


def test_the_validation_loss_is_the_plain_one() -> None:
    scores, labels = torch.randn(5, 3), torch.tensor([0, 2, 2, 1, 2])
    assert torch.equal(validation_loss(scores, labels), nn.functional.cross_entropy(scores, labels))
    plain = MultiLabelLoss().sum(scores, TARGETS) / 5
    assert validation_loss(scores, TARGETS).item() == pytest.approx(plain.item())


def test_balanced_weights_are_those_of_scikit_learn_for_each_class(clips: Path) -> None:
    from sklearn.utils.class_weight import compute_class_weight

    sets = read_records(clips / "l.txt", False, multi_label=True).label_sets
    assert sets
    found = balanced_target_weights(sets, 4).numpy()
    for k, column in enumerate(sets.targets(3).T):
        expected = compute_class_weight("balanced", classes=np.array([False, True]), y=column)
        np.testing.assert_allclose(found[:, k], expected, rtol=1e-6)
    assert found[:, 3].tolist() == [1, 1]


@pytest.mark.parametrize("ties", [False, True])
def test_average_precision_is_that_of_scikit_learn(ties: bool) -> None:
    from sklearn.metrics import average_precision_score

    rng = np.random.default_rng(3)
    scores = (rng.integers(0, 4, (40, 6)) if ties else rng.normal(size=(40, 6))).astype(np.float32)
    targets = rng.random((40, 6)) < 0.3
    targets[:, 4], targets[:, 5] = False, True
    found = average_precisions(scores, targets)
    expected = [100 * average_precision_score(targets[:, k], scores[:, k]) for k in (0, 1, 2, 3, 5)]
    assert found[[0, 1, 2, 3, 5]] == pytest.approx(expected) and np.isnan(found[4])
    assert mean_average_precision(scores, targets) == pytest.approx(np.mean(expected))
    order = rng.permutation(40)
    assert np.array_equal(average_precisions(scores[order], targets[order]), found, equal_nan=True)
    assert over_all_processes([(scores[:7], targets[:7]), (scores[7:], targets[7:])]) == pytest.approx(
        np.mean(expected)
    )
    assert np.isnan(over_all_processes([])) and np.isnan(mean_average_precision(scores[:, 4:5], targets[:, 4:5]))


def test_a_clip_is_right_if_one_of_its_labels_is_among_the_best() -> None:
    scores = torch.tensor([[3, 2, 1], [3, 2, 1], [3, 2, 1], [3, float("nan"), 1], [1, 1, 1]])
    assert correct_in_top(scores, TARGETS, 1).tolist() == [True, False, False, False, False]
    assert correct_in_top(scores, TARGETS, 2).tolist() == [True, False, True, False, False]


def test_a_run_in_parts_is_one_without_interruption_and_says_what_it_is(clips: Path, call: Call) -> None:
    flags = [
        "--multi_label",
        "--mixup",
        "0.4",
        "--label_smoothing",
        "0.1",
        "--class_weights",
        "balanced",
        "--accumulate",
        "2",
    ]
    shown = call(*TRAIN, "whole", *flags)
    assert "l.txt: no video has 1 of the 4 classes, which mAP leaves out" in shown.err
    call(*TRAIN, "parts", *flags, "--max_steps", "2")
    resumed = call(*TRAIN, "parts", *flags)
    assert "0 epochs and 2 steps are done" in resumed.out and "not as in the run so far" not in resumed.err
    folder = clips / "checkpoints" / "whole"
    whole, parts = (
        torch.load(clips / "checkpoints" / run / "ckpt.pth.tar", weights_only=True) for run in ("whole", "parts")
    )
    assert all(torch.equal(value, parts["state_dict"][key]) for key, value in whole["state_dict"].items())
    assert whole["meta"]["multi_label"] is True and whole["meta"]["recipe"]["multi_label"] is True
    assert json.loads((folder / "args.json").read_text())["arguments"]["multi_label"] is True
    with (folder / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    best = max(float(row["val_mAP"]) for row in rows)
    assert best > 0 and float(rows[1]["best_mAP"]) == best and rows[1]["best_top1"] == ""
    assert whole["meta"]["results"]["best_mAP"] == pytest.approx(best, rel=1e-5)
    assert f"best validation mAP {best:.2f} %" in shown.out and re.search(r"validation: loss [\d.]+, mAP", shown.out)
    call("tools/report.py", "checkpoints/whole", "--output", "r.html")
    assert f">{best:.2f}<" in (clips / "r.html").read_text()
    refused = call(*TRAIN, "parts", *flags[1:], "--epochs", "3", status=2).err
    assert "l.txt:1: several labels" in refused
    (clips / "one.txt").write_text("0.mp4 8 0\n1.mp4 8 1\n2.mp4 8 2\n3.mp4 8 3\n")
    lists = ["--train_list", "one.txt", "--val_list", "one.txt"]
    refused = call(*TRAIN, "parts", *flags[1:], *lists, "--epochs", "3", status=2).err
    assert "cannot be resumed: --multi_label is set in the checkpoint, but not set here" in refused
    seen = call(*TRAIN[:-1], "--multi_label", "-e", "--resume", folder / "ckpt.best.pth.tar", "--store_name", "x").out
    assert f"mAP {best:.2f} %" in seen


def test_a_run_from_such_a_checkpoint_takes_it_over_unless_told_not_to(clips: Path, call: Call) -> None:
    call(*TRAIN, "first", "--multi_label", "--epochs", "1")
    best = "checkpoints/first/ckpt.best.pth.tar"
    shown = call(*TRAIN, "second", "--tune_from", best, "--max_steps", "1").out
    assert "--multi_label" in next(line for line in shown.splitlines() if "as in checkpoints/first" in line)
    assert "several labels" in call(*TRAIN, "third", "--tune_from", best, "--no-multi_label", status=2).err


@pytest.mark.parametrize(
    ("lines", "flags", "says"),
    [
        ("0.mp4 0,1", ["--balance"], "--balance draws clips by their one class"),
        ("0.mp4 -", [], "l.txt: no video has any of the classes"),
        ("0.mp4 0,1\n1.mp4", [], "l.txt:2: no label, but training and validation need one"),
        ("0.mp4 0,4", [], "l.txt:1: label 4 is outside 0…3"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_one_line(
    lines: str, flags: list[str], says: str, tmp_path: Path, call: Call
) -> None:
    media.write_video(tmp_path / "0.mp4", 8)
    (tmp_path / "l.txt").write_text(lines)
    err = call(*TRAIN, "run", "--multi_label", *flags, status=2).err
    assert says in err and len(err.splitlines()) == 1


def test_two_processes_rank_all_videos_together(clips: Path, call: Call) -> None:
    ranks.start("train_with_several_labels", clips, 2)
    with (clips / "checkpoints" / "whole" / "log.csv").open() as file:
        logged = [float(row["val_mAP"]) for row in csv.DictReader(file)]
    last = clips / "checkpoints" / "whole" / "ckpt.pth.tar"
    seen = call(*TRAIN[:-1], "--multi_label", "-e", "--resume", last, "--store_name", "x").out
    assert f"mAP {logged[-1]:.2f} %" in seen
    whole, parts = (
        torch.load(clips / "checkpoints" / run / "ckpt.pth.tar", weights_only=True)["state_dict"]
        for run in ("whole", "parts")
    )
    assert all(torch.equal(value, parts[name]) for name, value in whole.items())
