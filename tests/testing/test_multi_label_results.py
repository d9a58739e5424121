"""Tests of videos with several labels: scores, result files, and the tools that read them, against plain numbers."""

import csv
import json
from pathlib import Path
from typing import Any

import media
import numpy as np
import pytest
import torch
from conftest import Call
from dialects import distinct_model

from ops.models.checkpoint import write_checkpoint
from ops.predict.predictor import open_predictor

NAMES = ["jump", "run, fast", "sit", "swim", "wave"]
LABELS = ("0,2", "-", "1", "", "0,1,2", "2,3")
TEST = ["online_test_models.py", "custom", "--test_list", "l.txt", "--root_path", ".", "--device", "cpu", "-j", "0"]
TEST += ["--sample", "uniform-2", "--test_crops", "3", "--weights"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Six videos, of which one has unknown labels and one cannot be read; two such models, and a usual one."""
    for number in range(len(LABELS) - 1):
        media.write_video(tmp_path / f"{number}.mp4", 8, seed=number)
    (tmp_path / "l.txt").write_text("".join(f"{number}.mp4 8 {of or -1}\n" for number, of in enumerate(LABELS)))
    for name, several in (("a", True), ("b", True), ("single", False)):
        model = distinct_model(num_segments=2)
        meta = {"input_size": 32, "class_names": NAMES, **({"multi_label": True} if several else {})}
        write_checkpoint(tmp_path / f"{name}.pth", model, meta, best_prec1=61.5, epoch=1)
    return tmp_path


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def metrics_of(folder: Path) -> dict[str, Any]:
    metrics: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    return metrics


def test_probabilities_are_averaged_over_views_and_ranked_by_class(data: Path, call: Call) -> None:
    from sklearn.metrics import average_precision_score, precision_recall_fscore_support

    done = call(*TEST, "a.pth", "--save_scores", "s.npz", "--output", "out", status=1)
    stored = np.load(data / "s.npz")
    predictor = open_predictor("a.pth", sample="uniform-2", crops=3)
    expected = []
    for number in range(5):
        views = predictor.views(str(data / f"{number}.mp4"))
        each = [views.clip(crop, clip) for crop in range(3) for clip in views.clips[0]]
        with torch.inference_mode():
            expected.append(predictor.model(torch.stack(each)).double().sigmoid().mean(0).numpy())
    scores = stored["scores"][:5]
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-6)
    assert stored["ok"].tolist() == [True] * 5 + [False] and np.isnan(stored["scores"][5]).all()
    assert stored["targets"][4].tolist() == [True, True, True, False, False] and not stored["targets"][[1, 3]].any()

    counted = [0, 1, 2, 4]
    wanted, ranked = stored["targets"][counted], scores[counted]
    precisions = [100 * average_precision_score(wanted[:, k], ranked[:, k]) for k in range(3)]
    metrics = metrics_of(data / "out")
    assert metrics["mAP"] == pytest.approx(np.mean(precisions)) and metrics["classes_in_mAP"] == 3
    assert (metrics["expected"], metrics["scored"], metrics["unlabelled"], metrics["multi_label"]) == (6, 5, 1, True)
    assert "top1" not in metrics and metrics["averaging"] == "mean of the sigmoid scores over views"
    assert f"mAP {metrics['mAP']:.2f} %; at probability 0.5" in done.out and "2 of 5 classes left out" in done.out
    assert "mean of the sigmoid scores" in metrics["protocol"]
    found = precision_recall_fscore_support(wanted[:, :3], ranked[:, :3] >= 0.5, zero_division=0)[:3]
    for name, values in zip(("macro_precision", "macro_recall", "macro_f1"), found, strict=True):
        assert metrics[name] == pytest.approx(100 * values.mean())
    classes = rows_of(data / "out" / "per_class.csv")
    assert [row["name"] for row in classes] == NAMES and [int(row["videos"]) for row in classes] == [2, 2, 2, 0, 0]
    assert [float(row["average_precision"]) for row in classes[:3]] == pytest.approx(precisions, abs=0.01)
    assert [float(row["recall"]) for row in classes[:3]] == pytest.approx(100 * found[1], abs=0.01)
    assert classes[3]["average_precision"] == ""
    rows = rows_of(data / "out" / "predictions.csv")
    order = np.argsort(-scores[0], kind="stable")
    assert rows[0]["label"] == "jump;sit" and rows[0]["top5"] == ";".join(NAMES[k] for k in order)
    assert rows[0]["probabilities"] == ";".join(f"{scores[0, k]:.4f}" for k in order) and rows[5]["ok"] == "False"
    assert rows[0]["prediction"] == ";".join(NAMES[k] for k in np.flatnonzero(scores[0] >= 0.5))
    assert {path.name for path in (data / "out").iterdir() if path.suffix != ".lock"} >= {
        "per_class.csv",
        "metrics.json",
    }
    assert not (data / "out" / "confusion.npy").exists() and not (data / "out" / "mistakes.csv").exists()

    call(*TEST, "a.pth", "--output", "out", status=1)  # its own results may be replaced
    call(*TEST, "b.pth", "--save_scores", "b.npz", "--output", "b", status=1)
    call(*TEST, "a.pth,b.pth", "--coeff", "3,1", "--save_scores", "both.npz", "--output", "both", status=1)
    both = 0.75 * scores + 0.25 * np.load(data / "b.npz")["scores"][:5]
    np.testing.assert_allclose(np.load(data / "both.npz")["scores"][:5], both, rtol=1e-5)

    call("tools/report.py", "one=out", "two=both", "--output", "r.html")
    page = (data / "r.html").read_text()
    assert "mAP %" in page and f">{metrics['mAP']:.2f}<" in page and "average precision %" in page
    assert "Confusion" not in page and "Missing" not in page and "Comparison by class" not in page
    assert "mAP %" in call("tools/compare.py", "one=out").out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["a.pth,single.pth"], "a.pth has several labels per video, but single.pth has one: they cannot be fused"),
        (["a.pth", "--softmax"], "--softmax: a.pth has several labels per video"),
        (["a.pth", "--topk", "1", "3"], "--topk: a.pth has several labels per video"),
        (["a.pth", "--csv_file", "p.csv"], "--csv_file has one class per video"),
        (["a.pth,b.pth", "--coeff", "1,-1"], "--coeff must be above 0"),
        (["single.pth"], "l.txt:1: several labels, or unknown columns; --multi_label trains on several"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(arguments: list[str], says: str, data: Path, call: Call) -> None:
    err = call(*TEST, *arguments, status=2).err
    assert says in err and len(err.splitlines()) == 1


def test_the_likely_classes_of_a_video_are_predicted(data: Path, call: Call) -> None:
    call(*TEST, "a.pth", "--save_scores", "s.npz", "--output", "out", status=1)
    scores = np.load(data / "s.npz")["scores"][0]
    predict = ["tools/predict.py", "0.mp4", "--weights", "a.pth", "--device", "cpu", "--sample", "uniform-2"]
    predict += ["--test_crops", "3"]
    lines = call(*predict, "--json", "p.json", "--csv", "p.csv").out.splitlines()
    likely = [k for k in np.argsort(-scores, kind="stable") if scores[k] >= 0.5]
    shown = [line.rsplit("  ", 1)[1].strip() for line in lines[1:]]
    assert 0 < len(likely) < 5 and shown == [NAMES[k] for k in likely]
    video = json.loads((data / "p.json").read_text())["videos"][0]
    assert np.array(video["probabilities"], np.float32).tobytes() == scores.tobytes() and "logits" not in video
    assert len(video["top"]) == 5 and float(rows_of(data / "p.csv")[0]["probability_1"]) == pytest.approx(scores.max())
    assert len(call(*predict, "--topk", "4").out.splitlines()) == 5
    assert len(call(*predict, "--threshold", "0").out.splitlines()) == 6
    assert "no class with a probability of at least 0.9999" in call(*predict, "--threshold", "0.9999").out
    listed = call("tools/predict.py", "--list", "l.txt", "--weights", "a.pth", "--device", "cpu", status=1)
    assert "videos: 6 expected, 5 scored, 1 failed" in listed.out
    said = call("tools/show_checkpoint.py", "a.pth").out
    assert "of which a video may have several" in said and "best validation mAP 61.50 %" in said
    pytest.importorskip("onnx")
    from ops.export.exported_model import facts_for_users

    facts = [facts_for_users(open_predictor(str(data / f"{name}.pth")), 32, "fp32") for name in ("a", "single")]
    assert [each.get("multi_label") for each in facts] == [True, None]
    call("tools/explain.py", "0.mp4", "--weights", "a.pth", "--device", "cpu", "--output", "e")
