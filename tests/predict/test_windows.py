"""Predictions over time: windows of a stream, timelines, and videos with predictions drawn on them."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from conftest import Call, NewFolder
from media import corrupt, draw, truncate, write_audio, write_irregular, write_mistimed, write_video
from PIL import Image
from small_runs import save_small_checkpoint
from torch import Tensor

from ops.common.errors import InputError, MediaError, TruncatedMediaError
from ops.common.storage import atomic_path
from ops.data.frame_source import FrameSource
from ops.data.opencv_videos import OpenCVReader
from ops.data.packet_scan import PacketScan
from ops.data.pipelines import ClipShape, test_plan_for
from ops.data.sampling import Indices, Sample, view_indices
from ops.data.videos import open_video
from ops.data.views import load_views
from ops.predict.fonts import DEFAULT, font_file
from ops.predict.overlay import Canvas, blend, draw_panel, save_overlay
from ops.predict.predictor import Predictor, open_predictor
from ops.predict.timeline import draw_timeline, top_classes
from ops.predict.windows import FrameBuffer, Span, Timeline, Window, Windows, predict_windows

NAMES = ["left", "right", "jump", "sit"]


@pytest.fixture(scope="module")
def weights(new_folder: NewFolder) -> Path:
    """A TANet-18 for four classes, four segments and 32 pixels, whose scores differ clearly."""
    return save_small_checkpoint(new_folder("weights") / "ckpt.pth.tar", NAMES)


@pytest.fixture(scope="module")
def predictor(weights: Path) -> Predictor:
    return open_predictor(str(weights), crops=3)


def timeline_of(path: Path, *rows: Sequence[float]) -> Timeline:
    """A timeline of consecutive windows of 8 frames (0.32 seconds), with `rows` of logits."""
    each = [Window(8 * n, 8 * n + 8, 0.32 * n, 0.32 * n + 0.32, np.array(r, np.float32)) for n, r in enumerate(rows)]
    return Timeline(str(path), each, NAMES)


@pytest.mark.parametrize(
    ("windows", "frames", "spans"),
    [
        (Windows(), 64, [(0, 64)]),
        (Windows(), 1, [(0, 1)]),
        (Windows(), 63, [(0, 63)]),
        (Windows(), 65, [(0, 64), (1, 65)]),
        (Windows(), 96, [(0, 64), (16, 80), (32, 96)]),
        (Windows(8, 8), 20, [(0, 8), (8, 16), (12, 20)]),
        (Windows(8, 20), 50, [(0, 8), (20, 28), (40, 48)]),  # frames between windows and at the end are left out
    ],
)
def test_windows_cover_a_video(windows: Windows, frames: int, spans: list[Span]) -> None:
    assert windows.spans(frames) == spans and windows.count(frames) == len(spans)
    others = (windows.spans(count) for count in range(100))
    assert [windows.count(count) for count in range(100)] == list(map(len, others))


class _Endless(FrameSource):
    """A long video whose frames are drawn on demand."""

    def __init__(self, length: int) -> None:
        self.path, self.length = "film", length

    def __len__(self) -> int:
        return self.length

    def frames(self, indices: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        for index in indices:
            yield index, torch.full((3, 36, 48), index % 251, dtype=torch.uint8)


@pytest.mark.parametrize("sample", ["uniform-1", "uniform-3", "dense-2"])
@pytest.mark.parametrize(("windows", "frames"), [(Windows(64, 16), 5000), (Windows(16, 4), 1003), (Windows(64, 16), 7)])
def test_a_window_holds_its_frames_and_few_more_are_kept(windows: Windows, frames: int, sample: str) -> None:
    def choose(count: int) -> Indices:
        return view_indices(count, 8, sample)

    source, spans = _Endless(frames), windows.spans(frames)
    buffer = FrameBuffer(spans, choose, test_plan_for(ClipShape(8, "RGB", 14), 1, False))
    wanted = buffer.wanted.tolist()
    seen, most = [], 0
    for index, frame in source.frames(wanted):
        for (start, stop), views in buffer.add(index, frame):
            clip = views.clip(0, views.clips[0])[:, :, 0, 0, 0]
            assert np.array_equal(clip.numpy(), (start + choose(stop - start)) % 251)
            assert views.frames.shape[1:] == (3, 14, 14)
            seen.append((start, stop))
        most = max(most, len(buffer))
    assert seen == spans and wanted == sorted(set(wanted)) and len(buffer) == 0
    assert most <= min(windows.length, frames) < len(wanted) + 60


@pytest.mark.parametrize("decoder", ["pyav", "opencv"])
def test_a_windows_logits_are_those_of_its_frames(decoder: str, weights: Path, tmp_path: Path) -> None:
    path = write_video(tmp_path / "film.mp4", 45, b_frames=2)
    predictor = open_predictor(str(weights), crops=3, full_res=True, decoder=decoder)
    windows = Windows(16, 8, Sample("uniform", 2))
    timeline = predict_windows(predictor, path, windows)
    assert [(w.start, w.stop) for w in timeline.windows] == windows.spans(45) and len(timeline.windows) == 5
    assert [w.start_s for w in timeline.windows] == pytest.approx([0, 0.32, 0.64, 0.96, 1.16])
    assert timeline.windows[-1].stop_s == pytest.approx(1.8) and not timeline.truncated
    for window in timeline.windows:
        indices = window.start + view_indices(16, 4, "uniform-2")
        views = load_views(predictor.reader, str(path), -1, lambda _, chosen=indices: [chosen], predictor.plan())
        assert np.array_equal(predictor.logits(views).numpy(), window.logits)
    mean = np.mean([window.logits for window in timeline.windows], axis=0)
    assert timeline.prediction().logits == pytest.approx(mean, rel=1e-5)


def test_a_video_shorter_than_a_window_is_predicted_as_a_whole(predictor: Predictor, tmp_path: Path) -> None:
    path = write_video(tmp_path / "short.mp4", 11)
    (window,) = predict_windows(predictor, path).windows
    assert np.array_equal(window.logits, predictor(path).logits) and (window.start, window.stop) == (0, 11)


def test_a_video_that_breaks_off_has_its_last_window_before_the_break(predictor: Predictor, tmp_path: Path) -> None:
    whole = write_video(tmp_path / "film.mkv", 60, gop=6)
    with open_video(whole) as source:
        before = source.seconds
    header = predict_windows(predictor, write_video(tmp_path / "cut.mp4", 60, gop=6), Windows(16, 8))
    cut = predict_windows(predictor, truncate(tmp_path / "cut.mp4", 0.5), Windows(16, 8))
    stop = cut.windows[-1].stop
    assert 16 < stop < 60 and "of 60 frames" in cut.truncated and not header.truncated and len(before) == 61
    for one, other in zip(cut.windows[:-1], header.windows, strict=False):
        assert one.start == other.start and np.array_equal(one.logits, other.logits)


def test_a_video_with_a_hole_keeps_its_times(weights: Path, tmp_path: Path) -> None:
    path = corrupt(write_video(tmp_path / "hole.mp4", 60, gop=4), 0.3, 0.6)
    timeline = predict_windows(open_predictor(str(weights)), path, Windows(16, 8))
    assert [(w.start, w.stop) for w in timeline.windows] == Windows(16, 8).spans(60)
    assert timeline.windows[-1].stop_s == pytest.approx(2.4) and "cannot be decoded" in timeline.truncated


def test_opencv_ends_at_a_hole(weights: Path, tmp_path: Path) -> None:
    path = corrupt(write_video(tmp_path / "hole.mp4", 60, gop=4), 0.3, 0.6)
    with pytest.raises(TruncatedMediaError) as error, OpenCVReader().open(str(path), -1) as source:
        list(source.frames(range(len(source))))
    timeline = predict_windows(open_predictor(str(weights), decoder="opencv"), path, Windows(16, 8))
    assert timeline.windows[-1].stop == error.value.readable < 60 and timeline.truncated == error.value.reason
    assert [(w.start, w.stop) for w in timeline.windows] == Windows(16, 8).spans(error.value.readable)


def test_windows_too_short_for_a_clip_are_refused(predictor: Predictor, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="windows of 3 frames"):
        predict_windows(predictor, tmp_path / "film.mp4", Windows(3, 1))
    with pytest.raises(MediaError, match="no video stream"):
        predict_windows(predictor, write_audio(tmp_path / "sound.mp4"))


def test_seconds_are_those_of_the_file(tmp_path: Path) -> None:
    times = [0, 40, 80, 500, 540, 2000, 2040, 2100]
    with open_video(write_irregular(tmp_path / "phone.mkv", times)) as source:
        assert source.seconds[:-1] == pytest.approx(np.array(times) / 1000, abs=1e-3)
        assert source.seconds[-1] == pytest.approx(2.14, abs=1e-3)
    with open_video(write_video(tmp_path / "old.avi", 10, codec="mpeg4", b_frames=2, fps=20)) as source:
        assert source.seconds == pytest.approx(np.arange(11) / 20)  # its own times are unreliable


def test_packets_needed_for_many_frames_are_those_needed_for_each(tmp_path: Path) -> None:
    path = write_video(tmp_path / "film.mp4", 40, b_frames=3, gop=10)
    with av.open(str(path)) as container:
        index = PacketScan(container).index()
    assert index is not None and index.order is not None
    packets = index.order[[3, 4, 17, 30, 39]]
    each = np.stack([index.needed(packets[[number]]) for number in range(5)])
    assert np.array_equal(index.needed(packets), each.any(axis=0)) and 0 < each[0].sum() < each.any(axis=0).sum() < 40


def test_a_timeline_is_a_table_and_a_picture(weights: Path, tmp_path: Path, call: Call) -> None:
    write_video(tmp_path / "film.mp4", 40)
    ended = call("tools/predict.py", "film.mp4", "--weights", weights, "--window", 16, "--timeline", "out")
    rows = list(csv.DictReader((tmp_path / "out" / "film.csv").open()))
    assert [(row["start_frame"], row["end_frame"]) for row in rows][::3] == [("0", "16"), ("12", "28"), ("24", "40")]
    assert (rows[1]["start_s"], rows[1]["end_s"]) == ("0.160", "0.800")
    for row in rows:
        shares = {name: float(row[name]) for name in NAMES}
        assert row["prediction"] == max(shares, key=lambda name: shares[name])
        assert float(row["probability"]) == max(shares.values()) and sum(shares.values()) == pytest.approx(1, abs=1e-3)
    width, height = Image.open(tmp_path / "out" / "film.png").size
    assert width > 2 * height > 600 and "written: out/film.png" in ended.out and "1.6 s" in ended.out


def test_the_picture_names_the_classes_that_win(tmp_path: Path) -> None:
    timeline = timeline_of(tmp_path / "$x$.mp4", [0, 1, 0, 0], [0, 0, 0, 2], [0, 0, 0, 2], [9, 0, 0, 0])
    assert top_classes(timeline) == [3, 0, 1, 2] and top_classes(timeline, 1) == [3]
    assert list(timeline.runs()) == [(0, 0), (1, 2), (3, 3)]
    assert timeline.edges == pytest.approx([0, 0.32, 0.64, 0.96, 1.28])
    draw_timeline(tmp_path / "a.png", timeline)
    draw_timeline(tmp_path / "b.png", timeline_of(tmp_path / "x.mp4", [0, 1, 0, 0]))
    colours = {tuple(pixel) for pixel in np.array(Image.open(tmp_path / "a.png").convert("RGB")).reshape(-1, 3)}
    assert {(31, 119, 180), (255, 127, 14), (44, 160, 44)} <= colours


@pytest.mark.parametrize(
    ("size", "rotation", "made"),
    [
        ((48, 64), None, (192, 256)),
        ((47, 63), None, (188, 252)),
        ((361, 641), None, (362, 642)),
        ((240, 360), 90, (360, 240)),
        ((2, 2), None, (240, 240)),
        ((20, 1000), None, (144, 2000)),
    ],
)
def test_drawings_are_upright_and_large_enough_to_read(
    size: tuple[int, int], rotation: int | None, made: tuple[int, int], tmp_path: Path
) -> None:
    path = write_video(tmp_path / "film.mp4", 16, size, pix_fmt="yuv444p", rotation=rotation)
    timeline = timeline_of(path, [0, 9, 0, 0], [9, 0, 0, 0])
    assert save_overlay(tmp_path / "seen.mp4", timeline) == 16
    with open_video(tmp_path / "seen.mp4") as source, open_video(path) as original:
        seen, filmed = list(source.images()), list(original.images())
    assert len(seen) == 16 and seen[0].shape[:2] == made
    with av.open(str(tmp_path / "seen.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "h264"
    panels = [draw_panel(timeline.prediction(window).top(3), *made) for window in timeline.windows]
    for index in (0, 7, 8, 15):
        errors = []
        for panel in panels:
            picture = Canvas(*filmed[0].shape[:2]).place(filmed[index])
            blend(picture, panel)
            errors.append(np.abs(seen[index].astype(int) - picture).mean())
        assert np.argmin(errors) == index // 8 and min(errors) < 8


def test_drawings_keep_the_times_of_frames(tmp_path: Path) -> None:
    times = [0, 40, 80, 500, 540, 2000, 2040, 2100]
    path = write_irregular(tmp_path / "phone.mkv", times)
    save_overlay(tmp_path / "seen.mkv", timeline_of(path, [0, 9, 0, 0]))
    with open_video(tmp_path / "seen.mkv") as source:
        assert source.seconds[:-1] == pytest.approx(np.array(times) / 1000, abs=2e-3)


@pytest.mark.parametrize("name", ["joined.ts", "x.avi"])
def test_drawings_and_timelines_last_as_long_as_the_film(name: str, weights: Path, tmp_path: Path, call: Call) -> None:
    write_mistimed(tmp_path / name)
    call("tools/predict.py", name, "--weights", weights, "--window", 16, "--timeline", "out", "--save", "seen.mp4")
    (table,) = (tmp_path / "out").glob("*.csv")
    last = list(csv.DictReader(table.open()))[-1]
    assert float(last["end_s"]) == pytest.approx(2.48, abs=2e-3) and last["end_frame"] == "62"
    with open_video(tmp_path / "seen.mp4") as source:
        assert source.seconds == pytest.approx(np.arange(63) / 25, abs=1e-3)


def test_a_panel_fits_its_picture() -> None:
    names = ["the longest name of all classes that anybody has ever thought of, and more", "b"]
    for height, width in ((144, 256), (640, 360), (2160, 3840)):
        panel = draw_panel([(names[0], 1.0), (names[1], 0.0)], height, width)
        assert panel.shape[0] < height // 2 and panel.shape[1] <= width and panel.dtype == np.uint8
        text = (panel[..., :3] > 200).all(axis=2)
        assert text.any() and not text[:, :3].any() and not text[:, -3:].any()


def test_drawings_are_whole_or_absent(predictor: Predictor, tmp_path: Path) -> None:
    (tmp_path / "seen.mp4").write_text("older")
    write_audio(tmp_path / "sound.mp4")
    with pytest.raises(MediaError, match="no video stream"):
        save_overlay(tmp_path / "seen.mp4", timeline_of(tmp_path / "sound.mp4", [0, 9, 0, 0]))
    path = write_video(tmp_path / "film.mp4", 16)
    breaks = timeline_of(path, [0, 9, 0, 0], [0] * 4 + [9])  # fails at the second window, whose class has no name
    with pytest.raises(IndexError):
        save_overlay(tmp_path / "seen.mp4", breaks)
    assert (tmp_path / "seen.mp4").read_text() == "older"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["film.mp4", "seen.mp4", "sound.mp4"]
    with pytest.raises(InputError, match="gone"), atomic_path(tmp_path / "gone" / "seen.mp4"):
        pass


def test_several_videos_are_drawn_into_a_folder(weights: Path, tmp_path: Path, call: Call) -> None:
    for name, count in (("a.mp4", 20), ("sub/a.mkv", 9)):
        (tmp_path / "clips" / name).parent.mkdir(parents=True, exist_ok=True)
        write_video(tmp_path / "clips" / name, count)
    for _ in range(2):  # the second run must not read videos that the first one made
        ended = call("tools/predict.py", "clips", "--weights", weights, "--save", "clips/seen", "-j", 2)
        assert "videos: 2 expected, 2 scored" in ended.out
    for name, count in (("a.mp4", 20), ("sub/a.mp4", 9)):
        with open_video(tmp_path / "clips" / "seen" / name) as source:
            assert len(source) == count


def test_frames_of_another_size_are_fitted() -> None:
    picture = Canvas(48, 64).place(cv2.cvtColor(draw(0, (96, 40)), cv2.COLOR_RGB2BGR))
    assert picture.shape == (192, 256, 3)


def test_a_font_is_chosen_by_what_it_has() -> None:
    assert font_file(["jump", "ходить"]) == str(DEFAULT)
    assert Path(font_file(["跳舞"])).is_file()


def test_a_name_that_is_too_long_does_not_prevent_other_predictions(weights: Path, tmp_path: Path, call: Call) -> None:
    """The output names of one video just fit; those of the other would have 256 bytes with their extensions."""
    (tmp_path / "clips").mkdir()
    for name in ("a.mp4", f"{'b' * 245}.mp4", f"{'c' * 252}.ts"):
        write_video(tmp_path / "clips" / name, 12)
    flags = ["--weights", weights, "--window", 8, "--timeline", "out", "--json", "all.json", "--csv", "all.csv"]
    done = call("tools/predict.py", "clips", *flags, status=1)
    assert "predicted, but out/ccc" in done.err and "File name too long" in done.err
    with (tmp_path / "all.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["ok"] for row in rows] == ["True"] * 3 and (tmp_path / "all.json").exists()
    assert sorted(len(path.stem) for path in (tmp_path / "out").iterdir()) == [1, 1, 245, 245]
