"""Training and testing with extreme settings: one class, one frame, 64 frames, one clip at a time."""

import json
from pathlib import Path

import media
import numpy as np
import pytest
from conftest import Call

VIDEOS = 4


@pytest.mark.filterwarnings("error::UserWarning:sklearn")
@pytest.mark.parametrize(
    ("classes", "segments", "batch", "flags"),
    [
        (1, 3, 2, ["--tam"]),
        (2, 1, 2, ["--tam"]),
        (2, 1, 4, ["--dense_sample"]),
        (3, 64, 1, ["--tam"]),
        (7, 2, 1, ["--tam"]),
    ],
    ids=["one class", "one frame", "one frame of a window", "64 frames", "one clip at a time"],
)
def test_training_and_testing_with_extreme_settings(
    classes: int, segments: int, batch: int, flags: list[str], tmp_path: Path, call: Call
) -> None:
    for number in range(VIDEOS):
        media.write_video(tmp_path / f"{number}.mp4", 9, (32, 32), seed=number)
    (tmp_path / "l.txt").write_text("".join(f"{number}.mp4 {number % classes}\n" for number in range(VIDEOS)))
    data = ("--root_path", ".", "--num_class", classes, "--input_size", 32, "--device", "cpu", "-j", 0)
    call("online_main.py", "custom", "RGB", "--train_list", "l.txt", "--val_list", "l.txt", *data, "--arch", "resnet18",
         "--pretrain", "none", "--num_segments", segments, "-b", batch, "--npb", "--epochs", 1, "--store_name", "run",
         *flags)  # fmt: skip
    weights = "checkpoints/run/ckpt.pth.tar"
    call("online_test_models.py", "custom", "--weights", weights, "--test_list", "l.txt", *data, "--batch_size", 3,
         "--save_scores", "one.npz", "--output", "out")  # fmt: skip
    call("online_test_models.py", "custom", "--weights", f"{weights},{weights}", "--test_list", "l.txt", *data,
         "--coeff", "1,0.5", "--save_scores", "two.npz", "--output", "fused")  # fmt: skip
    scores, labels = (np.load(tmp_path / "one.npz")[name] for name in ("scores", "labels"))
    assert scores.shape == (VIDEOS, classes) and np.isfinite(scores).all()
    ranked = [sorted(range(classes), key=lambda k: (-row[k], k)) for row in scores.tolist()]
    right = [order[0] == label for order, label in zip(ranked, labels, strict=True)]
    in_five = [label in order[:5] for order, label in zip(ranked, labels, strict=True)]
    means = [np.mean([hit for hit, label in zip(right, labels, strict=True) if label == k]) for k in set(labels)]
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    found = [metrics[name] for name in ("top1", "top5", "mean_class_accuracy")]
    assert found == pytest.approx([100 * np.mean(values) for values in (right, in_five, means)])
    confusion = np.zeros((classes, classes), int)
    np.add.at(confusion, (labels, [order[0] for order in ranked]), 1)
    assert (np.load(tmp_path / "out/confusion.npy") == confusion).all()
    assert np.allclose(np.load(tmp_path / "two.npz")["scores"], 1.5 * scores, rtol=1e-4, atol=1e-5)
