"""Resized videos keep every frame and its time, and optical flow shows the actual motion."""

import csv
import re
from pathlib import Path
from typing import Any

import av
import cv2
import media
import numpy as np
import pytest
from conftest import Call

from ops.common.errors import MediaError
from ops.data.dataset_configs import dataset_config
from ops.data.frames import frame_reader
from ops.data.videos import open_video
from ops.prepare.extract_frames import FrameOptions, extract_video
from ops.prepare.optical_flow import FlowOptions, extract_flow, flow_method, flow_to_pixels
from ops.prepare.options import Size
from ops.prepare.output_paths import PARTIAL
from ops.prepare.resize_video import ResizeOptions, resize_video, target_size


def times_of(path: Path) -> list[float]:
    with open_video(path) as source:
        return [time or 0.0 for time, _ in source.timed_images()]


def packets_of(path: Path) -> list[bool]:
    """For every packet, whether it holds a key frame."""
    with av.open(str(path)) as container:
        return [packet.is_keyframe for packet in container.demux(container.streams.video[0]) if packet.size]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("height", "width", "upscale", "wanted"),
    [
        (1080, 1920, False, (256, 456)),
        (1920, 1080, False, (456, 256)),
        (240, 426, False, (240, 426)),
        (240, 427, False, (240, 428)),
        (240, 426, True, (256, 454)),
        (256, 340, False, (256, 340)),
        (1, 99, False, (2, 100)),
    ],
)
def test_the_short_side_shrinks_and_numbers_are_even(
    height: int, width: int, upscale: bool, wanted: tuple[int, int]
) -> None:
    assert target_size(height, width, ResizeOptions(256, upscale=upscale)) == wanted


@pytest.mark.parametrize(
    ("name", "settings", "size"),
    [
        ("plain.mp4", {"count": 30}, (24, 32)),
        ("turned.mp4", {"rotation": 90}, (32, 24)),
        ("ten bits.mp4", {"pix_fmt": "yuv420p10le"}, (24, 32)),
        ("odd.avi", {"codec": "mjpeg", "pix_fmt": "yuvj444p", "size": (47, 63)}, (24, 32)),
        ("gray.mkv", {"pix_fmt": "gray", "b_frames": 2}, (24, 32)),
        ("small.mp4", {"size": (16, 20)}, (16, 20)),
    ],
)
def test_a_resized_video_shows_the_same_frames(
    tmp_path: Path, name: str, settings: dict[str, Any], size: tuple[int, int]
) -> None:
    path = media.write_video(tmp_path / name, **settings)
    made = resize_video(str(path), f"deep/{name}", str(tmp_path / "out"), ResizeOptions(24, gop=8, crf=4))
    new = (tmp_path / "out/deep" / name).with_suffix(".mp4")
    with open_video(path) as source, open_video(new) as target:
        pairs = list(zip(source.images(), target.images(), strict=True))
        assert made["decoded"] == made["claimed"] == len(source) == len(target) == len(pairs)
    for before, after in pairs:
        assert after.shape == (*size, 3)
        wanted = cv2.resize(before, size[::-1], interpolation=cv2.INTER_AREA)
        assert np.abs(after.astype(float) - wanted).mean() < 6
    assert np.allclose(times_of(new), times_of(path), atol=1e-3)
    keys = [place for place, is_key in enumerate(packets_of(new)) if is_key]
    assert keys[0] == 0 and max(np.diff([*keys, len(pairs)])) <= 8
    with av.open(str(new)) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"
        assert not container.streams.audio
    assert not any((tmp_path / "out" / PARTIAL).iterdir())


def test_frames_stay_at_their_irregular_times(tmp_path: Path) -> None:
    times = [100, 140, 150, 700, 1500, 1501, 1600]
    path = media.write_irregular(tmp_path / "x.mkv", times)
    resize_video(str(path), "x.mkv", str(tmp_path / "out"), ResizeOptions(24))
    assert np.allclose(times_of(tmp_path / "out/x.mp4"), (np.array(times) - 100) / 1000, atol=1e-4)


def test_a_video_cut_short_keeps_what_decodes_and_one_without_frames_leaves_nothing(tmp_path: Path) -> None:
    path = media.truncate(media.write_video(tmp_path / "x.mp4", 30), 0.6)
    made = resize_video(str(path), "x.mp4", str(tmp_path / "out"), ResizeOptions(24))
    assert 0 < made["decoded"] < made["claimed"] == 30
    (tmp_path / "page.mp4").write_text("<html>")
    with pytest.raises(MediaError, match="not a readable video"):
        resize_video(str(tmp_path / "page.mp4"), "page.mp4", str(tmp_path / "out"), ResizeOptions())
    assert [item.name for item in (tmp_path / "out").glob("[!.]*")] == ["x.mp4"]


def test_resizing_is_reproducible_and_keeps_foreign_files(tmp_path: Path) -> None:
    path = media.write_video(tmp_path / "x.mp4")
    out = tmp_path / "out"
    resize_video(str(path), "x.mp4", str(out), ResizeOptions(24))
    first = (out / "x.mp4").read_bytes()
    resize_video(str(path), "x.mp4", str(out), ResizeOptions(24))
    assert (out / "x.mp4").read_bytes() == first
    for content in (path.read_bytes(), b"notes"):
        (out / "x.mp4").write_bytes(content)
        with pytest.raises(MediaError, match="already exists and was not made by this tool"):
            resize_video(str(path), "x.mp4", str(out), ResizeOptions(24))
        assert (out / "x.mp4").read_bytes() == content


def test_resizing_a_tree_reports_bytes_and_decode_times(tmp_path: Path, call: Call) -> None:
    (tmp_path / "videos/a").mkdir(parents=True)
    media.write_video(tmp_path / "videos/a/--x y.avi", 20, size=(96, 128), codec="mjpeg", pix_fmt="yuvj420p")
    media.write_video(tmp_path / "videos/z.mp4", 20)
    (tmp_path / "videos/page.mp4").write_text("<html>")
    command = ["tools/resize_videos.py", "videos", "-o", "videos/small", "--size", "32", "--gop", "4", "-j", "1"]
    done = call(*command, status=1)
    assert "2 of 3 videos done, 0 of them cut short, 1 failed" in done.out
    assert "failed: page.mp4: not a readable video" in done.out
    assert re.search(r"bytes per video: [\d,]+ before, [\d,]+ after \(\d+%\)", done.out)
    assert re.search(r"decode time per training clip, median of 2 videos: [\d.]+ ms before, [\d.]+ ms", done.out)
    rows = {row["video"]: row for row in rows_of(tmp_path / "videos/small/report.csv")}
    assert rows["a/--x y.avi"]["file"] == "a/--x y.mp4"
    assert [rows["a/--x y.avi"][key] for key in ("frames", "size_before", "size_after")] == ["20", "128x96", "42x32"]
    assert len(rows_of(tmp_path / "videos/small/decode_times.csv")) == 2
    made = (tmp_path / "videos/small/z.mp4").stat().st_mtime_ns
    assert call(*command, status=1).out.splitlines()[0] == done.out.splitlines()[0], "its own results became sources"
    assert (tmp_path / "videos/small/z.mp4").stat().st_mtime_ns == made


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["videos", "-o", "videos"], "videos: contains the sources"),
        (["videos", "-o", "."], ".: contains the sources"),
        (["videos", "-o", "out"], "x.avi and x.mp4 would both become x.mp4; rename one of them"),
        (["videos", "-o", "out", "--size", "255"], "'255' must be an even number"),
        (["videos", "-o", "out", "--crf", "52"], "'52' must be an integer from 0 to 51"),
    ],
)
def test_resizing_refuses_wrong_folders_and_settings(
    arguments: list[str], message: str, tmp_path: Path, call: Call
) -> None:
    (tmp_path / "videos").mkdir()
    for name in ("x.avi", "x.mp4"):
        (tmp_path / "videos" / name).touch()
    done = call("tools/resize_videos.py", *arguments, status=2)
    assert re.search(message, done.err)
    assert {path.name for path in tmp_path.rglob("*")} == {"videos", "x.avi", "x.mp4"}


@pytest.mark.parametrize(
    ("motion", "value"), [(0, 128), (20, 255), (-20, 0), (99, 255), (-99, 0), (10, 191), (0.1, 128)]
)
def test_motion_becomes_a_gray_level(motion: float, value: int) -> None:
    assert flow_to_pixels(np.full((2, 3, 2), motion, np.float32), 20).tolist() == [[[value] * 2] * 3] * 2


def moved_pictures(count: int, x: int, y: int) -> list[media.Pixels]:
    """Pictures of a texture that moves `x` pixels to the right and `y` pixels down in each step."""
    noise = np.random.default_rng(0).integers(0, 256, (110, 130)).astype(np.uint8)
    texture = cv2.cvtColor(cv2.GaussianBlur(noise, (0, 0), 2) * 3, cv2.COLOR_GRAY2RGB)
    return [texture[30 - index * y :, 30 - index * x :][:72, :96].copy() for index in range(count)]


@pytest.mark.parametrize("method", ["dis", "farneback"])
@pytest.mark.parametrize(("x", "y"), [(3, -2), (-4, 1), (0, 0)])
def test_a_picture_moved_by_known_pixels_gives_that_flow(method: str, x: int, y: int) -> None:
    one, other = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in moved_pictures(2, x, y))
    flow = flow_method(method, "medium")(one, other)[12:-12, 12:-12]
    assert flow.shape == (48, 72, 2)
    assert np.allclose(np.median(flow, axis=(0, 1)), (x, y), atol=0.1)
    assert np.abs(flow - (x, y)).mean() < 0.3


@pytest.mark.parametrize("name", ["custom", "jester", "something"])
def test_flow_is_written_as_the_dataset_names_it(tmp_path: Path, name: str) -> None:
    path = media.write_video(tmp_path / "12.mkv", codec="ffv1", pix_fmt="bgr0", frames=moved_pictures(4, 3, -2))
    config = dataset_config(name)
    made = extract_flow(str(path), "12.mkv", str(tmp_path), FlowOptions(template=config.flow, bound=8))
    assert (made["frames"], made["claimed"]) == (4, 4)
    assert (tmp_path / "12" / config.flow.format(index=4, axis="y", video=12)).exists()
    with frame_reader(config, "Flow").open(str(tmp_path / "12"), 4) as source:
        flow = source.read(range(4)).numpy()
    assert flow.shape == (4, 2, 72, 96)
    assert np.abs(flow[3].astype(int) - flow[2]).max() == 0, "the last repeats the one before"
    in_pixels = flow[:, :, 12:-12, 12:-12].astype(float) * 16 / 255 - 8
    assert np.allclose(np.median(in_pixels, axis=(2, 3)), (3, -2), atol=0.15)


def test_flow_of_frames_is_that_of_their_video_up_to_the_first_gap(tmp_path: Path) -> None:
    path = media.write_video(tmp_path / "x.mp4", 6)
    extract_video(str(path), "x.mp4", str(tmp_path / "frames"), FrameOptions("png"))
    options = FlowOptions(size=Size(short=24), preset="fast")
    extract_flow(str(path), "x.mp4", str(tmp_path / "one"), options)
    extract_flow(str(tmp_path / "frames/x"), "x", str(tmp_path / "other"), options)
    files = {file.name: file.read_bytes() for file in (tmp_path / "one/x").iterdir()}
    assert files == {file.name: file.read_bytes() for file in (tmp_path / "other/x").iterdir()}
    assert files.keys() == {f"flow_{axis}_{index:05d}.jpg" for axis in "xy" for index in range(1, 7)}
    (tmp_path / "frames/x/img_00004.png").unlink()
    made = extract_flow(str(tmp_path / "frames/x"), "x", str(tmp_path / "other"), options)
    assert (made["decoded"], made["claimed"]) == (3, 5)
    assert len(list((tmp_path / "other/x").iterdir())) == 6


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "no frames named like"),
        ({"a.txt": b"x"}, "no frames named like"),
        ({"img_00001.png": b"x"}, "is not a readable image"),
    ],
)
def test_a_folder_without_frames_is_named(tmp_path: Path, files: dict[str, bytes], message: str) -> None:
    (tmp_path / "x").mkdir()
    for name, content in files.items():
        (tmp_path / "x" / name).write_bytes(content)
    with pytest.raises(MediaError, match=message):
        extract_flow(str(tmp_path / "x"), "x", str(tmp_path / "out"), FlowOptions())


def test_one_frame_has_no_motion_and_some_names_must_be_numbers(tmp_path: Path) -> None:
    media.write_video(tmp_path / "one.mp4", 1)
    media.write_video(tmp_path / "two.mp4", 2)
    with pytest.raises(MediaError, match="1 frame can be decoded, but two are needed"):
        extract_flow(str(tmp_path / "one.mp4"), "one.mp4", str(tmp_path), FlowOptions())
    with pytest.raises(MediaError, match="needs a video whose name is a number"):
        extract_flow(
            str(tmp_path / "two.mp4"), "two.mp4", str(tmp_path), FlowOptions(template="{video}_{axis}{index}.png")
        )
    assert not (tmp_path / "one").exists() and not (tmp_path / "two").exists()


def test_a_flow_training_starts_from_what_is_extracted(tmp_path: Path, call: Call) -> None:
    (tmp_path / "videos").mkdir()
    for number in range(2):
        media.write_video(tmp_path / f"videos/clip {number}.mp4", 9 + number, seed=number)
    done = call("tools/extract_flow.py", "videos", "-o", "flow", "-j", "1", "--method", "farneback")
    assert "2 of 2 videos done" in done.out
    rows = rows_of(tmp_path / "flow/report.csv")
    assert [(row["folder"], row["frames"]) for row in rows] == [("clip 0", "9"), ("clip 1", "10")]
    (tmp_path / "list.txt").write_text("".join(f"{row['folder']} {row['frames']} {n}\n" for n, row in enumerate(rows)))
    data = ["--train_list", "list.txt", "--val_list", "list.txt", "--root_path", "flow", "--num_class", "2"]
    model = ["--arch", "resnet18", "--pretrain", "none", "--num_segments", "2", "--input_size", "32", "--device", "cpu"]
    run = ["-b", "2", "-j", "0", "--epochs", "1", "--max_steps", "1", "--root_log", "runs", "--root_model", "runs"]
    call("main.py", "custom", "Flow", *data, *model, *run, "--store_name", "x")
    assert (tmp_path / "runs/x/ckpt.pth.tar").exists()


def test_flow_of_frames_is_not_written_among_them(tmp_path: Path, call: Call) -> None:
    media.write_frames(tmp_path / "frames/x", 2)
    for place in ("frames", "."):
        done = call("tools/extract_flow.py", "frames", "--kind", "frames", "-o", place, status=2)
        assert done.err == f"error: {place}: contains the sources; give another folder with -o\n"
    done = call("tools/extract_flow.py", "frames/x", "--kind", "frames", "-o", "flow", "-j", "1")
    assert len(list((tmp_path / "flow/x").iterdir())) == 4
