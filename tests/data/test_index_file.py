"""Stored indexes of videos: as bytes, in memory, and in a file beside the list, and how little is read with one."""

import contextlib
import os
import pickle
import sqlite3
import zlib
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from media import draw, write_video

from benchmarks.films import join
from ops.common.errors import InputError, MediaError
from ops.common.storage import stamp_of
from ops.data import index_file, numbered_packets, video_index
from ops.data.index_file import IndexFile, index_file_of, is_index_file, write_index_file
from ops.data.index_format import decode_index, encode_index
from ops.data.lists import read_records
from ops.data.opencv_videos import OpenCVReader
from ops.data.packet_index import UNKNOWN, PacketIndex
from ops.data.pyav_videos import VideoReader
from ops.data.recent_indexes import RecentIndexes
from ops.data.video_index import VideoIndex
from ops.data.videos import open_video


def index_of(count: int, **changes: Any) -> VideoIndex:
    """A simple index of `count` packets, each with one frame."""
    number = np.arange(count)
    packets = PacketIndex(512 * number, 512 * number, number % 12 == 0, np.ones(count, bool), number, count, number,
                          True, False, False)  # fmt: skip
    return VideoIndex(replace(packets, **changes), 0, Fraction(25), Fraction(1, 12800), True, False, False)


@pytest.mark.parametrize(
    "index",
    [
        index_of(1),
        index_of(300),
        index_of(9, when=np.array([0, 2, 1, 3, 5, 4, 6, 8, 7]), order=np.array([0, 2, 1, 3, 5, 4, 6, 8, 7])),
        index_of(3, pts=np.array([UNKNOWN, 5, UNKNOWN]), dts=np.full(3, UNKNOWN), order=None),
        index_of(4, pts=np.array([0, 2**40, -(2**62), 2**62])),
        index_of(4, shown=np.array([True, False, True, True]), length=3, order=np.array([0, 2, 3])),
        replace(index_of(2), rate=None, tick=None, missing=7, may_be_interlaced=True, plain_edits=True),
    ],
)
def test_an_index_survives_as_bytes(index: VideoIndex) -> None:
    assert decode_index(encode_index(index)) == index
    assert decode_index(encode_index(index)) != replace(index, missing=8)


def test_an_index_takes_about_a_byte_a_packet() -> None:
    rng = np.random.default_rng(0)
    pts = 512 * np.arange(10_000) + 512 * rng.integers(0, 3, 10_000)
    index = index_of(10_000, pts=pts, keys=rng.random(10_000) < 0.01)
    assert len(encode_index(index)) < 10_000
    assert len(encode_index(index_of(300))) < 400


def test_other_bytes_are_refused() -> None:
    data = encode_index(index_of(50))
    plain = zlib.decompress(data)
    head, _, body = plain.partition(b"\n")
    for other in (
        b"", b"text", data[:-5], zlib.compress(b"[]\n"), zlib.compress(b"{}\n"), zlib.compress(plain[:-1]),
        zlib.compress(plain + b"x"), zlib.compress(head.replace(b'"count": 50', b'"count": -1') + b"\n" + body),
        zlib.compress(head.replace(b'"length": 50', b'"length": 51') + b"\n" + body),
        zlib.compress(head.replace(b"[2, 2]", b"[3, 2]") + b"\n" + body),
        zlib.compress(head.replace(b'"25"', b'"1/0"') + b"\n" + body), zlib.compress(b"[" * 100_000),
    ):  # fmt: skip
        with pytest.raises(ValueError):
            decode_index(other)


def test_a_process_keeps_what_it_read_last() -> None:
    recent = RecentIndexes(most=3 * (len(encode_index(index_of(40))) + 400))
    for number in range(4):
        recent.put(f"{number}.mp4", "s", index_of(40))
    recent.put("3.mp4", "t", index_of(40))
    assert len(recent) == 3
    assert [number for number in range(4) if recent.get(f"{number}.mp4", "s")] == [1, 2]
    assert recent.get("3.mp4", "t") == index_of(40) and recent.get("1.mp4", "changed") is None


def write_list(folder: Path) -> Path:
    """Write a list of two videos with its index file."""
    (folder / "sub").mkdir()
    rows = []
    for number, name in enumerate(("a b.mp4", "sub/b.mkv")):
        write_video(folder / name, 40, b_frames=2, seed=number)
        with open_video(folder / name) as source:
            rows.append((name, stamp_of(folder / name), encode_index(source.index)))
    (folder / "l.txt").write_text("a b.mp4 0\nsub/b.mkv 1\n")
    write_index_file(index_file_of(folder / "l.txt"), rows)
    return folder / "l.txt"


def bytes_read() -> int:
    """The number of bytes that this process has read."""
    return int(Path("/proc/self/io").read_text().split()[1])


@pytest.mark.parametrize("reader", [VideoReader(), OpenCVReader()])
def test_readers_use_the_index_beside_the_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: VideoReader
) -> None:
    records = read_records(write_list(tmp_path), counts_in_pairs=False)
    prepared = pickle.loads(pickle.dumps(reader.prepare(records, tmp_path)))
    monkeypatch.setattr(video_index, "PacketScan", None)  # scanning would fail
    for number, record in enumerate(records):
        with prepared.open(str(tmp_path / record.path), -1) as source:
            assert len(source) == 40
            expected = torch.from_numpy(draw(31, seed=number)).permute(2, 0, 1)
            assert (source.read([31])[0].float() - expected.float()).abs().mean() < 8
    assert not len(prepared._recent)  # indexes from the file are not kept in memory a second time


def test_a_changed_video_is_indexed_anew(tmp_path: Path) -> None:
    records = read_records(write_list(tmp_path), counts_in_pairs=False)
    reader = VideoReader().prepare(records, tmp_path)
    for count in (50, 60):
        write_video(tmp_path / "a b.mp4", count)
        with reader.open(str(tmp_path / "a b.mp4"), -1) as source:
            assert len(source) == count


def test_an_index_of_another_file_gives_no_wrong_frames(tmp_path: Path) -> None:
    """It happens only if a video changes but keeps its size and time; then frames are right, or there is an error."""
    write_video(tmp_path / "a.mp4", 40, b_frames=2)
    write_video(tmp_path / "b.mp4", 40)
    write_video(tmp_path / "c.mp4", 30, b_frames=2)
    indexes = {}
    for name in "abc":
        with open_video(tmp_path / f"{name}.mp4") as source:
            indexes[name], right = source.index, source.read([5, 33 if name != "c" else 3])
    with open_video(tmp_path / "b.mp4") as source:
        right = source.read([5, 33])
    with open_video(tmp_path / "b.mp4", indexes["a"]) as source:
        assert torch.equal(source.read([5, 33]), right)
        assert torch.equal(source.read([5, 33]), right) and source.index == indexes["b"]
    with open_video(tmp_path / "b.mp4", indexes["a"]) as source:
        assert torch.equal(
            torch.from_numpy(next(iter(source.images()))[..., ::-1].copy()), source.read([0])[0].movedim(0, -1)
        )
    with (
        open_video(tmp_path / "b.mp4", indexes["c"]) as source,
        pytest.raises(MediaError, match="it has 40 frames, but its index lists 30"),
    ):
        source.read([5])


def test_a_video_that_is_changed_while_it_is_open_is_read_or_named(tmp_path: Path) -> None:
    path, other = write_video(tmp_path / "a.mp4", 40, gop=8), write_video(tmp_path / "b.mp4", 60, b_frames=2, seed=1)
    for kept in (False, True):
        content = path.read_bytes()
        with open_video(path) as source:
            index = source.index
        with open_video(path, index if kept else None) as source:
            path.write_bytes(other.read_bytes())
            with contextlib.suppress(MediaError):
                assert source.read([5, 33]).shape == (2, 3, 48, 64)
        path.write_bytes(content)


def test_index_files_of_others_and_damaged_ones_are_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_list(tmp_path)
    path, video = index_file_of(source), str(tmp_path / "a b.mp4")
    stamp, whole = stamp_of(video), path.read_bytes()
    assert is_index_file(path) and not is_index_file(source) and not is_index_file(tmp_path / "none")
    os.mkfifo(tmp_path / "pipe")
    assert not is_index_file(tmp_path / "pipe")
    assert IndexFile(path, tmp_path).get(video, stamp) and not IndexFile(path, tmp_path).get(video, "other")
    assert not IndexFile(path, tmp_path).get(str(tmp_path / "none.mp4"), stamp)
    assert IndexFile(path, "").get("a b.mp4", stamp)
    assert not IndexFile(tmp_path / "none.index", tmp_path).get(video, stamp) and not caplog.messages

    monkeypatch.setattr(index_file, "MADE_BY", "another one")
    assert not IndexFile(path, tmp_path).get(video, stamp)
    assert "made with another FFmpeg" in caplog.messages[-1] and len(caplog.messages) == 1
    monkeypatch.undo()
    for data in (b"text", b"", whole[:5000], whole[:72] + bytes(len(whole) - 72)):
        path.write_bytes(data)
        file = IndexFile(path, tmp_path)
        assert not file.get(video, stamp) and not file.get(video, stamp)
    with sqlite3.connect(path := tmp_path / "other.index") as connection:
        connection.execute("create table videos (item blob)")
    assert not IndexFile(path, tmp_path).get(video, stamp) and not is_index_file(path)
    connection.close()


def test_an_index_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none/l.txt.index"):
        write_index_file(tmp_path / "none" / "l.txt.index", [])
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="bytes are counted by Linux")
def test_a_clip_of_a_long_film_reads_only_its_window(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"  # with one key frame per second
    join(str(write_video(tmp_path / "second.mp4", 25, (96, 128), gop=25, b_frames=2)), path, 600)
    size, clip = path.stat().st_size, list(range(14_000, 14_064, 8))
    reader, costs = VideoReader(), []
    for _ in range(3):
        before = bytes_read()
        with reader.open(str(path), -1) as source:
            frames = source.read(clip)
        costs.append((bytes_read() - before) / size)
    assert costs[0] > 1 and max(costs[1:]) < 0.05, costs
    with open_video(path) as source:
        assert source.index.plain_edits
        every = list(source.frames(range(14_040)))
    assert torch.equal(frames[:5], torch.stack([frame for number, frame in every if number in clip]))


def test_one_open_file_serves_all_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(tmp_path / "a.mp4", 40, gop=8)
    opened, whole = [], av.open
    monkeypatch.setattr(av, "open", lambda *args, **options: opened.append(args[0]) or whole(*args, **options))
    monkeypatch.setattr(numbered_packets, "NEAR", 0)
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    with open_video(tmp_path / "a.mp4") as source:
        for number in (30, 3, 17):
            source.read([number])
    assert len(opened) == 1
    assert not before or len(os.listdir("/proc/self/fd")) == before
