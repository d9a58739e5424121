"""Testing on real videos gives the same pixels and logits as the published code (if the videos are available)."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Call
from fill import fill
from PIL import Image

from ops.data.frame_source import Reader
from ops.data.frames import FrameReader
from ops.data.pipelines import ClipShape, choose_views, test_plan_for
from ops.data.pyav_videos import VideoReader
from ops.data.sampling import parse_sample
from ops.data.videos import open_video
from ops.data.views import Views, load_views
from ops.models.recognizer import build_model

SHARED = Path(__file__).resolve().parents[3] / "shared"
REFERENCE = SHARED / "reference" / "videos.json"
pytestmark = pytest.mark.skipif(not REFERENCE.exists(), reason="the reference videos are not here")
CASES: dict[str, dict[str, Any]] = json.loads(REFERENCE.read_text()) if REFERENCE.exists() else {}
NUMBERS = np.load(REFERENCE.with_suffix(".npz")) if REFERENCE.exists() else {}


def views_of(case: dict[str, Any], reader: Reader, path: Path) -> Views:
    choose = partial(choose_views, segments=[8], sample=parse_sample(case["sample"]), new_length=1)
    plan = test_plan_for(ClipShape(8, "RGB", 224), case["crops"], case["full_res"])
    return load_views(reader, str(path), case["num_frames"], choose, plan)


def assert_published_pixels(name: str, views: Views) -> None:
    """The normalised views equal the stored ones, stacked by crop, clip, segment and colour as published."""
    model = build_model("resnet18", 2, 8)
    stacked = torch.cat([model.normalize(views.clip(c, views.clips[0])).flatten(0, 2) for c in range(views.crops)])
    assert list(stacked.shape) == CASES[name]["stacked_shape"]
    assert np.array_equal(stacked.flatten()[NUMBERS[f"{name}.positions"]].numpy(), NUMBERS[f"{name}.values"])
    assert np.allclose(stacked.mean((1, 2)).numpy(), NUMBERS[f"{name}.channel_means"], atol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_pixels_from_the_video(name: str) -> None:
    assert_published_pixels(name, views_of(CASES[name], VideoReader(), SHARED / "videos" / CASES[name]["video"]))


@pytest.mark.parametrize("name", CASES)
def test_pixels_from_frames_on_disk(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    with open_video(SHARED / "videos" / case["video"]) as source:
        assert len(source) == case["num_frames"]
        for index, frame in source.frames(sorted(set(case["indices"]))):
            Image.fromarray(frame.permute(1, 2, 0).numpy()).save(tmp_path / f"img_{index + 1:05d}.png")
    (tmp_path / "img_00001.png").touch()  # the template is found by the first frame
    assert_published_pixels(name, views_of(case, FrameReader("img_{index:05d}.png"), tmp_path))


@pytest.mark.parametrize("name", ["short_clip", "center"])
def test_logits_from_the_script(name: str, call: Call, tmp_path: Path) -> None:
    case = CASES[name]
    shapes = json.loads((Path(__file__).parents[1] / "reference" / "tensors_tanet_r50_8f_k400.json").read_text())
    torch.save({"state_dict": {f"module.{k}": v for k, v in fill(shapes).items()}}, tmp_path / "w.pth.tar")
    (tmp_path / "list.txt").write_text(f"{case['video']} {case['num_frames']} 0\n")
    arguments = ["kinetics", "--weights=w.pth.tar", "--test_list", "list.txt", "--root_path", SHARED / "videos"]
    arguments += ["--test_segments=8", f"--test_crops={case['crops']}", "--sample", case["sample"], "--batch_size", 8]
    arguments += [*(["--full_res"] if case["full_res"] else []), "--device", "cpu", "-j", 0, "--save_scores", "s.npz"]
    call("online_test_models.py", *arguments)
    ours, theirs = np.load(tmp_path / "s.npz")["scores"], NUMBERS[f"{name}.logits"]
    assert np.linalg.norm(ours - theirs) / np.linalg.norm(theirs) < 1e-4
