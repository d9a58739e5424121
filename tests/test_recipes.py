"""The scripts that train and test TSN and TSM use the published recipes, protocols and figures."""

import re
import stat
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from test_commands import arguments_of

from ops.data.dataset_configs import DATASETS
from ops.models.temporal_options import TemporalOptions, temporal_options
from ops.models.zoo import PublishedCheckpoint, PublishedResult, published_checkpoints
from ops.training.resume import default_store_name

FOLDERS = ("scripts", "online_scripts")
SCRIPTS = sorted(path for folder in FOLDERS for path in (ROOT / folder).glob("*_ts[nm]_*.sh"))
TRAINING = [path for path in SCRIPTS if not path.name.startswith("test_")]
TESTS = [path for path in SCRIPTS if path.name.startswith("test_")]

KINETICS: dict[str, Any] = {
    "dataset": "kinetics", "lr": 0.02, "scale_lr": 128, "lr_steps": [20, 40], "epochs": 50, "dropout": 0.5,
    "weight_decay": 1e-4, "no_partialbn": True, "dense_sample": False, "tune_from": None, "batch_size": 16,
}  # fmt: skip
SOMETHING = {**KINETICS, "lr": 0.01, "scale_lr": 64, "weight_decay": 5e-4}
UCF101 = {
    **SOMETHING, "dataset": "ucf101", "lr": 0.001, "lr_steps": [10, 20], "epochs": 25, "dropout": 0.8,
    "no_partialbn": False, "batch_size": 8, "num_segments": 8,
    "tune_from": str(ROOT / "pretrained" / "TSM_kinetics_RGB_resnet50_shift8_blockres_avg_segment8_e50.pth"),
}  # fmt: skip
RECIPES: dict[str, dict[str, Any]] = {  # batch_size is for one GPU
    "train_tsn_kinetics_rgb_5f": {**KINETICS, "num_segments": 5},
    "train_tsm_kinetics_rgb_8f": {**KINETICS, "num_segments": 8},
    "train_tsm_kinetics_rgb_16f": {**KINETICS, "num_segments": 16},
    "train_tsm_kinetics_dense_rgb_8f": {
        **KINETICS, "num_segments": 8, "dense_sample": True, "epochs": 100, "lr_steps": [40, 80]
    },
    **{
        f"train_tsm_{dataset}_rgb_{t}f": {**SOMETHING, "dataset": dataset, "num_segments": t, "batch_size": 64 // t}
        for dataset in ("something", "somethingv2") for t in (8, 16)
    },
    "finetune_tsm_ucf101_rgb_8f": UCF101,
}  # fmt: skip


def name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def test_every_recipe_is_there_for_frames_and_those_of_video_datasets_for_videos() -> None:
    frames, videos = ({path.stem for path in SCRIPTS if path.parent.name == folder} for folder in FOLDERS)
    assert frames == {*RECIPES, *(path.stem for path in TESTS)}
    assert videos == {name for name in frames if "something" not in name}


@pytest.mark.parametrize("gpus", ["", "0 1 2 3 4 5 6 7"])
@pytest.mark.parametrize("path", TRAINING, ids=name_of)
def test_training_recipes_are_the_published_ones(path: Path, gpus: str, tmp_path: Path) -> None:
    args = arguments_of(path, tmp_path, gpus, "-j", "3")
    wanted = dict(RECIPES[path.stem])
    wanted["batch_size"] *= len(gpus.split()) or 1
    assert {name: getattr(args, name) for name in wanted} == wanted
    assert (args.arch, args.modality, args.clip_gradient, args.eval_freq, args.workers) == ("resnet50", "RGB", 20, 1, 3)
    assert temporal_options(args) == TemporalOptions("none" if "_tsn_" in path.name else "tsm")
    if gpus and args.num_segments <= 8:  # with 8 GPUs, the batch is the published one
        assert args.batch_size == args.scale_lr
    recipe = DATASETS[args.dataset].recipe
    assert recipe is None or args.lr / args.scale_lr == recipe.lr / recipe.batch_size
    assert default_store_name(args).endswith("_dense") == args.dense_sample


def published_for(path: Path, args: Any) -> tuple[PublishedCheckpoint, PublishedResult]:
    """The published checkpoint that a test script uses, and the published result for the protocol of the script."""
    (weights,) = args.weights
    protocol = (args.test_segments, args.test_crops, args.sample, 256 if args.full_res else 224)
    found = [
        (entry, result)
        for entry in published_checkpoints() if str(ROOT / entry.path) == weights and entry.dataset == args.dataset
        for result in entry.results if ([result.segments], result.crops, result.sample, result.size) == protocol
    ]  # fmt: skip
    assert len(found) == 1, f"{path.name}: nothing is published for this"
    return found[0]


@pytest.mark.parametrize("path", TESTS, ids=name_of)
def test_test_scripts_use_a_published_protocol_and_name_its_figure(path: Path, tmp_path: Path) -> None:
    args = arguments_of(path, tmp_path, "0 1", "-j", "3")
    entry, result = published_for(path, args)
    assert args.workers == 3 and args.gpus == [0, 1] and args.output == args.weights[0].replace(".pth", "_test")
    assert (
        path.stem.endswith(f"_{result.segments}f") and f"_{entry.temporal.module}_".replace("none", "tsn") in path.stem
    )
    text = path.read_text()
    assert f"# Gives    {result.figures} % top-1" in text
    assert f"{entry.path}\n" in text


@pytest.mark.parametrize("path", SCRIPTS, ids=name_of)
def test_recipes_say_what_they_expect_and_give(path: Path) -> None:
    head = path.read_text().split("set -euo")[0]
    assert "# Expects " in head and "# Gives " in head and path.stat().st_mode & stat.S_IXUSR
    promised = re.search(r"by (test_\w+\.sh)", head)
    assert promised is None or (path.parent / promised[1]).is_file()


@pytest.mark.parametrize("path", [path for path in TRAINING if path.name.startswith("train_")], ids=name_of)
def test_training_scripts_name_the_figure_of_their_test(path: Path, tmp_path: Path) -> None:
    found = re.search(r"# Gives    ([\d.]+) % top-1 \(published\), by (test_\w+\.sh)", path.read_text())
    assert found
    test = path.parent / found[2]
    assert published_for(test, arguments_of(test, tmp_path, ""))[1].figures == found[1]


@pytest.mark.parametrize(("rate", "expected"), [(None, 0.01), ("0.02", 0.02)])
@pytest.mark.parametrize("frames", [8, 16])
def test_the_learning_rate_of_something_v1_can_be_chosen(
    frames: int, rate: str | None, expected: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LR", raising=False)
    if rate:
        monkeypatch.setenv("LR", rate)
    args = arguments_of(ROOT / "scripts" / f"train_tam_something_rgb_{frames}f.sh", tmp_path, "")
    assert (args.lr, args.scale_lr) == (expected, 64)
