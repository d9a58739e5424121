"""Videos from cameras, recorders and broken discs: damage, orientation, interlacing, restarting timestamps."""

import struct
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from media import set_matrix, write_mistimed, write_video
from torch import Tensor

from ops.common.errors import MediaError, TruncatedMediaError
from ops.data.bitstreams import mpeg2_frames, mpeg4_frames, needs_first_packet, vp8_frames, vp9_frames
from ops.data.frames import FrameReader
from ops.data.h264 import UNCERTAIN
from ops.data.opencv_videos import OpenCVReader
from ops.data.videos import header_count, open_video
from ops.prepare.check_video import check_video
from ops.prepare.extract_frames import FrameOptions, extract_video
from ops.prepare.resize_video import ResizeOptions, resize_video


def images_of(path: Path) -> Tensor:
    """All images in order: uint8 `[F, 3, h, w]`, RGB."""
    with open_video(path) as source:
        return torch.from_numpy(np.stack([image[:, :, ::-1] for image in source.images()])).permute(0, 3, 1, 2)


def spoil(path: Path, number: int) -> Path:
    """Overwrite packet `number` of a video with data that no decoder accepts as a picture."""
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][number]
        place, size = packet.pos, packet.size
    data = bytearray(path.read_bytes())
    assert place is not None
    data[place + 4 : place + size] = b"\x1f" * (size - 4)  # a NAL unit of a type that does not exist
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(("gop", "packet"), [(1, 5), (6, 8), (6, 12), (30, 11)])
def test_a_picture_that_does_not_decode_shifts_no_other(tmp_path: Path, gop: int, packet: int) -> None:
    path = write_video(tmp_path / "x.mp4", 24, gop=gop)
    whole = images_of(path)
    spoil(path, packet)
    every = images_of(path)
    assert len(every) == 24
    with open_video(path) as source:
        assert len(source) == source.claimed == 24 and (decodable := source.decodable()) < 24
        for index in range(24):
            assert torch.equal(source.read([index])[0], every[index]), index
        assert torch.equal(source.read([packet, 23, 7]), every[[packet, 23, 7]])
        assert "cannot be decoded" in source.problem
    ends = (packet // gop + 1) * gop
    assert torch.equal(every[:packet], whole[:packet]) and torch.equal(every[ends:], whole[ends:])
    assert torch.equal(every[packet], every[max(packet - 1, 0)])
    made = extract_video(str(path), "x.mp4", str(tmp_path / "out"), FrameOptions("png"))
    assert (made["frames"], made["decoded"], made["claimed"]) == (24, decodable, 24)
    with FrameReader("img_{index:05d}.png").open(str(tmp_path / "out" / "x"), 24) as source:
        assert torch.equal(source.read(range(24)), every)
    assert check_video(str(path), "", "full")["broken"] == f"only {decodable} of 24 frames can be decoded"


@pytest.mark.parametrize("seed", range(8))
def test_damaged_frames_do_not_depend_on_which_frames_are_read(tmp_path: Path, seed: int) -> None:
    path = write_video(tmp_path / "x.mp4", 36, gop=9, b_frames=2)
    data, random = bytearray(path.read_bytes()), np.random.default_rng(seed)
    for place in random.integers(len(data) // 5, len(data) - 20, 3):
        data[place : place + 8] = random.bytes(8)
    path.write_bytes(data)
    every = images_of(path)
    with open_video(path) as source:
        for index in range(0, len(every), 4):
            assert torch.equal(source.read([index])[0], every[index]), index


def test_opencv_does_not_count_past_a_picture_that_does_not_decode(tmp_path: Path) -> None:
    path = spoil(write_video(tmp_path / "x.mp4", 24, gop=1), 5)
    with OpenCVReader().open(str(path), -1) as source:
        assert torch.equal(source.read([4]), images_of(path)[[4]])
        with pytest.raises(MediaError, match=r"some frames before frame 9 do not decode|only 5 of 24"):
            source.read([9])


def test_the_last_frames_are_missing_where_they_do_not_decode(tmp_path: Path) -> None:
    path = spoil(write_video(tmp_path / "x.mp4", 24, gop=1), 23)
    with open_video(path) as source, pytest.raises(TruncatedMediaError, match="only 23 of 24"):
        source.read([3, 23])


def test_the_encoder_version_in_the_first_packet_applies_to_all_frames(tmp_path: Path) -> None:
    """x264 had a bug in 4:4:4 up to release 150; FFmpeg imitates it if the first packet names such a release."""
    path = write_video(tmp_path / "x.mp4", 24, (96, 128), pix_fmt="yuv444p", gop=8)
    as_written = images_of(path)
    data = path.read_bytes()
    place = data.index(b"x264 - core ") + 12
    path.write_bytes(data[:place] + b"148" + data[place + 3 :])
    every = images_of(path)
    assert not torch.equal(every, as_written)
    for index in (0, 7, 8, 20, 23):
        with open_video(path) as source:
            assert torch.equal(source.read([index])[0], every[index]), index


@pytest.mark.parametrize(
    ("codec", "pixels", "data", "needed"),
    [
        ("h264", "yuv444p", b"..x264 - core 148 r2", True),
        ("h264", "yuv444p", b"..x264 - core 151", False),
        ("h264", "yuv420p", b"..x264 - core 148", False),
        ("h264", "yuv420p", b"..x264 - core 33 x", True),
        ("h264", "yuv444p", b"..x264 - core", False),
        ("hevc", "yuv444p", b"..x264 - core 33", False),
        ("mjpeg", "yuvj420p", b"", True),
    ],
)
def test_which_first_packets_are_needed(codec: str, pixels: str, data: bytes, needed: bool) -> None:
    assert needs_first_packet(codec, pixels, data) == needed


@pytest.mark.parametrize(
    ("scan", "data", "frames"),
    [
        (vp8_frames, b"\x10", 1),
        (vp8_frames, b"\x01", 0),
        (vp9_frames, b"\x82\x49", 1),
        (vp9_frames, b"\x80\x49", 0),
        (vp9_frames, b"\xb1\x49", 1),  # profile 3
        (vp9_frames, b"\xb2\x49", 0),
        (vp9_frames, b"\x88", 1),  # shows a frame that was hidden before
        (vp9_frames, b"\x80\x00\x86\x00" + b"\xc1\x02\x02\xc1", 1),
        (vp9_frames, b"\x82\x00\x86\x00" + b"\xc1\x02\x02\xc1", UNCERTAIN),
        (mpeg4_frames, b"\0\0\1\xb6" + b"\x10" * 20, 1),
        (mpeg4_frames, b"\0\0\1\xb6\x50\x80", UNCERTAIN),
        (mpeg4_frames, b"\x7f", UNCERTAIN),
        (mpeg4_frames, (b"\0\0\1\xb6" + b"\x10" * 20) * 2, UNCERTAIN),
        (mpeg2_frames, b"\0\0\1\0\x00\x0f\xff\xf8\0\0\1\xb5\x8f\xff\xf3\x80", 1),
        (mpeg2_frames, b"\0\0\1\0\x00\x0f\xff\xf8\0\0\1\xb5\x8f\xff\xf1\x80", UNCERTAIN),  # a top field
        (mpeg2_frames, b"", UNCERTAIN),
    ],
)
def test_headers_say_how_many_frames_a_packet_shows(scan: Callable[[bytes], int], data: bytes, frames: int) -> None:
    assert scan(data) == frames


MATRICES: dict[str, tuple[tuple[int, int, int, int], Callable[[Tensor], Tensor]]] = {
    "as stored": ((1, 0, 0, 1), lambda x: x),
    "all zero": ((0, 0, 0, 0), lambda x: x),
    "a line": ((1, 1, 1, 1), lambda x: x),
    "mirrored": ((-1, 0, 0, 1), lambda x: x.flip(3)),
    "upside down": ((1, 0, 0, -1), lambda x: x.flip(2)),
    "half a turn": ((-1, 0, 0, -1), lambda x: x.flip(2, 3)),
    "a quarter": ((0, 1, -1, 0), lambda x: torch.rot90(x, -1, (2, 3))),
    "three quarters": ((0, -1, 1, 0), lambda x: torch.rot90(x, 1, (2, 3))),
    "a quarter, mirrored": ((0, 1, 1, 0), lambda x: x.transpose(2, 3)),
    "three quarters, mirrored": ((0, -1, -1, 0), lambda x: x.transpose(2, 3).flip(2, 3)),
}


@pytest.mark.parametrize("name", MATRICES)
def test_display_matrices_rotate_and_mirror_frames(tmp_path: Path, name: str) -> None:
    matrix, move = MATRICES[name]
    path = write_video(tmp_path / "x.mp4", 3, (48, 64))
    stored = images_of(path)
    set_matrix(path, matrix)
    assert torch.equal(images_of(path), move(stored))
    for reader in (open_video(path), OpenCVReader().open(str(path), -1)):
        with reader as source:
            assert torch.equal(source.read([0, 2]), move(stored)[[0, 2]])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("h264.mp4", {"options": {"x264-params": "tff=1"}}),
        ("h264.mkv", {"options": {"x264-params": "bff=1"}, "b_frames": 2}),
        ("mpeg2.ts", {"codec": "mpeg2video", "flags": int(av.codec.context.Flags.interlaced_dct)}),
    ],
)
def test_opencv_refuses_interlaced_videos(tmp_path: Path, name: str, options: dict[str, object]) -> None:
    path = write_video(tmp_path / name, 12, **options)
    with (
        pytest.raises(MediaError, match=r"interlaced video, which OpenCV .* use --decoder pyav"),
        OpenCVReader().open(str(path), -1) as source,
    ):
        source.read([3])
    with open_video(path) as source:
        assert len(source.read([3])) == 1


def change_size(folder: Path, **options: object) -> Path:
    """Write a transport stream of 6 frames followed by 6 larger ones."""
    parts = [write_video(folder / f"{size[0]}.ts", 6, size, **options) for size in ((32, 48), (48, 64))]
    path = folder / "x.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


@pytest.mark.parametrize("b_frames", [0, 2])
@pytest.mark.parametrize(("codec", "lost"), [("mpeg1video", 1), ("mpeg2video", 1), ("mpeg4", 0), ("libx264", 0)])
def test_frames_are_counted_as_decoded_where_the_size_changes(
    tmp_path: Path, codec: str, lost: int, b_frames: int
) -> None:
    """FFmpeg's MPEG decoders drop the delayed picture when the size changes, so no way of reading counts it."""
    path = change_size(tmp_path, codec=codec, b_frames=b_frames)
    with av.open(str(path)) as container:
        every = [(frame.height, frame.width) for frame in container.decode(video=0)]
    assert len(every) == 12 - (lost or (codec == "mpeg4" and b_frames > 0))
    with open_video(path) as source:
        assert len(source) == source.claimed == source.decodable() == len(every)
        assert [image.shape[:2] for image in source.images()] == every
        assert [tuple(frame.shape[1:]) for _, frame in source.frames(range(len(every)))] == every
        assert not source.problem
    made = extract_video(str(path), "x.ts", str(tmp_path / "out"), FrameOptions("png"))
    assert (made["frames"], made["decoded"], made["claimed"]) == (len(every),) * 3


@pytest.mark.parametrize("codec", ["mpeg1video", "libx264"])
def test_opencv_refuses_frames_that_it_would_resize(tmp_path: Path, codec: str) -> None:
    """OpenCV resizes all frames to the size in the header or to that of the last frames, which it finds at opening."""
    path = change_size(tmp_path, codec=codec)
    refused = 0
    for index in (0, 9):
        with OpenCVReader().open(str(path), -1) as source, open_video(path) as same:
            try:
                assert torch.equal(source.read([index]), same.read([index]))
            except MediaError as error:
                assert "which OpenCV resizes to one size: use --decoder pyav" in str(error)
                refused += 1
    assert refused == 1
    with (
        OpenCVReader().open(str(path), -1) as source,
        pytest.raises(MediaError, match="OpenCV resizes to one size"),
    ):
        source.read([0, 9])


@pytest.mark.parametrize("name", ["joined.ts", "x.avi", "x.asf", "x.mpg"])
def test_every_frame_is_shown_as_long_as_it_was(name: str, tmp_path: Path) -> None:
    path = write_mistimed(tmp_path / name)
    with open_video(path) as source:
        assert source.seconds == pytest.approx(np.arange(63) / 25, abs=1e-3)
        assert [time for time, _ in source.timed_images()] == source.seconds[:-1].tolist()
    resize_video(str(path), name, str(tmp_path / "out"), ResizeOptions(size=32))
    with open_video((tmp_path / "out" / name).with_suffix(".mp4")) as source:
        assert source.seconds == pytest.approx(np.arange(63) / 25, abs=1e-3)


def test_frames_cut_off_by_an_edit_list_are_not_reported_as_damage(tmp_path: Path) -> None:
    path = write_video(tmp_path / "x.mp4", 24, gop=6)
    data = bytearray(path.read_bytes())
    entry = data.index(b"elst") + 12
    duration = struct.unpack_from(">I", data, entry)[0]
    struct.pack_into(">I", data, entry, duration // 2)
    path.write_bytes(data)
    with open_video(path) as source:
        count = len(source)
        assert count == source.claimed == source.decodable() == len(list(source.images())) < 24
    assert header_count(path) == count and check_video(str(path), "", "full")["broken"] == ""
