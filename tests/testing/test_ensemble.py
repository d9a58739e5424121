"""Fused scores agree with a plain recomputation from the scores files of the single models."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import media
import numpy as np
import pytest
import torch
from conftest import Call
from numpy.typing import NDArray

from ops.models.recognizer import Recognizer, build_model
from ops.models.temporal_options import TemporalOptions

CLASSES, VIDEOS = 7, 5
COEFFS = (0.7, 1.9)
MODELS: dict[str, tuple[str, int, int, str]] = {
    "tanet": ("resnet18", 3, 32, "tam"),
    "tsm": ("mobilenet_v2", 4, 48, "tsm"),
}
"""File name → architecture, segments, input size, temporal module."""

Scores = NDArray[np.float64]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Frame folders, of which the fourth is missing, and two models that differ in everything except the classes."""
    for number in range(VIDEOS):
        media.write_frames(tmp_path / str(number), 9, "img_{index:05d}.jpg", (56, 72), seed=number)
    shutil.rmtree(tmp_path / "3")
    (tmp_path / "l.txt").write_text("".join(f"{number} 9 {number % CLASSES}\n" for number in range(VIDEOS)))
    for name, (arch, segments, size, module) in MODELS.items():
        options: Any = TemporalOptions(module=module)  # type: ignore[arg-type]
        model = build_model(arch, CLASSES, segments, tam=module == "tam", temporal=options)
        model.head.weight.data.normal_(std=0.1)
        set_batch_norms(model, size)
        meta = {"input_size": size, "num_segments": segments, "temporal": module}
        torch.save({"state_dict": model.state_dict(), "meta": meta}, tmp_path / f"{name}.pth.tar")
    return tmp_path


def set_batch_norms(model: Recognizer, size: int) -> None:
    """Set the batch norms to the statistics of real clips; otherwise a new model gives all videos similar scores."""
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = 1.0
    clips = [[media.draw(time, (size, size), seed) for time in range(model.num_segments)] for seed in range(9, 13)]
    with torch.no_grad():
        model.train()(torch.from_numpy(np.array(clips)).permute(0, 1, 4, 2, 3).contiguous())


def softmax(logits: Scores) -> Scores:
    """The softmax of each row."""
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


@pytest.mark.parametrize("flags", [(), ("--softmax",), ("--runtime", "onnxruntime")], ids=" ".join)
def test_fused_scores_are_the_weighted_sum_of_single_ones(flags: tuple[str, ...], data: Path, call: Call) -> None:
    if "--runtime" in flags:
        pytest.importorskip("onnxruntime")
    views = ("--test_list", "l.txt", "--root_path", ".", "--num_class", CLASSES, "--sample", "uniform-2",
             "--test_crops", "3", "--device", "cpu", "-j", "0", "--output", "out")  # fmt: skip
    test = ("test_models.py", "custom", "--weights")
    single = []
    for name, (_, segments, *_) in MODELS.items():
        call(*test, f"{name}.pth.tar", *views, "--test_segments", segments, "--save_scores", f"{name}.npz", status=1)
        single.append(np.load(data / f"{name}.npz"))
    segments = ",".join(str(settings[1]) for settings in MODELS.values())
    coeffs = ",".join(map(str, COEFFS))
    call(*test, ",".join(f"{name}.pth.tar" for name in MODELS), *views, "--test_segments", segments, "--coeff", coeffs,
         *flags, "--save_scores", "both.npz", status=1)  # fmt: skip
    fused = np.load(data / "both.npz")
    ok = np.arange(VIDEOS) != 3
    logits = [scores["scores"][ok].astype(np.float64) for scores in single]
    assert all(scores.std(0).mean() > 0.05 for scores in logits)  # the scores differ between videos
    parts = list(map(softmax, logits)) if "--softmax" in flags else logits
    expected = COEFFS[0] * parts[0] + COEFFS[1] * parts[1]
    for stored in (*single, fused):
        assert stored["ok"].tolist() == ok.tolist() and np.isnan(stored["scores"][~ok]).all()
        assert stored["paths"].tolist() == list("01234") and stored["labels"].tolist() == list(range(VIDEOS))
    assert np.allclose(fused["scores"][ok], expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    others = (
        COEFFS[1] * parts[0] + COEFFS[0] * parts[1],
        softmax(COEFFS[0] * logits[0] + COEFFS[1] * logits[1]),
        *parts,
    )
    assert not any(np.allclose(expected, other, rtol=1e-2, atol=1e-2) for other in others)
    assert_files_say(data / "out", expected, np.arange(VIDEOS)[ok])


def assert_files_say(out: Path, scores: Scores, labels: NDArray[np.int64]) -> None:
    """The accuracies and predictions in the result files are those of `scores`."""
    ranked = np.argsort(-scores, 1, kind="stable")
    metrics = json.loads((out / "metrics.json").read_text())
    right, in_five = ranked[:, 0] == labels, (ranked[:, :5] == labels[:, None]).any(1)
    assert (metrics["top1"], metrics["top5"]) == pytest.approx((100 * right.mean(), 100 * in_five.mean()))
    with (out / "predictions.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["ok"] == "True"]
    assert [int(row["prediction"]) for row in rows] == ranked[:, 0].tolist()
    assert [float(row["score"]) for row in rows] == pytest.approx(scores.max(1).tolist(), rel=1e-3)
