"""Mixing clips and labels agrees with its formula, no matter how a batch is divided into parts."""

import types
from pathlib import Path

import media
import pytest
import ranks
import torch
from conftest import Call
from torch import nn

from ops.common.device import Compute
from ops.data.collate import ClipBatch
from ops.data.transforms import Box
from ops.training.loss import ClassificationLoss
from ops.training.mixup import Mix, Mixing, partners
from ops.training.train_step import accumulate

CPU = Compute(torch.device("cpu"))
LABELS = torch.tensor([0, 2, 2, 1, 2])


def clips() -> torch.Tensor:
    return torch.randint(256, (5, 2, 3, 6, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


class Network(nn.Module):
    """Its scores depend on every pixel of a clip; `seen` holds the pixels that it was given."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.head, self.seen = nn.Linear(2 * 3 * 6 * 8, 3), list[torch.Tensor]()

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        self.seen.append(pixels)
        scores: torch.Tensor = self.head(pixels.flatten(1) / 255)
        return scores


@pytest.mark.parametrize("parts", [1, 2, 5])
@pytest.mark.parametrize("mixing", [Mixing(mixup=1.0), Mixing(cutmix=1.0)])
@pytest.mark.parametrize("loss", [ClassificationLoss(), ClassificationLoss(0.2, torch.tensor([0.5, 2.0, 1.0]))])
def test_a_step_trains_on_mixed_clips_with_mixed_targets(parts: int, mixing: Mixing, loss: ClassificationLoss) -> None:
    torch.manual_seed(8)
    mix = mixing.draw(6, 8)
    before, after = clips(), clips()[[4, 0, 1, 2, 3]]
    expected = before.clone()
    if mix.box:
        rows, columns = (
            slice(mix.box.top, mix.box.top + mix.box.height),
            slice(mix.box.left, mix.box.left + mix.box.width),
        )
        expected[..., rows, columns] = after[..., rows, columns]
        assert mix.share == pytest.approx(1 - mix.box.height * mix.box.width / 48) and 0 < mix.share < 1
    else:
        expected = (mix.share * before.double() + (1 - mix.share) * after.double()).round().byte()
    one_hot = nn.functional.one_hot(LABELS, 3)
    target = mix.share * one_hot + (1 - mix.share) * one_hot.roll(1, 0)
    weights = torch.ones(3) if loss.weights is None else loss.weights
    target = target * (1 - loss.label_smoothing) + loss.label_smoothing / 3
    network = Network()
    torch.manual_seed(8)
    batch = ClipBatch(clips(), LABELS, list(range(5)), 5)
    scores, labels, found = accumulate(network, batch, CPU.scaler(), CPU, parts, 1.0, loss, mixing)
    seen = torch.cat(network.seen)
    assert len(network.seen) == parts and (seen.int() - expected.int()).abs().max() <= (0 if mix.box else 1)
    assert found.item() == pytest.approx(-(target * weights * scores.log_softmax(1)).sum(1).mean().item(), rel=1e-5)
    assert torch.equal(labels, LABELS if mix.share >= 0.5 else LABELS.roll(1, 0))
    assert torch.equal(batch.pixels, clips())  # the batch of the loader is unchanged


def test_the_formulas_are_those_of_torchvision() -> None:
    """The comparison uses float clips with soft labels, because torchvision's transforms support only these."""
    v2 = pytest.importorskip("torchvision.transforms.v2")
    tv_tensors = pytest.importorskip("torchvision.tv_tensors")
    own, targets = clips(), nn.functional.one_hot(LABELS, 3).float()
    mixup, cutmix = v2.MixUp(num_classes=3), v2.CutMix(num_classes=3)
    mixup.make_params = types.MethodType(lambda *_: {"lam": 0.25}, mixup)
    theirs, mixed = mixup(tv_tensors.Video(own.float()), LABELS)
    ours = Mix(0.25).pixels(own, partners(own))
    assert (ours - theirs).abs().max() <= 0.51
    torch.testing.assert_close(mixed, 0.25 * targets + 0.75 * partners(targets))
    cutmix.make_params = types.MethodType(lambda *_: {"box": (1, 2, 5, 4), "lam_adjusted": 1 - 8 / 48}, cutmix)
    assert torch.equal(
        Mix(1 - 8 / 48, Box(2, 1, 2, 4)).pixels(own, partners(own)), cutmix(tv_tensors.Video(own), LABELS)[0]
    )


def test_draws_depend_on_the_seed_of_the_step_alone_and_both_kinds_occur() -> None:
    both = Mixing(0.4, 1.0)
    drawn = []
    for seed in range(60):
        torch.manual_seed(seed)
        drawn.append(both.draw(32, 32))
        torch.manual_seed(seed)
        assert both.draw(32, 32) == drawn[-1]
    cut = sum(mix.box is not None for mix in drawn)
    assert 15 < cut < 45 and all(0 <= mix.share <= 1 for mix in drawn)
    assert not Mixing() and Mixing(mixup=1.0).draw(32, 32).box is None and Mixing(cutmix=1.0).draw(32, 32).box


def test_partners_keep_the_memory_format_of_decoders() -> None:
    own = clips().movedim(-3, -1).contiguous().movedim(-1, -3)
    assert partners(own).stride() == own.stride() and torch.equal(partners(own), own[[4, 0, 1, 2, 3]])


@pytest.mark.parametrize("flag", ["--mixup", "--cutmix"])
def test_one_clip_per_process_is_refused(flag: str, call: Call, tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_text("a.mp4 0\nb.mp4 1\n")
    lists = ["--train_list", "l.txt", "--val_list", "l.txt", "--root_path", "."]
    refused = call("online_main.py", "custom", "RGB", *lists, "--device", "cpu", "-b", "1", flag, "1", status=2).err
    assert f"{flag} needs at least two clips per process" in refused


def test_two_processes_continue_in_the_middle_of_an_epoch_bit_for_bit(tmp_path: Path) -> None:
    for number in range(8):
        media.write_video(tmp_path / f"{number}.mp4", 8, seed=number)
    (tmp_path / "l0.txt").write_text("".join(f"{number}.mp4 8 {number % 2}\n" for number in range(8)))
    ranks.start("train_with_mixing", tmp_path, 2)
    whole, parts, plain = (
        torch.load(tmp_path / "checkpoints" / run / "ckpt.pth.tar", weights_only=True)["state_dict"]
        for run in ("whole", "parts", "plain")
    )
    assert all(torch.equal(value, parts[name]) for name, value in whole.items())
    assert not all(torch.equal(value, plain[name]) for name, value in whole.items())
