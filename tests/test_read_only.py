"""Output folders that cannot be written: one line that names them and status 2, and nothing is begun."""

import os
from collections.abc import Iterator
from pathlib import Path

import media
import pytest
import torch
from conftest import Call, modes_count

from ops.models.recognizer import build_model

WEIGHTS = ("--weights", "w.pth.tar", "--device", "cpu")
LISTS = ("--root_path", "clips", "--num_class", "2", "-j", "0", "--input_size", "32")
TRAIN = ("custom", "RGB", "--train_list", "l.txt", "--val_list", "l.txt", *LISTS, "--arch", "resnet18", "--npb")
TRAIN += ("--pretrain", "none", "--num_segments", "3", "-b", "2", "--epochs", "1", "--device", "cpu")

COMMANDS = {
    "training": ("online_main.py", *TRAIN, "--root_model", "out", "--root_log", "out"),
    "a run folder": ("online_main.py", *TRAIN, "--root_model", ".", "--root_log", "logs", "--store_name", "out"),
    "the logs": ("online_main.py", *TRAIN, "--root_model", "runs", "--root_log", ".", "--store_name", "out"),
    "test": ("online_test_models.py", "custom", *WEIGHTS, "--test_list", "l.txt", *LISTS, "--output", "out"),
    "scores": ("online_test_models.py", "custom", *WEIGHTS, "--test_list", "l.txt", *LISTS, "--save_scores", "out/s"),
    "frames": ("tools/extract_frames.py", "clips", "-j", "1", "-o", "out"),
    "flow": ("tools/extract_flow.py", "clips", "-j", "1", "-o", "out"),
    "resized": ("tools/resize_videos.py", "clips", "-j", "1", "-o", "out"),
    "lists": ("tools/gen_labels.py", "folder", "--data", "clips", "--out", "out"),
    "check": ("tools/check_dataset.py", "custom", "--train_list", "l.txt", "--val_list", "l.txt", "--num_class", "2",
              "--root_path", "clips", "-j", "1", "--output", "out"),
    "timelines": ("tools/predict.py", "clips", *WEIGHTS, "--timeline", "out"),
    "drawings": ("tools/predict.py", "clips", *WEIGHTS, "--save", "out"),
    "table": ("tools/predict.py", "clips", *WEIGHTS, "--csv", "out/all.csv"),
    "explanations": ("tools/explain.py", "clips/a/a.mp4", *WEIGHTS, "--output", "out"),
    "page": ("tools/report.py", "results", "--output", "out/page.html"),
    "converted": ("tools/convert_checkpoint.py", "w.pth.tar", "out/w.safetensors"),
    "ONNX": ("tools/export.py", "out/w.onnx", "--weights", "w.pth.tar"),
}  # fmt: skip


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """An empty folder `out` that nothing can be written in, beside what the commands read."""
    for seed, name in enumerate(("a/a.mp4", "b/b.mp4")):
        (tmp_path / "clips" / name).parent.mkdir(parents=True)
        media.write_video(tmp_path / "clips" / name, 8, seed=seed)
    (tmp_path / "l.txt").write_text("a/a.mp4 8 0\nb/b.mp4 8 1\n")
    (tmp_path / "results").mkdir()
    (tmp_path / "results/metrics.json").write_text('{"expected": 1, "scored": 1, "failed": 0}')
    torch.save({"state_dict": build_model("resnet18", 2, 3).state_dict()}, tmp_path / "w.pth.tar")
    (tmp_path / "out").mkdir(mode=0o555)
    with modes_count():
        yield tmp_path / "out"


@pytest.mark.parametrize("what", COMMANDS)
def test_it_is_said_in_one_line_and_nothing_is_begun(what: str, read_only: Path, call: Call) -> None:
    before = sorted(read_only.parent.iterdir())
    said = call(*COMMANDS[what], status=2).err
    place = read_only.parent / said.removeprefix("error: ").split(":")[0]
    assert place.is_relative_to(read_only), said
    assert said.endswith("(Permission denied)\n") and said.count("\n") == 1 and not os.listdir(read_only), said
    assert [path for path in sorted(read_only.parent.iterdir()) if path not in before] == []
