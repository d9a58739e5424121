"""Live predictions: files at their own speed, network cameras, and what happens when either cannot keep up."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ROOT, Call, NewFolder
from live.rtsp import RtspServer
from media import corrupt, draw, truncate, write_audio, write_irregular, write_video
from small_runs import save_small_checkpoint

from ops.common.errors import InputError, RunStoppedError
from ops.data.containers import open_container
from ops.data.sampling import Sample, view_indices
from ops.data.videos import open_video
from ops.live import display
from ops.live.cameras import open_camera
from ops.live.capture import Capture
from ops.live.device_camera import DeviceCamera
from ops.live.display import Shown, TerminalLine, draw_prediction, has_desktop
from ops.live.inference import Inference, LivePrediction
from ops.live.sliding_predictor import SlidingPredictor
from ops.live.sliding_windows import SlidingWindows, sliding_windows
from ops.live.smoothing import Smoothing
from ops.live.video_stream import Arrival, Playback, VideoStream
from ops.models.checkpoint import save_checkpoint
from ops.models.recognizer import build_model
from ops.predict.predictor import Prediction, Predictor, best_classes, open_predictor
from ops.predict.windows import Windows, predict_windows

NAMES = ["left", "right", "jump", "sit"]
WINDOW = ("--window", 0.64, "--stride", 0.16)
"""Windows of 16 frames of a film of 25 frames per second, one every 4."""


@pytest.fixture(scope="module")
def weights(new_folder: NewFolder) -> Path:
    """A TANet-18 of four classes and four segments at 32 pixels, whose scores differ visibly."""
    return save_small_checkpoint(new_folder("weights") / "ckpt.pth.tar", NAMES)


@pytest.fixture(scope="module")
def film(new_folder: NewFolder) -> Path:
    """40 frames with B-frames, 1.6 seconds."""
    return write_video(new_folder("film") / "film.mp4", 40, b_frames=2)


@pytest.fixture(scope="module")
def predictor(weights: Path) -> Predictor:
    return open_predictor(str(weights))


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize(
    ("sample", "rate", "seconds", "stride", "expected"),  # expected: rate, length, stride, offsets
    [
        ("uniform-1", 25.0, 0.64, 0.16, (25, 16, 4, [2, 6, 10, 14])),
        ("uniform-1", 25.0, 0.64, None, (25, 16, 4, [2, 6, 10, 14])),  # all frames but one are shared
        ("uniform-1", 25.0, None, 0.001, (25, 64, 1, [8, 24, 40, 56])),
        ("dense-1", 25.0, None, None, (25, 64, 16, [0, 16, 32, 48])),
        ("dense-1", 60.0, None, None, (30, 64, 16, [0, 16, 32, 48])),  # as long as in training, not 64 frames
        ("dense-1", 60.0, 3.2, 0.8, (20, 64, 16, [0, 16, 32, 48])),
        ("uniform-1", 10.0, 0.2, None, (10, 2, 1, [0, 0, 1, 1])),  # fewer frames than segments
    ],
)
def test_windows_are_sampled_like_videos(
    sample: str, rate: float, seconds: float | None, stride: float | None, expected: tuple[float, int, int, list[int]]
) -> None:
    kind: Any = sample.split("-")[0]
    windows = sliding_windows(
        lambda count: view_indices(count, 4, sample), Sample(kind, 1), rate, 4, seconds, stride
    )  # fmt: skip
    found = windows.rate, windows.length, windows.stride, windows.offsets[0].tolist()
    assert found == expected


@pytest.mark.parametrize(("rate", "trained"), [(30.0, 2.0), (12.0, 3.0), (25.0, 7.3), (30.0, 0.1)])
def test_windows_as_long_as_the_videos_of_training_share_all_frames_but_one(rate: float, trained: float) -> None:
    windows = sliding_windows(
        lambda count: view_indices(count, 8, "uniform-1"), Sample("uniform", 1), rate, 8, trained=trained
    )
    assert (windows.length % 8 == 0 and abs(windows.length - trained * rate) <= 4) or windows.length == 8
    assert len(set(windows.slots(5).flat) - set(windows.slots(4).flat)) == 1


def test_what_a_sliding_window_needs() -> None:
    windows = SlidingWindows(25.0, 8, 4, np.array([[1, 3, 5, 7]]))
    wanted = {int(slot) for number in range(5) for slot in windows.slots(number).flat}
    assert {slot for slot in range(20) if windows.is_wanted(slot)} == {slot for slot in wanted if slot < 20}
    assert [windows.last_complete(newest) for newest in (-1, 6, 7, 10, 11, 23)] == [-1, -1, 0, 0, 1, 4]
    assert windows.first_slot(2) == 9 and windows.span(2) == (8 / 25, 16 / 25)


@pytest.mark.parametrize("crops", [1, 3])
def test_live_logits_are_those_of_the_same_frames(
    call: Call, weights: Path, film: Path, crops: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[int] = []
    add = SlidingPredictor.add
    monkeypatch.setattr(
        SlidingPredictor, "add", lambda self, slot, views: computed.append(slot) or add(self, slot, views)
    )
    options = ("--weights", weights, "--json", "--test_crops", crops, "--speed", 0.5)
    found = objects(call("tools/live.py", film, *WINDOW, *options).out)
    windows = Windows(16, 4, Sample("uniform", 1))
    expected = predict_windows(open_predictor(str(weights), crops=crops), film, windows)
    by_start = {window.start: window.logits for window in expected.windows}
    assert len(found) >= 2  # of 7: a busy machine may skip some
    for each in found:
        logits = by_start[round(each["start_s"] * 25)]
        np.testing.assert_allclose(each["logits"], logits, rtol=1e-4, atol=1e-5 * np.abs(logits).max())
        assert each["label"] == each["top"][0]["class"] == NAMES[int(logits.argmax())]
        assert each["latency_s"] >= 0
    assert len(computed) == len(set(computed)) <= 10, "a frame is computed once for all its windows"


@pytest.fixture(scope="module")
def several(weights: Path) -> Path:
    """The same network, for videos with several labels."""
    path = weights.with_name("several.pth.tar")
    content = torch.load(weights, weights_only=True)
    torch.save({**content, "meta": {**content["meta"], "multi_label": True}}, path)
    return path


def test_of_several_labels_all_likely_ones_are_shown(call: Call, several: Path, film: Path) -> None:
    options = (film, *WINDOW, "--weights", several, "--speed", 0.5, "--test_crops", 3)
    found = objects(call("tools/live.py", *options, "--json").out)
    expected = predict_windows(open_predictor(str(several), crops=3), film, Windows(16, 4, Sample("uniform", 1)))
    shares = {window.start: window.logits for window in expected.windows}
    assert found
    for each in found:
        wanted = shares[round(each["start_s"] * 25)]
        np.testing.assert_allclose(each["probabilities"], wanted, rtol=1e-4, atol=1e-6)
        assert "logits" not in each and set(each["labels"]) == {NAMES[k] for k in np.flatnonzero(wanted >= 0.5)}
        assert each["label"] == (each["labels"][0] if each["labels"] else None)
    lines = call("tools/live.py", *options, "--display", "terminal", "--threshold", 0).out.splitlines()
    assert all(set(re.search(r"%  (.+?)  \(", line)[1].split(", ")) == set(NAMES) for line in lines[1:-1])  # type: ignore[index]


def test_the_line_is_written_over_until_the_labels_change(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    live = LivePrediction(Prediction("film", np.zeros(2, np.float32), None), 0.0, 1.0, 0.2, 25.0, 0, 0)
    display = TerminalLine()
    for labels in ([], [], ["jump"], ["jump"], []):
        display.show(Shown(live, [("jump", 0.4)], labels))
    display.close()
    assert [text[0] for text in re.findall(r"[\r\n].*?%", capsys.readouterr().out)] == list("\r\r\n\r\n")


def test_frames_are_those_of_a_test(film: Path, predictor: Predictor) -> None:
    windows = sliding_windows(lambda count: predictor.choose(count)[0], predictor.sample, 25, 4, 0.64, 0.16)
    capture = Capture(open_camera(str(film), speed=50), windows, predictor.plan(), keeps_images=False)
    found = {}
    capture.forget = lambda before: found.update(capture.kept)  # type: ignore[method-assign]
    capture.start()
    capture.join(timeout=20)
    capture.stop()
    assert capture.error is None and capture.count == 40 and sorted(found) == list(range(2, 40, 4))
    with open_video(film) as source:
        plan = predictor.plan()(48, 64)
        for slot, frame in source.frames(sorted(found)):
            assert torch.equal(found[slot].views[0], plan.cut(0, plan(frame)))


def test_a_frame_stands_until_the_next_one(tmp_path: Path, predictor: Predictor) -> None:
    path = write_irregular(tmp_path / "gaps.mkv", [0, 40, 80, 120, 400, 440, 480])
    windows = SlidingWindows(25.0, 12, 1, np.array([[0, 11]]))
    capture = Capture(open_camera(str(path), speed=10), windows, predictor.plan(), keeps_images=True)
    found = {}
    capture.forget = lambda before: found.update(capture.kept)  # type: ignore[method-assign]
    capture.start()
    capture.join(timeout=20)
    capture.stop()
    assert capture.error is None and sorted(found) == list(range(13))
    pairs = [torch.equal(found[slot].views, found[3].views) for slot in range(13)]
    assert pairs == [3 <= slot < 10 for slot in range(13)]
    assert capture.image is not None and capture.image.shape == (48, 64, 3)


def test_what_never_started_can_be_stopped(film: Path, predictor: Predictor) -> None:
    windows = SlidingWindows(25.0, 16, 4, np.array([[2, 6, 10, 14]]))
    capture = Capture(open_camera(str(film)), windows, predictor.plan(), keeps_images=False)
    inference = Inference(predictor, windows, capture, "film")
    capture.stop()
    inference.stop()
    assert not capture.is_alive() and not inference.is_alive()


def test_what_comes_too_fast_is_dropped_and_not_queued(call: Call, weights: Path, film: Path) -> None:
    found = objects(
        call(
            "tools/live.py", film, "--weights", weights, "--json", "--window", 0.64, "--stride", 0.04, "--speed", 40
        ).out
    )
    last = found[-1]
    assert last["skipped_windows"] > 5 and last["dropped_frames"] > 0
    assert last["end_s"] >= 1.4, "the newest window is predicted, whatever was skipped"
    assert last["skipped_windows"] + len(found) <= 26


class _LateClock(Playback):
    """Decoding is late between two packets."""

    def __init__(self, first: float, last: float) -> None:
        super().__init__(1000)
        self._late = first, last

    def lag(self, seconds: float) -> float:
        return 9.0 if self._late[0] <= seconds < self._late[1] else 0.0


def test_decoding_that_is_late_goes_on_at_a_key_frame(tmp_path: Path) -> None:
    path = write_video(tmp_path / "long.mp4", 60, gop=12)
    stream = VideoStream(str(path), open_container(str(path)), _LateClock(8 / 25, 20 / 25))
    found = {round(frame.seconds * 25): frame.image() for frame in stream.frames(threading.Event())}
    stream.close()
    assert sorted(found) == [*range(8), *range(24, 60)] and stream.lost == 16
    with open_video(path) as source:
        for index, image in enumerate(source.images()):
            assert index not in found or np.array_equal(found[index], image)


def test_the_clock_of_a_network_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    clock, lags = Arrival(), []
    for seconds, delay in ((0, 0), (1, 0.3), (2, 0), (3, 2), (15, 2), (27, 2), (28, 2)):
        now[0] = 100 + seconds + delay
        lags.append(clock.lag(seconds))
    assert lags == pytest.approx([0, 0.3, 0, 2, 2, 0, 0])  # a delay that lasts is taken for a drift of its clock


def test_smoothing_and_threshold() -> None:
    even, sure = np.array([0.5, 0.5]), np.array([1.0, 0.0])
    assert np.array_equal(Smoothing(0)(sure, 0.0), sure)
    smoothing = Smoothing(1.0)
    smoothing(even, 0.0)
    assert smoothing(sure, 1.0)[0] == pytest.approx(1 - 0.5 / np.e)
    assert best_classes(sure, ["a", "b"]) == [("a", 1.0), ("b", 0.0)]
    assert best_classes(sure, None, 1) == [("0", 1.0)]


def test_below_the_threshold_there_is_nothing(call: Call, weights: Path, film: Path) -> None:
    options = ("--weights", weights, *WINDOW, "--threshold", 0.999999, "--smoothing", 1)
    assert all(each["label"] is None for each in objects(call("tools/live.py", film, *options, "--json").out))
    lines = call("tools/live.py", film, *options, "--display", "terminal").out.splitlines()
    assert "windows of 0.64 s every 0.16 s" in lines[0]
    assert re.search(r"–  \(\d+\.\d frames/s, latency \d+\.\d\d s, dropped \d+ frames and \d+ windows\)$", lines[1])
    assert lines[-1].startswith("40 frames in ")


@pytest.fixture
def bad(tmp_path: Path, film: Path) -> dict[str, tuple[str, ...]]:
    """Names → arguments that cannot be used."""
    (tmp_path / "text.mp4").write_text("no film")
    (tmp_path / "folder").mkdir()
    write_audio(tmp_path / "audio.mp4")
    return {
        "no such file": ("none.mp4",),
        "a text": ("text.mp4",),
        "a folder": ("folder",),
        "no video in it": ("audio.mp4",),
        "no such camera": ("77",),
        "no camera": ("/dev/null",),
        "another protocol": ("http://127.0.0.1:9/film.mp4",),
        "a password with an @": ("rtsp://user:se@secret@127.0.0.1:9/film",),
        "a window of ages": (str(film), "--window", "1e25"),
        "a film that stands still": (str(film), "--speed", "1e-30"),
        "nobody there": ("rtsp://user:secret@127.0.0.1:9/film",),
        "shorter than a window": (str(film), "--window", "9"),
        "no desktop": (str(film), "--display", "window"),
        "a probability above 1": (str(film), "--threshold", "1.5"),
        "a stride of nothing": (str(film), "--stride", "0"),
    }


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("no such file", "none.mp4: No such file"),
        ("a text", "text.mp4: not a readable video"),
        ("a folder", "folder: not a regular file"),
        ("no video in it", "audio.mp4: has no video stream"),
        ("no such camera", "camera 77: "),
        ("no camera", "/dev/null: cannot be opened"),
        ("another protocol", "only rtsp:// and rtsps:// addresses"),
        ("nobody there", "rtsp://127.0.0.1:9/film: the stream cannot be opened (Connection refused)"),
        ("a password with an @", "rtsp://127.0.0.1:9/film: the stream cannot be opened (Connection refused)"),
        ("a window of ages", "must be a number above 0, at most 86400"),
        ("a film that stands still", "must be a number from 0.01 to 1000"),
        ("shorter than a window", "ends before the first window of 9.00 s is full"),
        ("no desktop", "--display terminal"),
        ("a probability above 1", "must be a number in [0, 1)"),
        ("a stride of nothing", "must be a number above 0"),
    ],
)
def test_what_cannot_be_opened(
    name: str, says: str, bad: dict[str, tuple[str, ...]], call: Call, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    ended = call("tools/live.py", *bad[name], "--weights", weights, status=2)
    assert says in ended.err and len(ended.err.splitlines()) == 1 and "secret" not in ended.err


@pytest.mark.parametrize("damage", [partial(truncate, share=0.6), corrupt])
def test_damaged_files_play_as_far_as_they_go(damage: Any, call: Call, weights: Path, tmp_path: Path) -> None:
    path = write_video(tmp_path / "film.mkv", 60, gop=5)
    damage(path)
    ended = call("tools/live.py", path, "--weights", weights, *WINDOW, "--json", "--speed", 4)
    assert objects(ended.out) and not ended.err


def test_other_tools_refuse_what_this_one_opens(call: Call, weights: Path) -> None:
    ended = call("tools/predict.py", "rtsp://127.0.0.1:9/film", "--weights", weights, status=2)
    assert "not a plain file path" in ended.err


def test_a_network_camera_that_vanishes(call: Call, weights: Path, tmp_path: Path) -> None:
    film = write_video(tmp_path / "film.h264", 70, gop=10)
    with RtspServer(film) as server:
        ended = call("tools/live.py", server.address, "--weights", weights, *WINDOW, "--json", status=3)
    assert objects(ended.out)
    assert ended.err.startswith("error: rtsp://127.0.0.1:") and "stopped sending" in ended.err
    assert len(ended.err.splitlines()) == 1 and "secret" not in ended.err


def test_a_camera_of_this_machine_that_vanishes(film: Path) -> None:
    camera = DeviceCamera(str(film))  # OpenCV opens a file like a camera
    frames = camera.frames(threading.Event())
    first = next(frames)
    with open_video(film) as source:
        assert first.seconds == 0 and np.array_equal(first.image(), next(source.images()))
    with pytest.raises(RunStoppedError, match="gives no more frames"):
        list(frames)
    camera.close()


def start(weights: Path, film: Path, *options: object) -> "subprocess.Popen[str]":
    command = [sys.executable, ROOT / "tools/live.py", film, "--weights", weights, *WINDOW, "--json", *options]
    return subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # background jobs ignore SIGINT
    )  # fmt: skip


@pytest.fixture
def slow_film(tmp_path: Path) -> Iterator[Path]:
    """A film that plays for longer than a test waits."""
    yield write_video(tmp_path / "slow.mp4", 300, fps=10)


def test_interrupting_ends_in_one_line(weights: Path, slow_film: Path) -> None:
    running = start(weights, slow_film)
    assert running.stdout is not None
    assert json.loads(running.stdout.readline())["label"] in NAMES
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=30)
    assert (running.returncode, err) == (130, "interrupted\n")


def test_it_ends_when_nobody_reads(weights: Path, slow_film: Path) -> None:
    running = start(weights, slow_film)
    assert running.stdout is not None
    running.stdout.readline()
    running.stdout.close()
    assert running.wait(timeout=30) == 0


def test_a_network_of_flow_is_refused(call: Call, film: Path, tmp_path: Path) -> None:
    path = tmp_path / "flow.pth.tar"
    save_checkpoint(path, build_model("resnet18", 4, 4, "Flow"), {"class_names": NAMES, "input_size": 32})
    assert "contain only RGB" in call("tools/live.py", film, "--weights", path, status=2).err


def test_the_picture_shows_classes_and_state() -> None:
    image = draw(0, (240, 320))[..., ::-1].copy()
    live = LivePrediction(Prediction("film", np.zeros(2, np.float32), None), 0.0, 1.0, 0.2, 25.0, 3, 1)
    shown = Shown(live, [("jump", 0.9), ("sit", 0.1)], ["jump"])
    assert shown.state == "25.0 frames/s, latency 0.20 s, dropped 3 frames and 1 window"
    picture = draw_prediction(image, shown, ["jump", "sit"])
    nothing = draw_prediction(image, Shown(live, [("jump", 0.9)], []), ["jump"])
    same = (picture == image).all(axis=2)
    assert same[60:140].all() and not same[:20].all() and not same[-40:, :160].all()
    assert not np.array_equal(picture, nothing)
    assert np.array_equal(draw_prediction(image, None, []), image)


def test_a_display_that_does_not_answer_is_no_desktop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "python").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(display, "DESKTOP_SECONDS", 0.05)
    monkeypatch.setenv("DISPLAY", ":99")
    assert not has_desktop()


@pytest.mark.skipif(not has_desktop(), reason="there is no desktop here")
def test_a_window_on_the_desktop(call: Call, weights: Path, film: Path) -> None:
    ended = call("tools/live.py", film, "--weights", weights, *WINDOW, "--display", "window")
    assert ended.out.splitlines()[-1].startswith("40 frames in ")


def test_the_library_says_what_is_wrong() -> None:
    with pytest.raises(InputError, match="only rtsp://"):
        open_camera("concat:a|b")
