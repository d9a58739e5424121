"""Videos that would fill the memory are refused because of their shape, or reported if an allocation fails."""

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import media
import numpy as np
import pytest
import torch
from conftest import ROOT, Call
from PIL import Image
from small_runs import save_weights

from ops.common.device import Compute
from ops.common.errors import MediaError, memory_errors_as_media_errors
from ops.data.datasets import VideoItem
from ops.data.frames import FrameReader
from ops.data.pipelines import ClipShape, test_plan_for
from ops.data.transforms import MAX_ASPECT, scaled_size
from ops.data.videos import open_video
from ops.data.views import load_views, views_of
from ops.prepare.extract_frames import FrameOptions, extract_video
from ops.prepare.options import Size
from ops.testing.evaluate import score_item


@pytest.mark.parametrize(("height", "width"), [(2, 16000), (16000, 2), (1, 60000), (10, 161)])
def test_a_frame_far_longer_than_wide_is_not_scaled_by_its_short_side(height: int, width: int) -> None:
    with pytest.raises(ValueError, match=f"frames of {width} x {height} pixels"):
        scaled_size(height, width, 256)


@pytest.mark.parametrize(("height", "width"), [(10, 160), (160, 10), (1080, 5000)])
def test_panoramas_are_scaled(height: int, width: int) -> None:
    assert min(scaled_size(height, width, 256)) == 256 and max(scaled_size(height, width, 256)) <= 256 * MAX_ASPECT


@pytest.fixture
def ribbon(tmp_path: Path) -> Path:
    """A video of a few kilobytes that would take gigabytes if it was resized to a short side of 256."""
    frames = [np.full((2, 16000, 3), 40 * index, np.uint8) for index in range(4)]
    return media.write_video(tmp_path / "ribbon.mkv", codec="ffv1", frames=frames)


def test_a_video_of_extreme_shape_is_named_and_others_are_scored(ribbon: Path, tmp_path: Path, call: Call) -> None:
    media.write_video(tmp_path / "good.mp4", 9)
    (tmp_path / "list.txt").write_text("ribbon.mkv 4 0\ngood.mp4 9 1\n")
    save_weights(tmp_path / "w.pth.tar")
    flags = ["custom", "--weights", "w.pth.tar", "--test_list", "list.txt", "--root_path", ".", "--device", "cpu"]
    done = call("online_test_models.py", *flags, "-j", "0", "--input_size", "56", status=1)
    assert "not scored: ribbon.mkv: frames of 16000 x 2 pixels: one side is more than" in done.err
    assert "2 expected, 1 scored, 1 failed" in done.out
    done = call("tools/predict.py", "ribbon.mkv", "--weights", "w.pth.tar", "--device", "cpu", status=2)
    assert "ribbon.mkv: frames of 16000 x 2 pixels" in done.err


def test_a_video_of_extreme_shape_is_not_extracted(ribbon: Path, tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="frames of 16000 x 2 pixels"):
        extract_video(str(ribbon), "ribbon.mkv", str(tmp_path / "out"), FrameOptions(size=Size(short=256)))
    assert not (tmp_path / "out" / "ribbon").exists()
    assert extract_video(str(ribbon), "ribbon.mkv", str(tmp_path / "out"), FrameOptions())["frames"] == 4


def _opencv() -> None:
    cv2.resize(np.zeros((9, 9, 3), np.uint8), (2**30, 2**30))


def _numpy() -> None:
    np.empty(2**60, np.uint8)


def _torch() -> None:
    torch.empty(2**60, dtype=torch.uint8)


def _python() -> None:
    bytearray(2**60)


@pytest.mark.parametrize("allocate", [_numpy, _torch, _python, _opencv])
def test_an_allocation_that_fails_names_the_video(allocate: Callable[[], None]) -> None:
    with (
        pytest.raises(MediaError, match=r"x\.mp4: not enough memory to read it"),
        memory_errors_as_media_errors("x.mp4"),
    ):
        allocate()


def test_other_errors_are_left_alone() -> None:
    with pytest.raises(RuntimeError, match="other"), memory_errors_as_media_errors("x.mp4"):
        raise RuntimeError("other")


class TooLarge:
    """A reader and a video in one: memory runs out when it is opened, or when its frames are read."""

    path, problem = "x.mp4", ""

    def __init__(self, opens: bool) -> None:
        self.opens = opens

    @contextmanager
    def open(self, path: str, listed: int) -> Iterator["TooLarge"]:
        if not self.opens:
            bytearray(2**60)
        yield self

    def __len__(self) -> int:
        return 4

    def frames(self, indices: Sequence[int]) -> Iterator[Any]:
        bytearray(2**60)
        yield from ()


@pytest.mark.parametrize("opens", [False, True])
def test_memory_that_runs_out_while_a_video_is_read_names_it(opens: bool) -> None:
    video: Any = TooLarge(opens)
    choose, plan = lambda count: [np.arange(count)[None]], test_plan_for(ClipShape(8, "RGB", 224), 1, False)
    with pytest.raises(MediaError, match=r"x\.mp4: not enough memory to read it"):
        load_views(video, "x.mp4", -1, choose, plan)
    with pytest.raises(MediaError, match=r"x\.mp4: not enough memory to read it"):
        views_of(video, choose, plan)


def test_memory_that_runs_out_while_a_video_is_scored_costs_no_other() -> None:
    ensemble: Any = SimpleNamespace(scores=lambda *_: bytearray(2**60))
    args = argparse.Namespace(softmax=False, views_per_forward=1)
    outcome = score_item(args, ensemble, VideoItem(3, []), [], Compute(torch.device("cpu")))
    assert outcome == (None, "not enough memory to read it")


LIMITED = """
import resource, sys
sys.path[:0] = [{root!r}]
import numpy as np
from ops.common.errors import MediaError
from ops.data.frames import FrameReader
from ops.data.pipelines import ClipShape, test_plan_for
from ops.data.views import load_views
resource.setrlimit(resource.RLIMIT_AS, (16 << 30, 16 << 30))
plan = test_plan_for(ClipShape(8, "RGB", 224), 3, True)
choose = lambda count: [np.arange(count)[None]]
try:
    load_views(FrameReader("img_{{index:05d}}.png"), {folder!r}, 20_000, choose, plan)
except MediaError as error:
    print(error)
"""


def test_a_clip_that_does_not_fit_the_memory_is_named(tmp_path: Path) -> None:
    (tmp_path / "clip").mkdir()
    Image.new("RGB", (1600, 100)).save(tmp_path / "clip" / "img_00001.png")
    code = LIMITED.format(root=str(ROOT), folder=str(tmp_path / "clip"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == f"{tmp_path / 'clip'}: not enough memory to read it\n", done.stderr


def test_a_film_that_changes_its_size_gives_the_same_pixels_from_video_and_from_frames(tmp_path: Path) -> None:
    one = media.write_video(tmp_path / "one.ts", 6)
    other = media.write_video(tmp_path / "two.ts", 6, (64, 96), seed=1)
    film = tmp_path / "film.ts"
    film.write_bytes(one.read_bytes() + other.read_bytes())
    extract_video(str(film), "film.ts", str(tmp_path / "out"), FrameOptions("png"))
    plan = test_plan_for(ClipShape(4, "RGB", 32), 3, True)
    with open_video(film) as video:
        count = len(video)
        wanted = views_of(video, lambda frames: [np.arange(frames)[None]], plan)
    with FrameReader("img_{index:05d}.png").open(str(tmp_path / "out" / "film"), count) as folder:
        sizes = {tuple(frame.shape[1:]) for _, frame in folder.frames(range(count))}
        got = views_of(folder, lambda frames: [np.arange(frames)[None]], plan)
    assert sizes == {(48, 64), (64, 96)}
    assert torch.equal(got.frames, wanted.frames)
