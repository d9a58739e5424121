"""JPEG frames have the pixels and errors of Pillow, no matter which library decodes them."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from media import Pixels, draw
from PIL import Image

from ops.common.errors import MediaError
from ops.data import frames, jpegs
from ops.data.frames import FrameReader, FrameTemplate
from ops.data.jpegs import read_plain_jpeg

SIZE = (45, 67)
"""Height and width, neither of which is a multiple of the block size."""


def jpeg(mode: str = "RGB", **settings: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(draw(3, SIZE)).convert(mode).save(file, "JPEG", **settings)
    return file.getvalue()


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: rotate a quarter turn to the right
    return exif


def middle(content: bytes, put: bytes) -> bytes:
    """Overwrite the middle of the coded pixels with `put`."""
    start = content.index(b"\xff\xda") + 14
    place = (start + len(content)) // 2
    return content[:place] + put + content[place + len(put) :]


PLAIN: dict[str, Callable[[], bytes]] = {
    "4:4:4": lambda: jpeg(subsampling=0, quality=95),
    "4:2:2": lambda: jpeg(subsampling=1),
    "4:2:0": lambda: jpeg(subsampling=2, quality=30),
    "own tables": lambda: jpeg(optimize=True),
    "restarts": lambda: jpeg(restart_marker_blocks=3),
    "turned": lambda: jpeg(exif=turned()),
    "RGB in the file": lambda: jpeg(keep_rgb=True),
    "gray": lambda: jpeg("L"),
    "zeros in the middle": lambda: middle(jpeg(quality=95), bytes(9)),
    "pixels missing, end there": lambda: jpeg(quality=95)[:-300] + b"\xff\xd9",
}
OTHERS: dict[str, Callable[[], bytes]] = {
    "progressive": lambda: jpeg(progressive=True),
    "CMYK": lambda: jpeg("CMYK"),
    "bytes after the end": lambda: jpeg() + b"more",
    "an image after the end": lambda: jpeg() + jpeg("L"),
}
BROKEN: dict[str, Callable[[], bytes]] = {
    "cut short": lambda: jpeg()[:-300],
    "end missing": lambda: jpeg()[: len(jpeg()) // 2],
    "cut in its head": lambda: jpeg()[:100],
    "cut, an older end behind": lambda: jpeg()[:-300] + b"\xff\xd8\xff\xe0\x00\x04\xff\xd9",
    "no height": lambda: jpeg().replace(b"\x08\x00\x2d", b"\x08\x00\x00", 1),
    "another scan in the middle": lambda: middle(jpeg(quality=95), b"\xff\xda\x00\x03\x09"),
}


def read(folder: Path, content: bytes, gray: bool) -> Pixels:
    """Read one frame with the frame reader: `[h, w, 3]`, or `[h, w, 2]` for flow."""
    for name in ("x", "y"):
        (folder / f"{name}_00001.jpg").write_bytes(content)
    template = FrameTemplate("{axis}_{index:05d}.jpg" if gray else "x_{index:05d}.jpg")
    with FrameReader("", flow=gray, template=template).open(str(folder), 1) as source:
        pixels: Pixels = source.read([0])[0].permute(1, 2, 0).numpy()
        return pixels


@pytest.mark.parametrize("gray", [False, True])
@pytest.mark.parametrize("name", [*PLAIN, *OTHERS])
def test_jpeg_pixels_equal_pillows(name: str, gray: bool, tmp_path: Path) -> None:
    content = (PLAIN | OTHERS)[name]()
    with Image.open(io.BytesIO(content)) as image:
        wanted = np.array(image.convert("L" if gray else "RGB"))
    pixels = read(tmp_path, content, gray)
    assert np.array_equal(pixels, np.stack([wanted, wanted], 2) if gray else wanted)
    by_opencv = read_plain_jpeg(str(tmp_path / "x_00001.jpg"), gray)
    assert (by_opencv is not None) == (name in PLAIN and (not gray or name == "gray"))


@pytest.mark.parametrize("name", BROKEN)
def test_jpeg_errors_equal_pillows(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = BROKEN[name]()
    said = []
    for _ in range(2):
        with pytest.raises(MediaError, match=r"x_00001\.jpg is not a readable image") as error:
            read(tmp_path, content, gray=False)
        said.append(str(error.value))
        monkeypatch.setattr(frames, "read_plain_jpeg", lambda path, gray: None)
    assert said[0] == said[1]


def test_large_files_and_large_images_are_left_to_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg())
    monkeypatch.setattr(jpegs, "_MOST", max(len(jpeg()), SIZE[0] * SIZE[1]))
    assert read_plain_jpeg(str(path), gray=False) is not None
    for less in (len(jpeg()) - 1, SIZE[0] * SIZE[1] - 1):
        monkeypatch.setattr(jpegs, "_MOST", less)
        assert read_plain_jpeg(str(path), gray=False) is None
