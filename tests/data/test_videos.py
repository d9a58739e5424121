"""Videos give the same frames as a sequential OpenCV decode, and files that are not plain videos are refused."""

import contextlib
import os
import shutil
import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import torch
from conftest import NewFolder
from media import corrupt, draw, rotate, truncate, write_audio, write_irregular, write_video
from torch import Tensor

from ops.common.errors import InputError, MediaError, TruncatedMediaError
from ops.data import videos
from ops.data.dataset_configs import dataset_config
from ops.data.decoders import video_reader
from ops.data.lists import read_records
from ops.data.opencv_videos import OpenCVReader
from ops.data.pyav_videos import VideoReader
from ops.data.videos import estimated_count, header_count, open_video

REAL = Path(__file__).resolve().parents[3] / "shared" / "videos"
TEN_BITS = "yuv420p10le" in [pixels.name for pixels in av.Codec("libx264", "w").video_formats or ()]


def opencv(path: Path) -> Tensor:
    """All frames as a sequential `cv2.VideoCapture` decodes them: uint8 `[F, 3, h, w]`, RGB."""
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    frames = []
    while (got := capture.read())[0]:
        frames.append(cv2.cvtColor(got[1], cv2.COLOR_BGR2RGB))
    capture.release()
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)


def read_all(path: Path) -> Tensor:
    with open_video(path) as source:
        return source.read(range(len(source)))


def readable(path: Path) -> list[Tensor]:
    """The frames that can be read before the video ends or breaks off."""
    frames: list[Tensor] = []
    with open_video(path) as source, contextlib.suppress(TruncatedMediaError):
        frames.extend(frame for _, frame in source.frames(range(len(source))))
    return frames


@pytest.fixture(scope="module")
def film(new_folder: NewFolder) -> Path:
    """24 frames of H.264 with B-frames and two key frames. Tests share the file and must not change it."""
    return write_video(new_folder("film") / "film.mp4", 24, gop=12, b_frames=2)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("h264.mp4", {}),
        ("b_frames.mp4", {"b_frames": 3, "count": 20}),
        ("b_frames.mkv", {"b_frames": 3, "count": 20}),
        ("all_key_frames.mp4", {"gop": 1}),
        ("stream.ts", {"b_frames": 2}),
        ("odd.mp4", {"pix_fmt": "yuv444p", "size": (47, 63)}),
        ("upright.mp4", {"size": (64, 36)}),
        ("tiny.mp4", {"size": (2, 2)}),
        ("one_frame.mp4", {"count": 1}),
        ("422.mp4", {"pix_fmt": "yuv422p"}),
        ("full_range.mp4", {"pix_fmt": "yuvj420p"}),
        ("bt709.mp4", {"colorspace": 1, "color_trc": 1, "color_primaries": 1}),
        ("gray.mp4", {"pix_fmt": "gray"}),
        pytest.param("10_bits.mp4", {"pix_fmt": "yuv420p10le"}, marks=pytest.mark.skipif(not TEN_BITS, reason="x264")),
        ("mpeg4.mp4", {"codec": "mpeg4"}),
        ("mpeg4_odd.avi", {"codec": "mpeg4", "size": (47, 63)}),
        ("mpeg4_b_frames.mkv", {"codec": "mpeg4", "b_frames": 2}),
        ("mpeg2.mpg", {"codec": "mpeg2video", "b_frames": 2}),
        ("mjpeg.avi", {"codec": "mjpeg", "pix_fmt": "yuvj420p"}),
        ("flash.flv", {"codec": "flv1"}),
        ("image.gif", {"codec": "gif", "pix_fmt": "rgb8"}),
        ("vp9_odd.webm", {"codec": "libvpx-vp9", "size": (47, 63)}),
    ],
)
def test_frames_are_those_of_a_sequential_opencv_decode(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    path = write_video(tmp_path / name, **options)
    frames = read_all(path)
    assert len(frames) == options.get("count", 12)
    assert frames.shape[2:] == options.get("size", (48, 64))
    assert torch.equal(frames, opencv(path))


def test_frames_show_what_was_filmed(film: Path) -> None:
    """Colour channels and frames are in order, which rules out a mistake that OpenCV and this reader share."""
    for index, frame in enumerate(read_all(film).permute(0, 2, 3, 1).numpy()):
        errors = [np.abs(frame.astype(int) - draw(other)).mean() for other in range(24)]
        assert np.argmin(errors) == index
        assert errors[index] < np.abs(frame[:, :, ::-1].astype(int) - draw(index)).mean()


@pytest.mark.parametrize("indices", [[0], [23], [5, 5, 5], [20, 3, 3, 11, 0, 20], list(range(23, -1, -1))])
def test_frames_come_in_any_order_and_repeat(film: Path, indices: list[int]) -> None:
    with open_video(film) as source:
        assert torch.equal(source.read(indices), read_all(film)[indices])


def test_frames_come_one_by_one_with_their_index(film: Path) -> None:
    with open_video(film) as source:
        found = list(source.frames([2, 13]))
    assert [index for index, _ in found] == [2, 13]
    assert all(frame.dtype == torch.uint8 and frame.shape == (3, 48, 64) for _, frame in found)


def test_a_source_can_be_read_repeatedly_and_only_in_part(film: Path) -> None:
    with open_video(film) as source:
        frames = source.frames(range(24))
        next(frames)
        assert torch.equal(source.read([9]), read_all(film)[[9]])
        assert next(frames)[0] == 1


def test_reading_leaves_no_file_open(film: Path) -> None:
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    for _ in range(3):
        with open_video(film) as source:
            next(source.frames([3]))
    if before:
        assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.skipif(not Path("/proc/self/task").exists() or len(os.sched_getaffinity(0)) < 2, reason="not to be seen")
def test_a_decode_starts_no_threads(film: Path) -> None:
    read_all(film)  # some threads are started once per process
    before = len(os.listdir("/proc/self/task"))
    with open_video(film) as source:
        frames = source.frames([0, 1])
        next(frames)
        assert len(os.listdir("/proc/self/task")) <= before


@pytest.mark.parametrize(
    ("name", "options", "quick"),
    [
        ("few_keys.mp4", {"gop": 10, "b_frames": 3}, True),
        ("open_groups.mp4", {"gop": 10, "b_frames": 3, "options": {"x264-params": "open-gop=1:scenecut=0"}}, True),
        ("all_keys.mp4", {"gop": 1}, True),
        ("mkv.mkv", {"gop": 10, "b_frames": 2}, True),
        ("stream.ts", {"gop": 10, "b_frames": 2}, True),
        ("mjpeg.mp4", {"codec": "mjpeg", "pix_fmt": "yuvj420p"}, True),
        ("vp9.webm", {"codec": "libvpx-vp9", "gop": 10}, True),
        ("av1.mkv", {"codec": "libsvtav1", "gop": 10}, True),
        ("mpeg4.mp4", {"codec": "mpeg4", "gop": 10}, False),  # its packets may contain no frame
        ("b_frames.avi", {"codec": "mpeg4", "gop": 10, "b_frames": 2}, False),
    ],
)
def test_decoding_only_what_is_needed_changes_no_pixel(
    tmp_path: Path, name: str, options: dict[str, Any], quick: bool
) -> None:
    path = write_video(tmp_path / name, 40, **options)
    with open_video(path) as source:
        every = [torch.from_numpy(image[:, :, ::-1].copy()).permute(2, 0, 1) for image in source.images()]
        assert len(every) == len(source) == 40
        for indices in ([0], [39], [19, 20, 21], [9, 10, 11, 29], [3, 17, 38], list(range(0, 40, 5)), list(range(40))):
            assert [index for index, _ in source.frames(indices)] == indices
            assert all(torch.equal(frame, every[index]) for index, frame in source.frames(indices))
            assert len(list(source._needed_frames(indices))) == (len(indices) if quick else 0)


def test_frames_at_irregular_times_are_counted_and_found_like_others(tmp_path: Path) -> None:
    times = np.cumsum([1, 40, 3, 500, 7, 900, 33, 34] * 5).tolist()
    with open_video(write_irregular(tmp_path / "phone.mkv", times)) as source:
        every = [torch.from_numpy(image[:, :, ::-1].copy()).permute(2, 0, 1) for image in source.images()]
        assert len(source) == len(every) == 40
        assert all(torch.equal(frame, every[index]) for index, frame in source.frames([0, 7, 21, 39]))
        assert len(list(source._needed_frames([0, 7, 21, 39]))) == 4


def test_only_the_packets_that_a_frame_needs_are_decoded(tmp_path: Path) -> None:
    path = write_video(tmp_path / "x.mp4", 40, gop=10)
    with open_video(path) as source:
        order = source._index.order
        assert order is not None
        needed = source._index.needed(order[[12, 31]])
    assert np.flatnonzero(needed).tolist() == [10, 11, 12, 30, 31]


def test_a_broken_key_frame_is_passed_over_as_in_a_sequence(tmp_path: Path) -> None:
    path = corrupt(write_video(tmp_path / "x.mp4", 24, gop=1), 0.4, 0.7)
    with open_video(path) as source:
        claimed = len(source)
        in_sequence = [source._converter.tensor(frame) for _, frame in source._frames_in_sequence([0, 1, 2])]
        assert [index for index, _ in source.frames([0, 1, 2])] == [0, 1, 2]
        assert all(torch.equal(a, b) for (_, a), b in zip(source.frames([0, 1, 2]), in_sequence, strict=True))
        with contextlib.suppress(TruncatedMediaError):
            assert len(list(source.frames(range(claimed)))) == claimed


@pytest.mark.parametrize("degrees", [90, 180, 270])
@pytest.mark.parametrize("size", [(48, 64), (46, 30)])
def test_rotation_metadata_is_applied_as_opencv_does(tmp_path: Path, degrees: int, size: tuple[int, int]) -> None:
    path = write_video(tmp_path / "plain.mp4", 4, size)
    plain, turned = read_all(path), rotate(Path(shutil.copy(path, tmp_path / "turned.mp4")), degrees)
    assert torch.equal(read_all(turned), torch.rot90(plain, k=-degrees // 90, dims=(2, 3)))
    assert torch.equal(read_all(turned), opencv(turned))


def test_a_video_can_be_filmed_upright(tmp_path: Path) -> None:
    assert read_all(write_video(tmp_path / "plain.mp4", 2)).shape == (2, 3, 48, 64)
    assert read_all(write_video(tmp_path / "turned.mp4", 2, rotation=90)).shape == (2, 3, 64, 48)


def test_frames_before_an_edit_lists_start_are_neither_counted_nor_shown(tmp_path: Path) -> None:
    path = write_video(tmp_path / "x.mp4", 12, gop=12)
    whole = read_all(path)
    data = bytearray(path.read_bytes())
    entry = data.index(b"elst") + 12  # segment duration and media time follow version, flags and count
    assert data[entry - 8] == 0, "an edit list of 32-bit times"
    with av.open(str(path)) as container:
        time_base = container.streams.video[0].time_base
    assert time_base is not None
    struct.pack_into(">i", data, entry + 4, int(4 / 25 / time_base))
    path.write_bytes(data)
    assert torch.equal(read_all(path), whole[4:])
    assert torch.equal(read_all(path), opencv(path))


def test_a_video_whose_frames_do_not_come_at_a_fixed_rate_is_read_frame_by_frame(tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index, time in enumerate([0, 1, 2, 30, 31, 75, 76, 100]):
            frame = av.VideoFrame.from_ndarray(draw(index))
            frame.pts, frame.time_base = time, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert len(read_all(path)) == 8
    assert torch.equal(read_all(path), opencv(path))


def test_frames_past_the_end_are_a_truncation(film: Path) -> None:
    with open_video(film) as source, pytest.raises(TruncatedMediaError) as error:
        source.read([3, 24, 25])
    assert (error.value.path, error.value.claimed, error.value.readable) == (str(film), 24, 24)


@pytest.mark.parametrize(("suffix", "share"), [(".mp4", 0.75), (".mp4", 0.5), (".mkv", 0.6), (".ts", 0.6)])
def test_a_truncated_video_gives_the_frames_before_the_cut(tmp_path: Path, suffix: str, share: float) -> None:
    path = write_video(tmp_path / f"x{suffix}", 40, gop=10, b_frames=2)
    whole = read_all(path)
    frames = readable(truncate(path, share))
    assert 0 < len(frames) < 40
    for frame, original in zip(frames[:-3], whole, strict=False):  # the cut damages a frame and those that refer to it
        assert torch.equal(frame, original)
    with open_video(path) as source:
        assert len(source) < 40
        assert len(source.read(range(len(frames)))) == len(frames)
        with pytest.raises(TruncatedMediaError, match=f"only {len(frames)} of {len(source)} frames") as error:
            source.read([0, len(frames), 40])
        assert error.value.readable == len(frames)


@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "libx264"), (".mkv", "libx264"), (".mkv", "mpeg4")])
@pytest.mark.parametrize("gop", [1, 10])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_damage_affects_only_frames_that_depend_on_it(
    tmp_path: Path, suffix: str, codec: str, gop: int, seed: int
) -> None:
    path = write_video(tmp_path / f"x{suffix}", 40, gop=gop, codec=codec)
    whole = read_all(path)
    frames = readable(corrupt(path, 0.6, 0.65, seed))
    assert 10 < len(frames) <= 40
    for frame, original in zip(frames[:10], whole, strict=False):
        assert torch.equal(frame, original)
    if gop == 1 and suffix == ".mp4":  # its index tells where the next frame starts
        assert torch.equal(frames[-1], whole[-1]), "what does not decode is passed over"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.mp4", b"", "not a readable video"),
        ("text.mp4", b"this is not a video\n" * 99, "not a readable video"),
        ("zeros.mp4", bytes(5000), "not a readable video"),
        ("page.mp4", b"<html><body>404 Not Found</body></html>", "not a readable video"),
    ],
)
def test_files_that_are_no_videos_are_refused(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(MediaError, match=says) as error, open_video(tmp_path / name):
        pass
    assert error.value.path == str(tmp_path / name)
    assert "\n" not in str(error.value)


def test_an_mp4_that_lost_its_index_is_refused(tmp_path: Path) -> None:
    path = truncate(write_video(tmp_path / "x.mp4"), 0.1)
    with pytest.raises(MediaError, match=r"not a readable video|no frames in it"), open_video(path):
        pass


@pytest.mark.parametrize("name", ["sound.mp4", "sound.mkv", "sound.m4a"])
def test_a_file_of_sound_alone_has_no_video_stream(tmp_path: Path, name: str) -> None:
    with pytest.raises(MediaError, match="has no video stream"), open_video(write_audio(tmp_path / name)):
        pass


@pytest.mark.parametrize("suffix", [".mp4", ".m3u8", ".ffconcat", ".txt", ".mpd"])
@pytest.mark.parametrize(
    "content",
    [
        "ffconcat version 1.0\nfile real.ts\n",
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nreal.ts\n#EXT-X-ENDLIST\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://localhost:9/x.ts\n#EXT-X-ENDLIST\n",
    ],
    ids=["ffconcat", "m3u8", "m3u8 with a URL"],
)
def test_a_playlist_is_never_followed(tmp_path: Path, suffix: str, content: str) -> None:
    assert len(read_all(write_video(tmp_path / "real.ts", 3))) == 3
    playlist = tmp_path / f"list{suffix}"
    playlist.write_text(content)
    with pytest.raises(MediaError, match="not a readable video"), open_video(playlist):
        pass


def test_a_playlist_would_be_followed_by_a_careless_reader(tmp_path: Path) -> None:
    """Plain PyAV follows such a playlist, so the test above can fail."""
    write_video(tmp_path / "real.ts", 3)
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile real.ts\n")
    with av.open(str(tmp_path / "list.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 3


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("{folder}", "not a regular file"),
        ("{folder}/gone.mp4", "No such file or directory"),
        ("{folder}/film.mp4/x.mp4", "Not a directory"),
        ("", "No such file or directory"),
        ("{folder}/a\0b.mp4", "null"),
        ("http://localhost:9/x.mp4", "No such file or directory"),
        ("concat:{folder}/film.mp4", "No such file or directory"),
        ("file:{folder}/film.mp4", "No such file or directory"),
        ("{folder}/" + "x" * 300, "name too long"),
        ("/dev/zero", "not a regular file"),
        ("/dev/null", "not a regular file"),
    ],
)
def test_paths_that_are_no_files_are_refused_before_they_are_opened(film: Path, path: str, says: str) -> None:
    with pytest.raises(MediaError, match=says), open_video(path.format(folder=film.parent)):
        pass


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.mp4")
    with pytest.raises(MediaError, match="not a regular file"), open_video(tmp_path / "x.mp4"):
        pass


NAMES = ["a b.mp4", "-x.mp4", "--help", "a#b;c&d.mp4", "%05d.mp4", "a?b=c.mp4", "a:b|c,d.mp4", "'\"$(x)`.mp4",
         "走るü🏃.mp4", "no_suffix", "pipe:0", "text.txt"]  # fmt: skip


@pytest.mark.parametrize("name", [*NAMES, os.fsdecode(b"caf\xe9.mp4")], ids=ascii)
def test_any_file_name_will_do(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    shutil.copy(film, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    for path in (name, f"./{name}", tmp_path / name):
        with open_video(path) as source:
            assert len(source) == 24
            assert len(source.read([7])) == 1


def test_links_to_videos_are_followed(film: Path, tmp_path: Path) -> None:
    (tmp_path / "link.mp4").symlink_to(film)
    assert len(read_all(tmp_path / "link.mp4")) == 24


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_a_title_that_is_not_utf8_does_not_matter(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "the title cafe"
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(draw(index))))
        container.mux(stream.encode(None))
    whole = opencv(path)
    path.write_bytes(path.read_bytes().replace(b"title cafe", b"title caf\xe9"))
    assert torch.equal(read_all(path), whole)


@pytest.mark.parametrize("colorspace", [8, 10, 14], ids=["YCgCo", "BT.2020 constant luminance", "ICtCp"])
def test_colours_that_cannot_be_converted_are_at_worst_a_media_error(tmp_path: Path, colorspace: int) -> None:
    path = write_video(tmp_path / "x.mp4", 3, colorspace=colorspace)
    with contextlib.suppress(MediaError):
        assert read_all(path).shape == (3, 3, 48, 64)


def test_a_codec_without_decoder_is_a_media_error(film: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    path.write_bytes(film.read_bytes().replace(b"avc1", b"zzzz"))
    for read in (read_all, header_count):
        with pytest.raises(MediaError, match=rf"{path}: not a readable video \(no decoder in PyAV"):
            read(path)


def test_the_first_size_is_that_of_the_clip(tmp_path: Path) -> None:
    """A transport stream may change its size: single frames keep theirs, but all frames of a clip get the first one."""
    path = write_video(tmp_path / "x.ts", 6, (32, 48))
    path.write_bytes(path.read_bytes() + write_video(tmp_path / "y.ts", 6, (48, 64)).read_bytes())
    sizes = {tuple(frame.shape[1:]) for frame in readable(path)}
    assert sizes == {(32, 48), (48, 64)}
    assert read_all(path).shape == (12, 3, 32, 48)


def test_the_reader_of_lists_takes_labels_and_counts_for_itself(film: Path, tmp_path: Path) -> None:
    reader = video_reader(dataset_config("kinetics"), "RGB")
    (tmp_path / "list.txt").write_text(f"{film} 7\n")
    records = read_records(tmp_path / "list.txt", reader.counts_in_pairs)
    assert (records[0].label, records[0].num_frames) == (7, -1)
    for listed in (-1, 5, 999):
        with reader.prepare(records, tmp_path).open(records.path(0), listed) as source:
            assert len(source) == 24
    assert isinstance(reader, VideoReader)


def test_videos_hold_no_flow() -> None:
    with pytest.raises(InputError, match="videos contain only RGB; for Flow"):
        video_reader(dataset_config("kinetics"), "Flow")


needs_real = pytest.mark.skipif(not REAL.exists(), reason="the real videos are not here")


@needs_real
@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("kinetics_32_frames.mp4", 32),
        ("kinetics_arm_wrestling.mp4", 280),
        ("structuralize_300_frames.mp4", 300),
        ("h264_10bit.mp4", 30),
        ("hevc_10bit.mp4", 30),
    ],
)
def test_real_videos_equal_opencv(name: str, count: int) -> None:
    frames = opencv(REAL / name)
    with open_video(REAL / name) as source:
        assert len(source) == len(frames) == count
        assert all(torch.equal(frame, frames[index]) for index, frame in source.frames(range(count)))


def pyav(path: Path) -> Iterator[Tensor]:
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield torch.from_numpy(frame.to_ndarray(format="rgb24", interpolation="BICUBIC")).permute(2, 0, 1)


@needs_real
def test_av1_which_opencv_cannot_read_equals_pyav() -> None:
    path = REAL / "av1_125_frames.mkv"
    with open_video(path) as source:
        assert len(source) == 125
        pairs = list(zip(source.frames(range(125)), pyav(path), strict=True))
    assert len(pairs) == 125
    assert all(torch.equal(frame, other) for (_, frame), other in pairs)


@pytest.mark.parametrize("name", ["b_frames.mp4", "turned.mp4", "odd.mkv"])
def test_the_other_decoder_gives_the_same_frames(tmp_path: Path, name: str) -> None:
    options: dict[str, Any] = {"turned.mp4": {"rotation": 90}, "odd.mkv": {"size": (47, 63), "pix_fmt": "yuv444p"}}
    path = write_video(tmp_path / name, 20, b_frames=2, **options.get(name, {}))
    with video_reader(dataset_config("kinetics"), "RGB", "opencv").open(str(path), -1) as source:
        assert len(source) == 20 and torch.equal(source.read([3, 0, 19, 7]), read_all(path)[[3, 0, 19, 7]])


@pytest.mark.parametrize("what", ["playlist", "cut"])
def test_the_other_decoder_refuses_and_reports_the_same(tmp_path: Path, what: str) -> None:
    film = write_video(tmp_path / "film.mp4", 24)
    if what == "playlist":
        (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\nfilm.mp4\n")
        with (
            pytest.raises(MediaError, match="not a readable video"),
            OpenCVReader().open(str(tmp_path / "list.m3u8"), 1),
        ):
            pass
        return
    truncate(film, 0.6)
    with OpenCVReader().open(str(film), -1) as source, pytest.raises(TruncatedMediaError):
        source.read([23])


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv", "v.ts", "v.avi", "v.webm"])
def test_the_number_of_frames_is_estimated_from_the_header(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = {".avi": "mpeg4", ".webm": "libvpx-vp9"}.get(Path(name).suffix, "libx264")
    path = write_video(tmp_path / name, 200, codec=codec)
    assert abs(estimated_count(path) - 200) <= 2
    monkeypatch.setattr(videos, "claimed_frames", lambda _: 2**31)
    assert estimated_count(path) == 0
    with pytest.raises(MediaError):
        estimated_count(write_audio(tmp_path / "a.mp4"))


@pytest.mark.parametrize("flags", ["frag_keyframe", "frag_keyframe+empty_moov", "dash+frag_keyframe"])
@pytest.mark.parametrize("reader", [VideoReader, OpenCVReader])
def test_fragmented_files_have_all_their_frames(reader: type[VideoReader], flags: str, tmp_path: Path) -> None:
    """As recorders write them; their headers list the frames before the first fragment, or none."""
    plain, path = write_video(tmp_path / "plain.mp4", 60, gop=12), tmp_path / "fragmented.mp4"
    with av.open(plain) as source, av.open(path, "w", options={"movflags": flags}) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    with av.open(path) as container:
        assert container.streams.video[0].frames < 60
    with reader().open(str(path), -1) as frames:
        assert len(frames) == 60 and torch.equal(frames.read([0, 11, 30, 59]), opencv(plain)[[0, 11, 30, 59]])
    assert header_count(path) in (0, 60) and abs(estimated_count(path) - 60) <= 2
