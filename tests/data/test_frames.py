"""Frame folders: finding their files, reading their frames, and reporting missing and broken ones."""

import argparse
import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from media import draw, truncate, write_flow, write_frames
from PIL import Image
from torch import Tensor

from ops.common.errors import InputError, MediaError, TruncatedMediaError
from ops.data.dataset_configs import dataset_config
from ops.data.frames import FrameReader, FrameTemplate, detect_template, frame_reader
from ops.data.lists import Records, read_records
from ops.data.options import frame_template

OWN = "img_{index:05d}.jpg"
FLOW = "flow_{axis}_{index:05d}.jpg"


def read(reader: FrameReader, folder: Path, num_frames: int, indices: Sequence[int]) -> Tensor:
    with reader.open(str(folder), num_frames) as source:
        return source.read(indices)


def records_of(folder: Path, *lines: str) -> Records:
    path = folder / "list.txt"
    path.write_text("\n".join(lines))
    return read_records(path, counts_in_pairs=True)


def expected(indices: Sequence[int], size: tuple[int, int] = (48, 64)) -> Tensor:
    return torch.from_numpy(np.stack([draw(index, size) for index in indices])).permute(0, 3, 1, 2)


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize(
    ("template", "own"),
    [
        ("img_{index:05d}.png", OWN),
        ("img_{index:05d}.jpg", OWN),
        ("img_{index:05d}.jpeg", OWN),
        ("img_{index:05d}.webp", OWN),
        ("{index:05d}.jpg", OWN),
        ("{index:06d}.jpg", OWN),
        ("image_{index:05d}.jpg", OWN),
        ("img_{index:06d}.png", OWN),
        ("frame_{index:06d}.bmp", OWN),
        ("frame{index:06d}.jpg", OWN),
        ("img_{index:05d}.JPG", OWN),
        ("{index:05d}.PNG", OWN),
        ("{index:04d}.jpg", OWN),
        ("{index:03d}.jpg", OWN),
        ("{index:d}.jpg", OWN),
        ("frame{index:d}.jpg", OWN),
        ("frame_{index:d}.jpg", OWN),
        ("frame-{index:04d}.jpg", OWN),
        ("frame{index:04d}.jpg", OWN),
        ("image-{index:03d}.jpeg", OWN),
        ("shot {index:02d}.png", "shot {index:02d}.png"),
        ("img_{index:05d}.png", "{index:06d}.jpg"),
        ("still-{index:d}.tif", "still-{index:d}.tif"),
    ],
)
def test_the_usual_names_are_found_from_0_or_from_1(tmp_path: Path, template: str, own: str, first: int) -> None:
    folder = write_frames(tmp_path / "x", 3, template, first=first)
    assert detect_template(str(folder), own, flow=False) == FrameTemplate(template, first)
    assert read(FrameReader(own), folder, 3, [2, 0]).shape == (2, 3, 48, 64)


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize(
    ("template", "own"),
    [
        ("flow_{axis}_{index:05d}.png", FLOW),
        ("flow_{axis}_{index:06d}.jpg", FLOW),
        ("{axis}_{index:05d}.jpg", FLOW),
        ("{index:06d}.png", "{index:06d}.jpg"),
        ("{index:06d}.png", FLOW),
    ],
)
def test_flow_is_found_as_two_images_or_as_one(tmp_path: Path, template: str, own: str, first: int) -> None:
    folder = write_flow(tmp_path / "x", 3, template, first=first)
    assert detect_template(str(folder), own, flow=True) == FrameTemplate(template, first)


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("shot-%04d.png", "shot-{index:04d}.png"),
        ("%d.jpg", "{index:d}.jpg"),
        ("img_{:05}.jpg", "img_{index:05}.jpg"),
        ("img_{:05d}.jpg", "img_{index:05d}.jpg"),
        ("{}.jpg", "{index:d}.jpg"),
        ("{index:05d}.jpg", "{index:05d}.jpg"),
        ("flow_{axis}_%05d.jpg", "flow_{axis}_{index:05d}.jpg"),
        ("{video:06d}-{axis}_{index:05d}.jpg", "{video:06d}-{axis}_{index:05d}.jpg"),
        ("frame.jpg", None),
        ("%05d_%05d.jpg", None),
        ("%05d", None),
        ("%s.jpg", None),
        ("{name}_%05d.jpg", None),
        ("{index.real:05d}.jpg", None),
        ("a/%05d.jpg", None),
        ("{%05d.jpg", None),
        ("}%05d.jpg", None),
    ],
)
def test_names_of_frames_can_be_given(text: str, pattern: str | None) -> None:
    if pattern is None:
        with pytest.raises(argparse.ArgumentTypeError, match="must be a file name with one number, such as img_%05d"):
            frame_template(text)
    else:
        assert frame_template(text) == pattern
        assert FrameTemplate(pattern).name("7", 4, "x").endswith((".jpg", ".png"))


def test_the_datasets_own_names_come_before_the_usual_ones(tmp_path: Path) -> None:
    write_frames(tmp_path, 3, "{index:05d}.png")
    write_frames(tmp_path, 3, "{index:06d}.png", first=0)
    assert detect_template(str(tmp_path), "{index:06d}.jpg", flow=False) == FrameTemplate("{index:06d}.png", 0)
    assert detect_template(str(tmp_path), "{index:05d}.jpg", flow=False) == FrameTemplate("{index:05d}.png", 1)


def test_rgb_and_flow_in_one_folder_are_told_apart(tmp_path: Path) -> None:
    write_frames(tmp_path, 3)
    write_flow(tmp_path, 3, size=(24, 32))
    assert read(FrameReader(OWN), tmp_path, 3, [0]).shape == (1, 3, 48, 64)
    assert read(FrameReader(FLOW, flow=True), tmp_path, 3, [0]).shape == (1, 2, 24, 32)


@pytest.mark.parametrize(
    ("files", "there"),
    [
        (["shot7.png", "notes.txt"], "notes.txt, shot7.png"),
        (["img_00002.jpg"], "img_00002.jpg"),
        ([], "nothing"),
    ],
)
def test_unknown_names_are_refused_with_what_was_looked_for(tmp_path: Path, files: list[str], there: str) -> None:
    for name in files:
        (tmp_path / name).touch()
    with pytest.raises(InputError) as error:
        detect_template(str(tmp_path), OWN, flow=False)
    for part in (
        str(tmp_path),
        "img_{index:05d}",
        "frame_{index:06d}",
        ".jpg",
        "0 or 1",
        f"it contains {there}",
        "--frame_template",
    ):
        assert part in str(error.value)


def test_half_a_flow_pair_is_no_frame(tmp_path: Path) -> None:
    write_flow(tmp_path, 2)
    for index in (1, 2):
        (tmp_path / f"flow_y_{index:05d}.png").unlink()
    with pytest.raises(InputError, match="no frames named like flow_"):
        detect_template(str(tmp_path), FLOW, flow=True)


@pytest.mark.parametrize("first", [0, 1])
def test_frames_are_the_pixels_on_disk(tmp_path: Path, first: int) -> None:
    folder = write_frames(tmp_path / "x", 5, first=first)
    frames = read(FrameReader(OWN), folder, 5, range(5))
    assert frames.dtype == torch.uint8
    assert torch.equal(frames, expected(range(5)))


def test_frames_come_in_any_order_and_repeat(tmp_path: Path) -> None:
    write_frames(tmp_path, 5)
    assert torch.equal(read(FrameReader(OWN), tmp_path, 5, [3, 0, 3, 4, 0]), expected([3, 0, 3, 4, 0]))


def test_frames_of_another_size_are_resized_to_the_first(tmp_path: Path) -> None:
    write_frames(tmp_path, 2)
    Image.fromarray(draw(1, (20, 30))).save(tmp_path / "img_00002.png")
    assert read(FrameReader(OWN), tmp_path, 2, [1, 0]).shape == (2, 3, 48, 64), "the first in time, not in the request"
    assert read(FrameReader(OWN), tmp_path, 2, [1]).shape == (1, 3, 20, 30)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1"])
def test_images_of_any_mode_become_rgb(tmp_path: Path, mode: str) -> None:
    Image.fromarray(draw(0)).convert(mode).save(tmp_path / "img_00001.jpg", format="TIFF")
    assert read(FrameReader(OWN), tmp_path, 1, [0]).shape == (1, 3, 48, 64)


@pytest.mark.parametrize("template", ["flow_{axis}_{index:05d}.png", "{index:06d}.png"])
def test_flow_has_x_and_y(tmp_path: Path, template: str) -> None:
    folder = write_flow(tmp_path / "x", 4, template)
    assert torch.equal(read(FrameReader(FLOW, flow=True), folder, 4, [2, 1]), expected([2, 1])[:, :2])


def test_flow_named_after_its_video_is_found(tmp_path: Path) -> None:
    reader = frame_reader(dataset_config("something"), "Flow")
    folder = write_flow(tmp_path / "74225", 3, "074225-{axis}_{index:05d}.png")
    prepared = reader.prepare(records_of(tmp_path, "missing 3 0", "74225 3 0"), tmp_path)
    assert prepared.template == FrameTemplate("{video:06d}-{axis}_{index:05d}.png")
    assert torch.equal(read(prepared, folder, 3, [2, 1]), expected([2, 1])[:, :2])
    other = write_flow(tmp_path / "seven", 3, "000007-{axis}_{index:05d}.png")
    with pytest.raises(MediaError, match="needs a number as folder name"):
        read(prepared, other, 3, [0])


def test_the_first_folder_there_is_names_the_template_for_all(tmp_path: Path) -> None:
    write_frames(tmp_path / "a b", 3, "frame_{index:05d}.png", first=0)
    reader = FrameReader(OWN).prepare(records_of(tmp_path, "gone 3 0", "a b 3 0"), tmp_path)
    assert reader.template == FrameTemplate("frame_{index:05d}.png", 0)


def test_a_list_without_any_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none of its paths is a folder of frames in"):
        FrameReader(OWN).prepare(records_of(tmp_path, "gone 3 0", "list.txt 3 0"), tmp_path)


def test_an_empty_folder_at_the_head_of_the_list_does_not_stop_the_others(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write_frames(tmp_path / "full", 3)
    FrameReader(OWN).prepare(records_of(tmp_path, "empty 3 0", "full 3 0"), tmp_path)


@pytest.mark.parametrize(
    ("missing", "asked", "readable"), [([3, 4, 5], [0, 1, 5], 3), ([2, 4], [1, 4], 2), ([0], [0, 1], 0), ([1], [1], 1)]
)
def test_a_missing_frame_tells_how_many_can_be_read(
    tmp_path: Path, missing: list[int], asked: list[int], readable: int
) -> None:
    write_frames(tmp_path, 6)
    reader = FrameReader(OWN, template=FrameTemplate("img_{index:05d}.png"))
    assert len(read(reader, tmp_path, 6, asked)) == len(asked)
    for index in missing:
        (tmp_path / f"img_{index + 1:05d}.png").unlink()
    with pytest.raises(TruncatedMediaError) as error:
        read(reader, tmp_path, 6, asked)
    assert (error.value.claimed, error.value.readable) == (6, readable)
    assert str(error.value) == f"{tmp_path}: only {readable} of 6 frames could be read"


def test_half_a_flow_pair_ends_the_video(tmp_path: Path) -> None:
    write_flow(tmp_path, 6)
    (tmp_path / "flow_y_00004.png").unlink()
    reader = FrameReader(FLOW, flow=True)
    assert len(read(reader, tmp_path, 6, [0, 2])) == 2
    with pytest.raises(TruncatedMediaError, match="only 3 of 6"):
        read(reader, tmp_path, 6, [0, 3])


def test_frames_before_a_gap_are_delivered_before_the_error(tmp_path: Path) -> None:
    write_frames(tmp_path, 2)
    given = []
    with FrameReader(OWN).open(str(tmp_path), 9) as source, pytest.raises(TruncatedMediaError):
        assert len(source) == 9, "what the list says"
        for index, _ in source.frames([0, 1, 2, 3]):
            given.append(index)
    assert given == [0, 1]


def bomb() -> bytes:
    """A small PNG file that claims to be 60,000 pixels square."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not an image at all",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff\xe0",
        bomb(),
    ],
    ids=["empty", "text", "png head", "jpeg head", "huge"],
)
def test_a_broken_image_is_named(tmp_path: Path, content: bytes) -> None:
    write_frames(tmp_path, 3)
    (tmp_path / "img_00002.png").write_bytes(content)
    reader = FrameReader(OWN)
    assert len(read(reader, tmp_path, 3, [0, 2])) == 2
    with pytest.raises(MediaError, match=r"img_00002\.png is not a readable image") as error:
        read(reader, tmp_path, 3, [0, 1])
    assert not isinstance(error.value, TruncatedMediaError)
    assert error.value.path == str(tmp_path)


@pytest.mark.parametrize("extension", ["png", "jpg", "webp", "bmp"])
def test_an_image_cut_short_is_broken(tmp_path: Path, extension: str) -> None:
    write_frames(tmp_path, 2, f"img_{{index:05d}}.{extension}")
    truncate(tmp_path / f"img_00002.{extension}", 0.5)
    with pytest.raises(MediaError, match="is not a readable image"):
        read(FrameReader(OWN), tmp_path, 2, [1])


def test_a_folder_in_an_images_place_is_broken(tmp_path: Path) -> None:
    write_frames(tmp_path, 2)
    (tmp_path / "img_00002.png").unlink()
    (tmp_path / "img_00002.png").mkdir()
    with pytest.raises(MediaError, match="is not a readable image"):
        read(FrameReader(OWN), tmp_path, 2, [1])


def test_flow_images_that_differ_in_size_are_broken(tmp_path: Path) -> None:
    write_flow(tmp_path, 2)
    Image.fromarray(draw(0, (20, 30))[:, :, 0]).save(tmp_path / "flow_y_00001.png")
    with pytest.raises(MediaError):
        read(FrameReader(FLOW, flow=True), tmp_path, 2, [0])


@pytest.mark.parametrize("num_frames", [0, -1])
def test_a_folder_without_frames_is_refused(tmp_path: Path, num_frames: int) -> None:
    write_frames(tmp_path, 1)
    with pytest.raises(MediaError, match=f"the list says {num_frames} frames"):
        read(FrameReader(OWN), tmp_path, num_frames, [0])


@pytest.mark.parametrize("prepared", [True, False])
@pytest.mark.parametrize(("name", "says"), [("gone", "o such"), ("file", "ot a")])
def test_paths_that_are_no_folders_are_refused(tmp_path: Path, name: str, says: str, prepared: bool) -> None:
    (tmp_path / "file").touch()
    reader = FrameReader(OWN, template=FrameTemplate(OWN) if prepared else None)
    with pytest.raises(MediaError, match=says):
        read(reader, tmp_path / name, 3, [0])


def test_links_to_folders_and_to_images_are_followed(tmp_path: Path) -> None:
    write_frames(tmp_path / "real", 2)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "images").mkdir()
    for name in os.listdir(tmp_path / "real"):
        (tmp_path / "images" / name).symlink_to(tmp_path / "real" / name)
    for name in ("link", "images"):
        assert torch.equal(read(FrameReader(OWN), tmp_path / name, 2, [0, 1]), expected([0, 1]))
