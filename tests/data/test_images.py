"""Images as frames: supported formats, and correct pixels for every kind of image."""

import ast
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from media import draw, write_flow, write_frames
from PIL import Image

from ops.common.errors import MediaError, TruncatedMediaError
from ops.data import images
from ops.data.frames import FrameReader, FrameTemplate
from ops.data.images import FORMATS, Pixels, read_image
from ops.data.lists import read_records
from ops.prepare.optical_flow import FlowOptions, extract_flow
from ops.report.thumbnails import Place, strip_uri

ROOT = Path(__file__).resolve().parents[2]
OWN = "img_{index:05d}.jpg"
NOT_FRAMES = ("ICO", "PCX", "TGA", "SGI", "XBM", "EPS")
"""Formats that Pillow reads and writes, but that are not used for frames."""


def encoded(image: Image.Image, format: str) -> bytes:
    file = io.BytesIO()
    image.save(file, format)
    return file.getvalue()


def read(folder: Path, index: int = 0) -> Pixels:
    with FrameReader(OWN).open(str(folder), 3) as source:
        return source.read([index])[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("format", NOT_FRAMES)
def test_a_format_that_is_not_for_frames_is_refused_whatever_its_name(tmp_path: Path, format: str) -> None:
    folder = write_frames(tmp_path / "clip", 3, OWN)
    mode = "1" if format == "XBM" else "RGB"
    content = encoded(Image.fromarray(draw(0)).convert(mode), format)
    with Image.open(io.BytesIO(content)) as image:
        assert image.format == format, "Pillow knows it"
    (folder / "img_00001.jpg").write_bytes(content)
    with pytest.raises(MediaError, match=r"img_00001\.jpg is not a readable image"):
        read(folder)
    with pytest.raises(MediaError, match="not a readable image"):
        extract_flow(str(folder), "clip", str(tmp_path / "flow"), FlowOptions())
    with pytest.raises(MediaError, match="not a readable image"):
        strip_uri(Place(str(tmp_path)), "clip")


@pytest.mark.parametrize("format", FORMATS)
def test_the_formats_of_frames_are_read_whatever_their_name(tmp_path: Path, format: str) -> None:
    folder = write_frames(tmp_path / "clip", 3, OWN)
    image = Image.fromarray(draw(0))
    (folder / "img_00001.jpg").write_bytes(encoded(image, format))
    difference = np.abs(read(folder).astype(int) - draw(0).astype(int))
    assert difference.mean() < {"JPEG": 6, "WEBP": 6, "GIF": 6}.get(format, 1e-9)


def test_images_are_opened_in_one_place() -> None:
    """A plain `Image.open` elsewhere would let the content of a file choose among all of Pillow's decoders."""
    for folder in ("ops", "tools", "examples", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                opens = isinstance(node, ast.Attribute) and node.attr == "open" and isinstance(node.value, ast.Name)
                assert not (opens and node.value.id in ("Image", "Pillow")) or path.samefile(images.__file__), path


RAMP = np.linspace(0, 65535, 64 * 48).astype(np.uint16).reshape(48, 64)


def shorts(format: str, big_endian: bool = False) -> bytes:
    return encoded(Image.fromarray(RAMP.astype(">u2") if big_endian else RAMP), format)


DEEP: dict[str, Callable[[], bytes]] = {
    "png": lambda: shorts("PNG"),
    "tiff": lambda: shorts("TIFF"),
    "tiff of other order": lambda: shorts("TIFF", big_endian=True),
    "pgm": lambda: b"P5 64 48 65535\n" + RAMP.astype(">u2").tobytes(),
}


@pytest.mark.parametrize("kind", DEEP)
def test_sixteen_bits_become_their_upper_eight(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(DEEP[kind]())
    wanted = (RAMP >> 8).astype(np.uint8)
    assert np.array_equal(read_image(path, gray=True), wanted)
    assert np.array_equal(read_image(path), np.stack([wanted] * 3, axis=2))


@pytest.mark.parametrize("pixels", [np.float32(0.5), np.int32(70000)])
def test_values_without_a_known_scale_are_refused_in_one_line(tmp_path: Path, pixels: np.generic) -> None:
    folder = write_frames(tmp_path / "clip", 3, OWN)
    content = encoded(Image.fromarray(np.full((48, 64), pixels)), "TIFF")
    (folder / "img_00001.jpg").write_bytes(content)
    with pytest.raises(MediaError, match="32-bit values, whose range is not known") as error:
        read(folder)
    assert "\n" not in str(error.value)


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: rotate a quarter turn to the right
    return exif


@pytest.mark.parametrize(
    ("name", "settings"),
    [("x.jpg", {}), ("x.jpg", {"progressive": True}), ("x.png", {}), ("x.webp", {"lossless": True})],
)
def test_no_reader_turns_an_image_as_its_metadata_say(tmp_path: Path, name: str, settings: dict[str, bool]) -> None:
    template = FrameTemplate("{index:05d}" + Path(name).suffix)
    for folder, metadata in (("plain", {}), ("turned", {"exif": turned()})):
        (tmp_path / folder).mkdir()
        path = tmp_path / folder / template.name(folder, 0)
        Image.fromarray(draw(0)).save(path, **settings, **metadata)
    with (
        FrameReader(OWN, template=template).open(str(tmp_path / "plain"), 1) as plain,
        FrameReader(OWN, template=template).open(str(tmp_path / "turned"), 1) as other,
    ):
        assert torch.equal(plain.read([0]), other.read([0]))
        assert other.read([0]).shape == (1, 3, 48, 64)


@pytest.mark.parametrize(
    ("format", "mode"),
    [("JPEG", "L"), ("JPEG", "CMYK"), ("PNG", "L"), ("PNG", "LA"), ("PNG", "P"), ("PNG", "1"), ("PNG", "RGBA"),
     ("TIFF", "CMYK"), ("WEBP", "RGBA"), ("GIF", "P"), ("BMP", "P")],
)  # fmt: skip
def test_all_paths_give_the_pixels_that_pillow_gives(tmp_path: Path, format: str, mode: str) -> None:
    """The paths are clips, the gray frames for optical flow, and single images."""
    folder = tmp_path / "clip"
    folder.mkdir()
    path = folder / "img_00001.jpg"
    path.write_bytes(encoded(Image.fromarray(draw(0)).convert(mode), format))
    with Image.open(path) as image:
        wanted, gray = np.array(image.convert("RGB")), np.array(image.convert("L"))
    assert np.array_equal(read(folder), wanted)
    assert np.array_equal(read_image(path), wanted) and np.array_equal(read_image(path, gray=True), gray)


def test_an_image_that_claims_too_many_pixels_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(draw(0)).save(tmp_path / "x.png")
    monkeypatch.setattr(images, "MAX_PIXELS", 48 * 64 - 1)
    with pytest.raises(ValueError, match="64 x 48, more than"):
        read_image(tmp_path / "x.png")


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_every_folder_is_read_from_its_own_first_frame(tmp_path: Path, order: tuple[int, int]) -> None:
    """Folders numbered from 0 and from 1, and one with another extension, may follow each other in a list."""
    names = "one", "other", "png"
    for name, first, ending in zip(names, (*order, 1), (".jpg", ".jpg", ".png"), strict=True):
        write_frames(tmp_path / name, 4, "img_{index:05d}" + ending, first=first, seed=3)
    (tmp_path / "list.txt").write_text("".join(f"{name} 4 0\n" for name in names))
    reader = FrameReader(OWN).prepare(read_records(tmp_path / "list.txt", True), tmp_path)
    clips = []
    for name in names:
        with reader.open(str(tmp_path / name), 4) as source:
            clips.append(source.read(range(4)))
    assert torch.equal(clips[0], clips[1])
    assert torch.equal(clips[2], torch.stack([torch.from_numpy(draw(k, seed=3)).permute(2, 0, 1) for k in range(4)]))


def test_rgb_frames_are_not_taken_for_flow(tmp_path: Path) -> None:
    """The second folder has no flow, while the first one has an image for each axis."""
    write_flow(tmp_path / "one", 4)
    write_frames(tmp_path / "other", 4, "flow_{index:05d}.png")
    write_frames(tmp_path / "other", 4, OWN)
    (tmp_path / "list.txt").write_text("one 4 0\nother 4 0\n")
    reader = FrameReader("flow_{axis}_{index:05d}.jpg", flow=True)
    reader = reader.prepare(read_records(tmp_path / "list.txt", True), tmp_path)
    with reader.open(str(tmp_path / "other"), 4) as source, pytest.raises(TruncatedMediaError, match="only 0 of 4"):
        source.read([0])
