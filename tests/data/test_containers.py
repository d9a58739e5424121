"""Frame k is the k-th frame of a sequential decode: containers × codecs × B-frames × field order × hidden frames.

Each frame has its number drawn into it. The test writes every film and reads it frame by frame, in clips and backwards.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from av.video.reformatter import Interpolation
from media import X265_ALONE, Pixels, draw, remux, write_video
from torch import Tensor

from ops.data import numbered_packets
from ops.data.frames import FrameReader
from ops.data.index_format import decode_index, encode_index
from ops.data.opencv_videos import OpenCVReader
from ops.data.videos import header_count, open_video
from ops.prepare.check_video import check_video
from ops.prepare.extract_frames import FrameOptions, extract_video

REAL = Path(__file__).resolve().parents[3] / "shared" / "videos" / "avchd_field_pairs.mts"
COUNT = 18
BITS = 5
SQUARE = 12


@cache
def numbered(index: int) -> Pixels:
    """Frame `index` of a film, RGB `[48, 64, 3]`, with its number in five black or white squares."""
    picture = draw(index)
    for bit in range(BITS):
        picture[:SQUARE, bit * SQUARE : (bit + 1) * SQUARE] = 255 * (index >> bit & 1)
    return picture


def number_in(picture: Tensor) -> int:
    """Read the number that is drawn into a frame, uint8 `[3, 48, 64]`."""
    middle = SQUARE // 2
    return sum(int(picture[:, middle, middle + bit * SQUARE].float().mean() > 127) << bit for bit in range(BITS))


def sequential(path: Path) -> list[Tensor]:
    """Decode all frames one after the other with plain PyAV: uint8 `[3, h, w]`, RGB."""
    frames = []
    with av.open(os.fspath(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for frame in container.decode(video=0):
            image: Any = frame.reformat(format="bgr24", interpolation=Interpolation.BICUBIC).to_ndarray()
            frames.append(torch.from_numpy(image[:, :, ::-1].copy()).permute(2, 0, 1))
    return frames


Edit = Callable[[int, bytes], list[bytes]]
"""Maps the number and the bytes of a packet to the packets that replace it."""


@dataclass(frozen=True)
class Coding:
    """How a film is encoded, into which containers it is written, and how its packets are edited afterwards.

    `shown` holds the numbers of the frames that are decoded; `opencv` says whether OpenCV can decode them, too.
    """

    codec: str
    containers: str
    settings: dict[str, Any] = field(default_factory=dict)
    edit: Edit | None = None
    shown: tuple[int, ...] = tuple(range(COUNT))
    opencv: bool = True


def untimed(number: int, data: bytes) -> list[bytes]:
    """Keep the packet; `remux` times it in decoding order."""
    return [data]


def hide_vp8(number: int, data: bytes) -> list[bytes]:
    """Hide every fifth frame."""
    return [bytes([data[0] & ~16]) + data[1:]] if number % 5 == 4 else [data]


def hide_vp9_keys(number: int, data: bytes) -> list[bytes]:
    """Hide the key frames, which are every eighth frame; the other frames still refer to them."""
    return [bytes([data[0] & ~2]) + data[1:]] if number % 8 == 0 else [data]


def show_vp9_keys_later(number: int, data: bytes) -> list[bytes]:
    """Hide each key frame, and show it with a separate packet after it."""
    return [*hide_vp9_keys(number, data), b"\x88"] if number % 8 == 0 else [data]


class SuperframesVp9:
    """Join each hidden key frame and the next frame into one packet with an index at its end (Annex B)."""

    def __init__(self) -> None:
        self._key = b""

    def __call__(self, number: int, data: bytes) -> list[bytes]:
        if number % 8 == 0:
            self._key = hide_vp9_keys(number, data)[0]
            return []
        if number % 8 > 1:
            return [data]
        marker = bytes([0b110_01_001])
        sizes = b"".join(len(part).to_bytes(2, "little") for part in (self._key, data))
        return [self._key + data + marker + sizes + marker]


class PackedMpeg4:
    """Pack B-frames as DivX and XviD do in AVI: into the packet of the previous picture, followed by a placeholder."""

    def __init__(self) -> None:
        self._held = b""

    def __call__(self, number: int, data: bytes) -> list[bytes]:
        start = data.index(b"\0\0\1\xb6")
        if number == 0:
            return [data[:start] + b"\0\0\1\xb2DivX503b1393p" + data[start:]]
        if data[start + 4] >> 6 == 2:
            held, self._held = self._held, b""
            return [held + data, b"\x7f"]
        held, self._held = self._held, data
        return [held] if held else []


X264 = "mp4 mov mkv avi asf flv ts mpg nut m4v 3gp mxf"
MPEG2 = "mp4 mov mkv avi asf ts mpg nut mxf vob"
MPEG4 = "mp4 mov mkv avi asf ts mpg nut m4v 3gp"
VP9 = "mp4 mkv webm avi asf flv nut ivf"
FIELDS = int(av.codec.context.Flags.interlaced_dct | av.codec.context.Flags.interlaced_me)
WITHOUT_KEYS = tuple(number for number in range(COUNT) if number % 8)
FAST_VP9 = {"options": {"deadline": "realtime", "cpu-used": "8"}}


def x264(**parameters: object) -> dict[str, Any]:
    """Encoder settings from x264's own parameter names."""
    return {"options": {"x264-params": ":".join(f"{name}={value}" for name, value in parameters.items())}}


CODINGS = {
    "h264": Coding("libx264", X264),
    "h264 B": Coding("libx264", X264, {"b_frames": 2}),
    "h264 B open": Coding("libx264", X264, {"b_frames": 3, "gop": 8, **x264(**{"open-gop": 1, "b-pyramid": "normal"})}),
    "h264 all keys": Coding("libx264", X264, {"gop": 1}),
    "h264 slices": Coding("libx264", X264, {"b_frames": 2, **x264(slices=3)}),
    "h264 refresh": Coding("libx264", X264, {"gop": 8, **x264(**{"intra-refresh": 1})}),
    "h264 top field first": Coding("libx264", X264, {"b_frames": 2, **x264(tff=1)}, opencv=False),
    "h264 bottom field first": Coding("libx264", X264, {"b_frames": 2, **x264(bff=1)}, opencv=False),
    "h264 fake fields": Coding("libx264", X264, x264(**{"fake-interlaced": 1}), opencv=False),
    "h264 B untimed": Coding("libx264", "mp4 mov mkv flv ts nut", {"b_frames": 2}, untimed),
    "hevc": Coding("libx265", "mp4 mov mkv ts flv nut mpg", {"options": {"x265-params": f"{X265_ALONE}:bframes=0"}}),
    "hevc B": Coding("libx265", "mp4 mov mkv ts flv nut mpg",
                     {"gop": 8, "options": {"x265-params": f"{X265_ALONE}:bframes=3:open-gop=1"}}),
    "hevc B untimed": Coding("libx265", "mp4 mkv ts nut",
                             {"gop": 8, "options": {"x265-params": f"{X265_ALONE}:bframes=3"}}, untimed),
    "hevc all keys": Coding("libx265", "mp4 mov mkv ts flv nut mpg",
                            {"gop": 1, "options": {"x265-params": f"{X265_ALONE}:bframes=0:keyint=1"}}),
    "mpeg2": Coding("mpeg2video", MPEG2),
    "mpeg2 B": Coding("mpeg2video", MPEG2, {"b_frames": 2}),
    "mpeg2 fields": Coding("mpeg2video", MPEG2, {"b_frames": 2, "flags": FIELDS}, opencv=False),
    "mpeg1 B": Coding("mpeg1video", "mp4 mov mkv avi asf ts mpg nut", {"b_frames": 2}),
    "mpeg4": Coding("mpeg4", MPEG4),
    "mpeg4 all keys": Coding("mpeg4", MPEG4, {"gop": 1}),
    "mpeg4 B": Coding("mpeg4", MPEG4, {"b_frames": 2}),
    "mpeg4 B untimed": Coding("mpeg4", "mp4 mkv avi asf nut", {"b_frames": 2}, untimed),
    "mpeg4 fields": Coding("mpeg4", MPEG4, {"b_frames": 2, "flags": FIELDS}, opencv=False),
    "mpeg4 packed": Coding("mpeg4", "avi", {"b_frames": 1}, PackedMpeg4(), tuple(range(COUNT - 1))),
    "vp8": Coding("libvpx", "mkv webm avi asf nut ogg ivf"),
    "vp8 hidden": Coding("libvpx", "mkv webm avi asf nut ivf", {}, hide_vp8,
                         tuple(number for number in range(COUNT) if number % 5 != 4)),
    "vp9": Coding("libvpx-vp9", VP9, {"gop": 8, **FAST_VP9}),
    "vp9 hidden": Coding("libvpx-vp9", VP9, {"gop": 8, **FAST_VP9}, hide_vp9_keys, WITHOUT_KEYS),
    "vp9 shown later": Coding("libvpx-vp9", "mkv webm", {"gop": 8, **FAST_VP9}, show_vp9_keys_later),
    "vp9 superframes": Coding("libvpx-vp9", VP9, {"gop": 8, **FAST_VP9}, SuperframesVp9(), WITHOUT_KEYS),
    "av1": Coding("libsvtav1", "mp4 mkv webm avi asf flv nut ivf",
                  {"gop": 8, "options": {"preset": "12", "svtav1-params": "lp=1"}}, opencv=False),
    "mjpeg": Coding("mjpeg", "mp4 mov mkv avi asf nut", {"pix_fmt": "yuvj420p"}),
    "gif": Coding("gif", "gif mov nut", {"pix_fmt": "rgb8"}),
    "flv1": Coding("flv", "flv avi asf nut"),
    "h263": Coding("h263p", "avi asf nut"),
    "wmv1": Coding("wmv1", "asf avi nut"),
    "wmv2": Coding("wmv2", "asf avi nut"),
    "msmpeg4v2": Coding("msmpeg4v2", "avi asf nut"),
    "msmpeg4v3": Coding("msmpeg4", "avi asf mkv mov nut"),
    "rv10": Coding("rv10", "rm", opencv=False),
    "rv20": Coding("rv20", "rm", opencv=False),
    "ffv1": Coding("ffv1", "mkv avi mp4 nut", opencv=False),
    "huffyuv": Coding("huffyuv", "avi nut asf", {"pix_fmt": "yuv422p"}, opencv=False),
    "prores": Coding("prores", "mov mkv", {"pix_fmt": "yuv422p10le"}, opencv=False),
    "png": Coding("png", "mov avi mp4 nut", {"pix_fmt": "rgb24"}, opencv=False),
    "qtrle": Coding("qtrle", "mov", {"pix_fmt": "rgb24"}, opencv=False),
    "snow": Coding("snow", "mkv avi nut", opencv=False),
}  # fmt: skip
ROWS = [(name, container) for name, coding in CODINGS.items() for container in coding.containers.split()]


def write(coding: Coding, path: Path) -> Path:
    """Write the film of a row."""
    frames = [numbered(index) for index in range(COUNT)]
    if not coding.edit:
        return write_video(path, codec=coding.codec, frames=frames, **coding.settings)
    plain = write_video(path.with_name("plain.mkv"), codec=coding.codec, frames=frames, **coding.settings)
    return remux(plain, path, coding.edit)


def assert_one_numbering(path: Path, every: list[Tensor]) -> None:
    """Assert that frame k of `path` is `every[k]` with every way of reading, however much each of them decodes."""
    count = len(every)
    found = check_video(str(path), "", "ends")
    assert (found["frames"], found["claimed"], found["broken"]) == (count, count, "")
    assert header_count(path) in (0, count)
    with open_video(path) as source:
        assert len(source) == source.claimed == source.decodable() == count and not source.shortfall
        assert len(source.seconds) == count + 1 and (np.diff(source.seconds) > 0).all()
        images = [torch.from_numpy(image[:, :, ::-1].copy()).permute(2, 0, 1) for image in source.images()]
        assert len(images) == count and all(map(torch.equal, images, every))
        for index in range(count):
            assert torch.equal(source.read([index])[0], every[index]), index
        index = source.index
    kept = decode_index(encode_index(index))
    assert kept == index
    for number, clip in enumerate(
        ([1, 3, 7, 10, count - 1], list(range(count)), list(range(count))[::-1], [11, 4, 4, count - 2, 0])
    ):
        with open_video(path, kept if number % 2 else None) as source:
            assert torch.equal(source.read(clip), torch.stack([every[index] for index in clip])), clip
            assert not source.problem
    with open_video(path, kept) as source:
        for number in (count - 2, 9, 1):
            assert torch.equal(source.read([number])[0], every[number]), number


@pytest.fixture(autouse=True)
def _seek_at_every_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seek over every gap, because these films are too short for the gaps that normally cause a seek."""
    monkeypatch.setattr(numbered_packets, "NEAR", 0)


@pytest.mark.parametrize(("name", "container"), ROWS, ids=[f"{name} in {container}" for name, container in ROWS])
def test_frames_are_those_of_a_sequential_decode(tmp_path: Path, name: str, container: str) -> None:
    coding = CODINGS[name]
    path = write(coding, tmp_path / f"film.{container}")
    every = sequential(path)
    assert [number_in(frame) for frame in every] == list(coding.shown)
    assert_one_numbering(path, every)
    if coding.opencv:
        with OpenCVReader().open(str(path), -1) as source:
            assert len(source) == len(every)
            clip = [1, 3, 7, 10, len(every) - 1]
            assert [number_in(frame) for frame in source.read(clip)] == [coding.shown[index] for index in clip]


@pytest.mark.parametrize(
    ("name", "container"),
    [("h264 B", "ts"), ("hevc B", "ts"), ("mpeg2 B", "ts"), ("mpeg2 B", "mpg"), ("mpeg2 B", "vob")],
)
def test_files_that_were_joined_are_one_film(tmp_path: Path, name: str, container: str) -> None:
    path = write(CODINGS[name], tmp_path / f"film.{container}")
    path.write_bytes(2 * path.read_bytes())
    every = sequential(path)
    assert [number_in(frame) for frame in every] == 2 * list(range(COUNT))
    assert_one_numbering(path, every)
    with open_video(path) as source:
        assert source.seconds == pytest.approx(np.arange(2 * COUNT + 1) / 25, abs=1e-3)


@pytest.mark.skipif(not REAL.exists(), reason="the real videos are not here")
def test_two_fields_are_one_frame(tmp_path: Path) -> None:
    every = sequential(REAL)
    assert len(every) == 13
    assert_one_numbering(REAL, every)
    extract_video(str(REAL), "film.mts", str(tmp_path), FrameOptions("png"))
    with FrameReader("img_{index:05d}.png").open(str(tmp_path / "film"), 13) as source:
        assert torch.equal(source.read(range(13)), torch.stack(every))
