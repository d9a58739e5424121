"""Metrics, schedule, loaders' samplers, storage of pretrained backbones: tables."""

import math
import multiprocessing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from ops.common.device import Compute
from ops.common.errors import InputError
from ops.common.tensor_files import load_tensors
from ops.data.dataloaders import ShardSampler, TrainSampler, make_loader, workers_of
from ops.data.transforms import Box, FramePlan
from ops.data.views import Views
from ops.models.consensus import make_consensus
from ops.models.recognizer import build_model
from ops.testing.evaluate import running_hits
from ops.testing.results import TestResult, accuracies, confusion_matrix
from ops.training.engine import score_views
from ops.training.lr_schedule import lr_factor
from ops.training.metrics import Meter, correct_in_top, mean_class_accuracy
from ops.training.options import train_parser
from ops.training.train import start_model


@pytest.mark.parametrize(
    ("epoch", "options", "factor"),
    [
        (0, {"lr_steps": (50, 75, 90)}, 1.0),
        (49.99, {"lr_steps": (50, 75, 90)}, 1.0),
        (50, {"lr_steps": (50, 75, 90)}, 0.1),
        (80, {"lr_steps": (50, 75, 90)}, 0.01),
        (99, {"lr_steps": (50, 75, 90)}, 0.001),
        (0, {"lr_type": "cos"}, 1.0),
        (50, {"lr_type": "cos"}, 0.5),
        (100, {"lr_type": "cos"}, 0.0),
        (0, {"lr_type": "cos", "warmup_epochs": 10}, 0.01),
        (5, {"lr_type": "step", "warmup_epochs": 10}, 0.505),
        (55, {"lr_type": "cos", "warmup_epochs": 10}, 0.5),
    ],
)
def test_learning_rate(epoch: float, options: dict[str, object], factor: float) -> None:
    assert lr_factor(epoch, 100, **options) == pytest.approx(factor, abs=1e-9)  # type: ignore[arg-type]


def test_an_unknown_schedule_is_refused() -> None:
    with pytest.raises(ValueError, match="linear"):
        lr_factor(0, 1, "linear")


def test_accuracy_counts_ties_and_few_classes() -> None:
    scores = torch.tensor([[0.1, 0.9, 0.0], [0.8, 0.1, 0.1]])
    assert correct_in_top(scores, torch.tensor([1, 1]), 1).tolist() == [True, False]
    assert correct_in_top(scores, torch.tensor([1, 1]), 5).tolist() == [True, True]
    assert mean_class_accuracy(np.array([0, 0, 1]), np.array([0, 0, 2])) == pytest.approx(50.0)
    assert math.isnan(mean_class_accuracy(np.array([], int), np.array([], int)))


def test_the_meter_weighs_batches_by_their_size() -> None:
    meter = Meter()
    assert math.isnan(meter.averages()["top1"])
    meter.add(torch.eye(3), torch.tensor([0, 1, 2]), torch.tensor(1.0))
    meter.add(torch.eye(3)[:1], torch.tensor([1]), torch.tensor(5.0))
    assert meter.averages() == {"loss": 2.0, "top1": 75.0, "top5": 100.0} and meter.count == 4


def test_consensus_averages_segments() -> None:
    scores = torch.arange(12.0).view(2, 3, 2)
    assert torch.equal(make_consensus("avg")(scores), scores.mean(1))


@pytest.mark.parametrize("world", [1, 2, 4])
def test_a_training_step_has_the_same_clips_however_many_processes_share_it(world: int) -> None:
    samplers = [TrainSampler(22, 8, seed=3, rank=rank, world_size=world) for rank in range(world)]
    for sampler in samplers:
        sampler.epoch = 5
    steps = list(zip(*samplers, strict=True))
    whole = list(TrainSamplerAt(5))
    assert [[index for part in step for _, index in part] for step in steps] == whole
    assert all(epoch == 5 for step in steps for part in step for epoch, _ in part)
    assert len(whole) == 2 and len({index for step in whole for index in step}) == 16


class Numbers(torch.utils.data.Dataset[int]):
    """Something to load."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> int:
        return index


def test_no_worker_outlives_its_loader() -> None:
    loader = make_loader(Numbers(), 2, list, torch.device("cpu"), sampler=ShardSampler(4, 0, 1))
    kept = loader  # what keeps it alive does not keep its workers
    with pytest.raises(ValueError, match="stop"), workers_of(loader):
        assert sorted(number for batch in loader for number in batch) == [0, 1, 2, 3]
        assert len(multiprocessing.active_children()) >= 2
        raise ValueError("stop")
    assert not multiprocessing.active_children() and kept is loader


class TrainSamplerAt:
    """The steps of one process at one epoch, as indices."""

    def __init__(self, epoch: int) -> None:
        self.sampler = TrainSampler(22, 8, seed=3, rank=0, world_size=1)
        self.sampler.epoch = epoch

    def __iter__(self):  # type: ignore[no-untyped-def]
        return ([index for _, index in step] for step in self.sampler)


def test_epochs_differ_and_parts_of_one_continue_it() -> None:
    assert list(TrainSamplerAt(0)) != list(TrainSamplerAt(1))
    part = TrainSamplerAt(0)
    part.sampler.first_step = 1
    assert list(part) == list(TrainSamplerAt(0))[1:]


@pytest.mark.parametrize("n", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("world", [1, 2, 3])
def test_shards_hold_every_video_once(n: int, world: int) -> None:
    shards = [list(ShardSampler(n, rank, world)) for rank in range(world)]
    assert sorted(index for shard in shards for index in shard) == list(range(n))
    assert next(iter(ShardSampler(n, 0, world, epoch=4))) == (4, 0)


@pytest.mark.parametrize("chunk", [1, 2, 5, 100])
def test_scores_do_not_depend_on_how_views_are_chunked(chunk: int) -> None:
    model = build_model("resnet18", 4, 3).eval()
    boxes = (Box(0, 0, 32, 32), Box(0, 4, 32, 32), Box(0, 8, 32, 32))
    plan = FramePlan((32, 40), None, (32, 40), boxes, (False, False, True))
    frames = torch.randint(0, 256, (5, 3, 32, 40), dtype=torch.uint8)
    clips = torch.tensor([[[0], [1], [2]], [[2], [3], [4]]])
    views = Views(frames, [clips], plan)
    partners = np.array([1, 0, -1, 3])
    got = score_views(model, views, clips, partners, chunk, Compute(torch.device("cpu")))
    with torch.inference_mode():
        each = [model(views.clip(crop, clips)) for crop in range(3)]  # [V, K] each
    mirrored = each[2][:, [1, 0, 2, 3]]
    assert torch.allclose(got, torch.cat([*each[:2], mirrored]).mean(0), atol=1e-6)


def test_a_backbone_file_fills_the_network_and_a_wrong_one_is_refused(tmp_path: Path) -> None:
    source = build_model("resnet18", 3, 2)
    torch.save({"state_dict": source.state_dict()}, tmp_path / "weights.pth")
    filled = build_model("resnet18", 7, 4, pretrain=str(tmp_path / "weights.pth"))
    key = "base_model.layer3.1.net.conv2.weight"
    assert torch.equal(filled.state_dict()[key], source.state_dict()[key])
    plain = build_model("resnet18", 7, 4, tam=False, pretrain=str(tmp_path / "weights.pth"))
    assert torch.equal(plain.state_dict()[key.replace(".net", "")], source.state_dict()[key])
    with pytest.raises(InputError, match="does not hold a resnet34"):
        build_model("resnet34", 7, 4, pretrain=str(tmp_path / "weights.pth"))


def test_imagenet_weights_that_cannot_be_downloaded_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(InputError, match="cannot download the ImageNet weights of resnet18") as caught:
        build_model("resnet18", 3, 2, pretrain="imagenet")
    assert "\n" not in str(caught.value) and "--pretrain" in str(caught.value)


def test_imagenet_weights_come_from_torchvisions_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    from torchvision.models import ResNet18_Weights, resnet18

    state = resnet18().state_dict()
    torch.save(state, tmp_path / "made")
    digest = hashlib.sha256((tmp_path / "made").read_bytes()).hexdigest()[:8]
    url = f"https://download.pytorch.org/models/resnet18-{digest}.pth"
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "made").rename(tmp_path / "checkpoints" / f"resnet18-{digest}.pth")
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    monkeypatch.setattr(ResNet18_Weights.IMAGENET1K_V1.value, "url", url)
    model = build_model("resnet18", 3, 2, pretrain="imagenet")
    assert torch.equal(model.state_dict()["base_model.conv1.weight"], state["conv1.weight"])
    assert load_tensors(tmp_path / "checkpoints" / f"resnet18-{digest}.pth").keys() == state.keys()


@pytest.mark.parametrize("partial", [True, False])
def test_synchronised_norms_are_all_of_them(partial: bool) -> None:
    """On a CPU they can be made but not used; freezing all but the first is as without."""
    models = []
    for syncbn in (True, False):
        args = train_parser(None, ("pyav",)).parse_args(["custom", "RGB", "--arch", "resnet18", "--tam"])
        vars(args).update(pretrain="none", num_segments=3, syncbn=syncbn, no_partialbn=not partial)
        data: Any = SimpleNamespace(num_classes=2, class_names=None)
        models.append(start_model(args, data, None, False, Compute(torch.device("cpu")))[0])
    ours, plain = ([module for module in model.modules() if isinstance(module, _BatchNorm)] for model in models)
    assert len(ours) == len(plain) == 20 + 2 * 8, "those of ResNet-18 and two in each TAM"
    assert all(isinstance(module, torch.nn.SyncBatchNorm) for module in ours)
    assert [module.training for module in ours] == [module.training for module in plain]
    assert any(module.training for module in ours) and all(module.training for module in ours) == (not partial)


@pytest.mark.parametrize("classes", [1, 2, 7])
def test_accuracies_agree_with_a_plain_recomputation_also_of_ties(classes: int) -> None:
    """Top-1, top-5, class means and confusion, of scores in which many are equal; the first of equals comes first."""
    rng = np.random.default_rng(classes)
    scores = rng.integers(0, 3, (60, classes)).astype(np.float32)
    labels = rng.integers(0, classes, 60)
    order = [sorted(range(classes), key=lambda k: (-row[k], k)) for row in scores.tolist()]
    best = [ranked[0] for ranked in order]
    top1 = 100 * sum(k == label for k, label in zip(best, labels, strict=True)) / 60
    top5 = 100 * sum(label in ranked[:5] for ranked, label in zip(order, labels, strict=True)) / 60
    means = [np.mean([k == c for k, label in zip(best, labels, strict=True) if label == c]) for c in set(labels)]
    confusion = np.zeros((classes, classes), int)
    for label, k in zip(labels, best, strict=True):
        confusion[label, k] += 1
    result = TestResult([f"{n}" for n in range(60)], labels.astype(np.int64), scores, [""] * 60, [""] * 60)
    found = accuracies(result)
    expected = {"top1": top1, "top5": top5, "mean_class_accuracy": 100 * np.mean(means)}
    assert found == pytest.approx(expected) and (confusion_matrix(result) == confusion).all()
    meter = Meter()
    meter.add(torch.from_numpy(scores), torch.from_numpy(labels))
    assert (meter.averages()["top1"], meter.averages()["top5"]) == pytest.approx((top1, top5))
    hits = np.array([running_hits(row, int(label)) for row, label in zip(scores, labels, strict=True)]).sum(0)
    assert tuple(hits) == pytest.approx((top1 * 0.6, top5 * 0.6, 60))


def test_a_score_that_is_no_number_is_never_right() -> None:
    scores = torch.tensor([[float("nan"), 1.0], [2.0, float("nan")], [2.0, 1.0]])
    assert correct_in_top(scores, torch.tensor([0, 0, 0]), 1).tolist() == [False, False, True]
