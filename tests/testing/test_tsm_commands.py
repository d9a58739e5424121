"""TSM's command lines keep their meaning: flags, sampled frames and the default protocol."""

import shlex
from pathlib import Path
from typing import Any

import media
import numpy as np
import pytest
import torch
from conftest import Call

from ops.data.dataset_configs import DATASETS
from ops.data.sampling import view_indices
from ops.models.checkpoint import Checkpoint
from ops.models.checkpoint_names import ModelSpec
from ops.models.recognizer import build_model
from ops.models.temporal_options import TemporalOptions, temporal_options
from ops.testing.ensemble import default_sample
from ops.testing.options import test_parser as make_test_parser
from ops.training.options import train_parser

FILE = "pretrained/TSM_kinetics_RGB_resnet50_shift8_blockres_avg_segment8_e50.pth"
TEST = f"kinetics --weights={FILE} --test_segments=8"
DEFAULTS = {
    "sample": None,
    "test_crops": 1,
    "full_res": False,
    "batch_size": 1,
    "weights": [FILE],
    "test_segments": [8],
}


@pytest.mark.parametrize(
    ("flags", "meant"),
    [
        ("--test_crops=1 --batch_size=64", {"batch_size": 64}),
        ("--test_crops=10 --batch_size=64", {"test_crops": 10, "batch_size": 64}),
        ("--test_crops=3 --batch_size=8 --dense_sample --full_res",
         {"test_crops": 3, "batch_size": 8, "sample": "dense-10", "full_res": True}),
        ("--batch_size=72 -j 24 --test_crops=3  --twice_sample",
         {"batch_size": 72, "workers": 24, "test_crops": 3, "sample": "twice"}),
        ("--weights a.pth,b.pth --test_segments 8,16 --coeff 1,1.5 --softmax",
         {"weights": ["a.pth", "b.pth"], "test_segments": [8, 16], "coeff": [1, 1.5], "softmax": True}),
        ("--test_list l.txt --csv_file c.csv --max_num 5 --input_size 256 --gpus 0 1",
         {"test_list": ["l.txt"], "csv_file": "c.csv", "max_num": 5, "input_size": 256, "gpus": [0, 1]}),
        ("--crop_fusion_type avg --img_feature_dim 256 --num_set_segments 1 --pretrain imagenet",
         {"no_effect": ["--crop_fusion_type", "--img_feature_dim", "--num_set_segments", "--pretrain"]}),
    ],
)  # fmt: skip
def test_test_flags_of_tsm_keep_their_meaning(flags: str, meant: dict[str, Any]) -> None:
    args = vars(make_test_parser(None).parse_args(shlex.split(f"{TEST} {flags}")))
    wanted = {**DEFAULTS, **meant}
    assert {name: args[name] for name in wanted} == wanted


TRAIN = """--arch resnet50 --num_segments 8 --gd 20 --lr 0.02 --wd 1e-4 --lr_steps 20 40 --epochs 50 --batch-size 128
-j 16 --dropout 0.5 --consensus_type=avg --eval-freq=1 --shift --shift_div=8 --shift_place=blockres --npb"""
TRAINED = {
    "arch": "resnet50", "num_segments": 8, "clip_gradient": 20, "lr": 0.02, "weight_decay": 1e-4,
    "lr_steps": [20, 40], "epochs": 50, "batch_size": 128, "workers": 16, "dropout": 0.5, "eval_freq": 1,
    "no_partialbn": True, "dense_sample": False,
}  # fmt: skip


@pytest.mark.parametrize(
    ("flags", "meant", "temporal"),
    [
        ("", {}, TemporalOptions("tsm")),
        ("--dense_sample --non_local", {"dense_sample": True}, TemporalOptions("tsm", non_local="embedded_gaussian")),
        ("--shift_div 4 --shift_place block", {}, TemporalOptions("tsm", shift_div=4, shift_place="block")),
        (f"--tune_from={FILE} --dropout 0.8", {"tune_from": FILE, "dropout": 0.8}, TemporalOptions("tsm")),
    ],
)
def test_training_flags_of_tsm_keep_their_meaning(flags: str, meant: dict[str, Any], temporal: TemporalOptions) -> None:
    args = train_parser(None).parse_args(["kinetics", "RGB", *shlex.split(f"{TRAIN} {flags}")])
    wanted = {**TRAINED, **meant}
    assert {name: getattr(args, name) for name in wanted} == wanted
    assert temporal_options(args) == temporal


CENTRES_10_4 = [1, 3, 6, 8]


@pytest.mark.parametrize(
    ("frames", "segments", "sample", "length", "clips"),
    [
        (10, 4, "uniform-1", 1, [CENTRES_10_4]),
        (10, 4, "twice", 1, [CENTRES_10_4, [0, 2, 5, 7]]),
        (10, 4, "uniform-2", 1, [[0, 2, 5, 7], [1, 3, 6, 8]]),  # TAM's: the starts of the segments, then shifted by 1
        (100, 4, "twice", 1, [[12, 37, 62, 87], [0, 25, 50, 75]]),
        (100, 4, "uniform-2", 1, [[0, 25, 50, 75], [24, 49, 74, 99]]),  # TAM's: the starts and the ends of the segments
        (14, 4, "twice", 5, [CENTRES_10_4, [0, 2, 5, 7]]),  # a stack of 5 frames can start at 10 places
        (3, 4, "twice", 1, [[0, 1, 1, 2], [0, 0, 1, 2]]),
        (1, 2, "twice", 1, [[0, 0], [0, 0]]),
        (73, 2, "dense-10", 1, [[start, start + 32] for start in range(10)]),
        (40, 4, "dense-10", 1, [[0, 16, 32, 8]] * 10),  # shorter than the window, so it wraps around
    ],
)  # fmt: skip
def test_sampled_frames(frames: int, segments: int, sample: str, length: int, clips: list[list[int]]) -> None:
    assert view_indices(frames, segments, sample, length).tolist() == clips


@pytest.mark.parametrize(
    ("dataset", "module", "stored", "sample"),
    [
        ("kinetics", "tam", None, "dense-10"),
        ("kinetics", "tam", "uniform", "dense-10"),  # as in TAM's published commands
        ("kinetics", "tsm", None, "uniform-1"),
        ("kinetics", "none", None, "uniform-1"),
        ("kinetics", "tsm", "uniform", "uniform-1"),
        ("kinetics", "none", "uniform", "uniform-1"),
        ("kinetics", "tsm", "dense", "dense-10"),
        ("something", "tam", None, "uniform-1"),
        ("something", "tsm", "dense", "dense-10"),
    ],
)
def test_the_default_protocol(dataset: str, module: str, stored: str | None, sample: str) -> None:
    spec = ModelSpec("resnet50", 400, None, "RGB", TemporalOptions(module), own_head=False)
    meta = {} if stored is None else {"sampling": stored}
    assert default_sample(DATASETS[dataset], Checkpoint("w.pth", {}, spec, meta)) == sample


@pytest.mark.parametrize("flags", [("--twice_sample",), ("--test_crops=10",), ()])
def test_models_with_segments_of_their_own_are_fused(flags: tuple[str, ...], call: Call, tmp_path: Path) -> None:
    for number in range(3):
        media.write_video(tmp_path / f"{number}.mp4", 14 + number, seed=number)
    (tmp_path / "list.txt").write_text("".join(f"{number}.mp4 {14 + number} {number % 2}\n" for number in range(3)))
    files = []
    for segments in (2, 5):
        model = build_model("resnet18", 2, segments, temporal=TemporalOptions("tsm"))
        torch.nn.init.normal_(model.head.weight, std=0.5)
        files.append(f"TSM_custom_RGB_resnet18_shift8_blockres_avg_segment{segments}_e1.pth")
        torch.save({"state_dict": {f"module.{k}": v for k, v in model.state_dict().items()}}, tmp_path / files[-1])
    test = (
        "online_test_models.py",
        "custom",
        "--test_list",
        "list.txt",
        "--root_path",
        ".",
        "--output",
        "out",
        "-j",
        "0",
    )
    test += ("--input_size", "32", "--device", "cpu", *flags)
    for name, t in zip(files, ("2", "5"), strict=True):
        call(*test, "--weights", name, "--test_segments", t, "--save_scores", f"{t}.npz")
    call(*test, "--weights", ",".join(files), "--test_segments", "2,5", "--save_scores", "both.npz")
    two, five, both = (np.load(tmp_path / f"{name}.npz")["scores"] for name in ("2", "5", "both"))
    assert np.allclose(both, two + five, atol=1e-5) and np.abs(two - five).max() > 1e-3
    refused = call(*test, "--weights", ",".join(files), "--test_segments", "2,5,8", status=2)
    assert "--test_segments has 3 values for 2 models" in refused.err
