"""tools/predict.py gives the logits of a test as files and as text, and one line for every error."""

import csv
import json
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from conftest import Call, NewFolder
from media import corrupt, truncate, write_audio, write_frames, write_video
from small_runs import save_small_checkpoint

from ops.common.errors import InputError, MediaError
from ops.data.video_writer import FORMATS
from ops.predict.inputs import Video, find_inputs, output_names
from ops.predict.predictions import Outcome, Terminal, write_json
from ops.predict.predictor import Prediction, open_predictor

TOOL = "tools/predict.py"
NAMES = ["wave to the left", "wave to the right", "jump", "sit", "run", "a very long name, with a comma"]


@pytest.fixture(scope="module")
def weights(new_folder: NewFolder) -> Path:
    """A TANet-18 for six classes, four segments and 32 pixels, whose scores differ clearly. Tests share the file."""
    return save_small_checkpoint(new_folder("weights") / "ckpt.pth.tar", NAMES, std=0.3)


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A folder of two videos, one of which is in a subfolder, and a text file."""
    (tmp_path / "clips" / "sub").mkdir(parents=True)
    write_video(tmp_path / "clips" / "b.mp4", 20)
    write_video(tmp_path / "clips" / "sub" / "a.mkv", 9, size=(64, 40), seed=1)
    (tmp_path / "clips" / "notes.txt").write_text("no video")
    return tmp_path / "clips"


def read_json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content


@pytest.mark.parametrize(
    "protocol",
    [
        (),
        ("--sample", "dense-3", "--test_crops", "3", "--full_res"),
        ("--sample", "uniform-2", "--test_crops", "10", "--input_size", "40", "--views_per_forward", "2"),
        ("--decoder", "opencv", "--amp", "bf16", "--channels_last", "--device", "cpu", "--test_segments", "4"),
        ("--runtime", "onnxruntime", "--sample", "uniform-2", "--device", "cpu"),
        ("--runtime", "openvino", "--amp", "bf16", "--device", "cpu"),
    ],
)
def test_logits_are_those_of_a_test_bit_for_bit(
    protocol: tuple[str, ...], weights: Path, clips: Path, tmp_path: Path, call: Call
) -> None:
    if "--runtime" in protocol:
        pytest.importorskip(protocol[1])
    (tmp_path / "list.txt").write_text("b.mp4 20 0\nsub/a.mkv 9 1\n")
    scores = ("--test_list", "list.txt", "--root_path", clips, "--save_scores", "scores.npz", "--output", "test")
    call("online_test_models.py", "custom", "--weights", weights, *scores, "-j", 0, *protocol)
    call(TOOL, clips, "--weights", weights, "--json", "all.json", *protocol)
    videos = read_json(tmp_path / "all.json")["videos"]
    assert [video["path"] for video in videos] == [str(clips / "b.mp4"), str(clips / "sub/a.mkv")]
    found = np.array([video["logits"] for video in videos], np.float32)
    wanted = np.load(tmp_path / "scores.npz")["scores"]
    assert found.tobytes() == wanted.tobytes() and not np.array_equal(wanted[0], wanted[1])


def test_a_file_name_may_begin_with_a_dash(weights: Path, clips: Path, tmp_path: Path, call: Call) -> None:
    for name in ("-name.mp4", "--xQUuC4vJs.mp4", "-explosion.mp4"):
        (tmp_path / name).write_bytes((clips / "b.mp4").read_bytes())
    for given in ("-name.mp4", "--xQUuC4vJs.mp4", "-explosion.mp4"):  # the last one could be read as -e with a value
        ended = call(TOOL, clips / "b.mp4", given, "--weights", weights, status=2)
        assert ended.err == f"error: {given}: this file's name begins with -; write ./{given}, or ./* in patterns\n"
        assert call(TOOL, f"./{given}", "--weights", weights).out.startswith(f"./{given}\n")
        assert call(TOOL, "--weights", weights, "--", given).out.startswith(f"{given}\n")
    ended = call(TOOL, "--", "-name.mp4", "--weights", weights, status=2)
    assert "required: --weights (arguments after -- are not read as flags: put flags before it)" in ended.err


def test_extensions_of_videos_can_be_given(weights: Path, clips: Path, call: Call) -> None:
    (clips / "b.mp4").rename(clips / "b.video")
    assert str(clips / "b.video") in call(TOOL, clips, "--weights", weights, "-e", "video").out
    assert "a.mkv" in call(TOOL, clips, "--weights", weights).out
    ended = call(TOOL, clips, "--weights", weights, "-e", "mov", status=2)
    assert "no videos or frames in this folder (there are .video, .txt, .mkv)" in ended.err


def test_a_prediction_is_printed_and_written(weights: Path, clips: Path, tmp_path: Path, call: Call) -> None:
    ended = call(TOOL, clips / "b.mp4", "--weights", weights, "--json", "one.json", "--csv", "one.csv")
    lines = ended.out.splitlines()
    assert lines[0] == str(clips / "b.mp4") and len(lines) == 6 and "\x1b" not in ended.out
    one = read_json(tmp_path / "one.json")
    video = one["videos"][0]
    best = video["top"][0]
    assert lines[1].split()[0] == f"{100 * best['probability']:.1f}" and lines[1].endswith(best["class"])
    powers = np.exp(np.array(video["logits"]))
    assert best["probability"] == pytest.approx(powers.max() / powers.sum()) and NAMES[powers.argmax()] == best["class"]
    assert one["class_names"] == NAMES and "4 frames of 32 x 32" in one["protocol"] and one["windows"] is None
    rows = list(csv.DictReader((tmp_path / "one.csv").open()))
    assert rows[0]["path"] == str(clips / "b.mp4") and rows[0]["class_1"] == best["class"] and rows[0]["ok"] == "True"
    assert float(rows[0]["probability_1"]) == pytest.approx(best["probability"], abs=1e-6) and "class_5" in rows[0]
    ended = call(TOOL, clips / "b.mp4", "--weights", weights, "--json", "t.json", "--csv", "t.csv", "--topk", 2)
    assert (
        ended.out.splitlines() == lines[:3] and read_json(tmp_path / "t.json")["videos"][0]["top"] == video["top"][:2]
    )
    assert list(next(csv.reader((tmp_path / "t.csv").open()))) == [*list(rows[0])[:6], "reason"]


def test_folders_of_frames_and_lists_are_predicted_as_a_test_scores_them(
    weights: Path, tmp_path: Path, call: Call
) -> None:
    write_frames(tmp_path / "frames/jump/a", 6)
    write_frames(tmp_path / "frames/jump/c/d", 5)
    write_video(tmp_path / "frames/jump/b.mp4", 6)
    (tmp_path / "frames/thumbs").mkdir()
    (tmp_path / "frames/thumbs/cover.png").touch()
    (tmp_path / "frames/jump/poster.png").touch()
    predict = (TOOL, "--weights", weights, "--device", "cpu", "--json", "p.json")

    def predicted() -> dict[str, list[float]]:
        return {one["path"]: one["logits"] for one in json.loads((tmp_path / "p.json").read_text())["videos"]}

    done = call(*predict, "frames")
    whole = predicted()
    assert list(whole) == ["frames/jump/b.mp4", "frames/jump/a", "frames/jump/c/d"]
    assert "warning: frames: 1 folder of images left out, such as frames/thumbs: " in done.err
    call(*predict, "frames/jump/a", "frames/jump/b.mp4", "frames/jump/c")
    assert predicted() == whole
    (tmp_path / "l.txt").write_text("jump/a 6 0\njump/c/d 5 1\n")
    (tmp_path / "v.txt").write_text("jump/b.mp4 0\ngone.mp4 1\n")
    done = call(*predict, "--list", "l.txt", "v.txt", "--root_path", "frames", status=1)
    assert "not scored: frames/gone.mp4: no such file" in done.err
    made = json.loads((tmp_path / "p.json").read_text())["videos"]
    assert {one["path"]: one["logits"] for one in made if one["ok"]} == whole
    call("test_models.py", "custom", "--weights", weights, "--test_list", "l.txt", "--root_path", "frames", "-j", 0,
         "--device", "cpu", "--output", "out", "--save_scores", "s.npz")  # fmt: skip
    scores = np.load(tmp_path / "s.npz")["scores"]
    assert np.allclose(scores, [whole["frames/jump/a"], whole["frames/jump/c/d"]], atol=1e-5)
    done = call(*predict[:-2], "frames/jump/a", "--window", 4, status=2)
    assert "frames have no times: windows, timelines and drawings need a video" in done.err
    for arguments, message in (
        ((), "no videos: give files, folders, or --list"), (("x", "--root_path", "."), "--root_path can only be used"),
        (("frames/thumbs",), "frames/thumbs: there are no videos or frames in this folder (there are .png)"),
        (("--list", "none.txt"), "none.txt: cannot read the list"),
    ):  # fmt: skip
        assert call(*predict, *arguments, status=2).err.startswith(f"error: {message}")


def test_a_folder_with_broken_videos_scores_the_others(weights: Path, clips: Path, tmp_path: Path, call: Call) -> None:
    (clips / "empty.mp4").touch()
    truncate(write_video(clips / "cut.mp4", 40, gop=4), 0.6)
    write_audio(clips / "sound.mp4")
    given = (clips, tmp_path / "gone.mp4", "http://host/film.mp4", "concat:a|b", "nothing/*.mp4")
    ended = call(TOOL, *given, "--weights", weights, "--csv", "all.csv", status=1)
    rows = {Path(row["path"]).name: row for row in csv.DictReader((tmp_path / "all.csv").open())}
    assert [name for name, row in rows.items() if row["ok"] == "True"] == ["b.mp4", "cut.mp4", "a.mkv"]
    assert "of 40 frames" in rows["cut.mp4"]["reason"] and "cut short, but scored" in ended.err
    for name, reason in {
        "empty.mp4": "not a readable video",
        "sound.mp4": "has no video stream",
        "gone.mp4": "no such file",
        "film.mp4": "not a plain file path",
        "concat:a|b": "not a plain file path",
        "*.mp4": "no file matches",
    }.items():
        assert reason in rows[name]["reason"]
        assert sum("not scored" in line and f"{name}: " in line for line in ended.err.splitlines()) == 1
    assert "videos: 9 expected, 3 scored, 6 failed" in ended.out


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("gone.mp4", "gone.mp4: no such file"),
        ("https://host/film.mp4", "https://host/film.mp4: not a plain file path"),
        ("concat:clips/b.mp4|clips/b.mp4", "not a plain file path"),
        ("clips/notes.txt", "clips/notes.txt: not a video; if it is a list of videos, put --list before it"),
        ("clips/*.avi", "clips/*.avi: no such file"),
        ("void", "void: there are no videos or frames in this folder"),
    ],
)
def test_input_without_readable_videos_is_one_line(
    given: str, said: str, weights: Path, clips: Path, tmp_path: Path, call: Call
) -> None:
    (tmp_path / "void").mkdir()
    ended = call(TOOL, given, "--weights", weights, "--json", "one.json", status=2)
    assert ended.err.startswith("error: ") and said in ended.err and len(ended.err.splitlines()) == 1
    assert not ended.out and not (tmp_path / "one.json").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--save", "clips/b.mp4"), "--save clips/b.mp4: 2 videos need a folder"),
        (("--save", "seen.webm"), "--save seen.webm: must end in .mp4"),
        (("--save", "clips"), "clips: all its videos are in a folder for results"),
        (("--json", "clips/b.mp4"), "clips/b.mp4: is one of the videos to be read"),
        (("--json", "clips"), "clips: is a directory"),
        (("--json", "x", "--csv", "x"), "x: would be written twice"),
        (("--window", "3"), "windows of 3 frames are shorter than 4 segments"),
        (("--window", "0"), "must be an integer of at least 1"),
        (("--stride", "x"), "must be an integer of at least 1"),
        (("--sample", "dense"), "sample (dense) must be"),
        (("--test_segments", "8"), "trained for 4 segments"),
        (("--weights", "gone.pth.tar"), "gone.pth.tar: cannot read the checkpoint"),
        (("--class_names", "clips/notes.txt"), "has 6 classes, but clips/notes.txt has 1"),
        (("--device", "tpu"), "--device (tpu) must be"),
    ],
)
def test_bad_flags_are_one_line(flags: tuple[str, ...], said: str, weights: Path, clips: Path, call: Call) -> None:
    before = {path: path.read_bytes() for path in clips.rglob("*.m*")}
    ended = call(TOOL, "clips", "--weights", weights, *flags, status=2)
    assert said in ended.err and sum(line.startswith("error: ") for line in ended.err.splitlines()) == 1
    assert before == {path: path.read_bytes() for path in clips.rglob("*.m*")}


def test_the_example_in_python_works(weights: Path, clips: Path) -> None:
    predictor = open_predictor(str(weights))
    views = predictor.views(clips / "b.mp4")
    logits = predictor.logits(views)
    assert views.frames.dtype == torch.uint8 and views.frames.shape == (4, 3, 32, 32) and logits.shape == (6,)
    prediction = predictor(clips / "b.mp4")
    assert prediction.label == prediction.top()[0][0] == NAMES[int(logits.argmax())]
    assert np.array_equal(prediction.logits, logits.numpy()) and prediction.path == str(clips / "b.mp4")
    assert [share for _, share in prediction.top(6)] == sorted(prediction.probabilities, reverse=True)
    with pytest.raises(MediaError, match=r"notes\.txt: not a readable video"):
        predictor(clips / "notes.txt")
    with pytest.raises(InputError, match="GPU 99"):
        open_predictor(str(weights), device="cuda:99")


def test_a_damaged_middle_is_scored(weights: Path, tmp_path: Path) -> None:
    path = corrupt(write_video(tmp_path / "hole.mp4", 40, gop=4))
    assert np.isfinite(open_predictor(str(weights))(path).logits).all()


def test_inputs_are_files_folders_and_patterns(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(clips.parent)
    (clips / "odd[1].mp4").write_bytes(b"")

    def paths(*arguments: str) -> list[str]:
        return [video.path for video in find_inputs(arguments, ["clips/sub"])]

    assert paths("clips") == ["clips/b.mp4", "clips/odd[1].mp4"]  # clips/sub is the output folder, so it is left out
    assert paths("clips/*.mp4", "clips/b.mp4", "./clips/b.mp4") == ["clips/b.mp4", "clips/odd[1].mp4"]
    assert paths("clips/odd[1].mp4") == ["clips/odd[1].mp4"]
    assert paths("**/*.mkv", "clips/sub/a.mkv") == ["clips/sub/a.mkv"]
    assert [video.reason for video in find_inputs(["clips/b.mp4", "clips/c.mp4"])] == ["", "no such file or folder"]
    (clips / "list.txt").touch()
    (found,) = find_inputs(["clips/list.txt"])
    assert found.reason == "not a video; if it is a list of videos, put --list before it"


def test_results_have_names_of_their_own() -> None:
    videos = [Video("in/a/x.mp4", "a/x.mp4"), Video("x.mp4", "x.mp4"), Video("y/x.avi", "y/x.avi"), Video("z.mp4", "")]
    assert list(output_names(videos, ".csv").values())[:3] == ["a/x.csv", "x.csv", "x_2.csv"]


class _Screen:
    """A stub of a terminal for `Terminal`."""

    def __init__(self, encoding: str) -> None:
        self.encoding = encoding

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("encoding", "no_colour", "row"),
    [
        ("utf-8", "", "\x1b[32m  75.0 %  ███████████████       jump\x1b[0m"),
        ("utf-8", "1", "  75.0 %  ███████████████       jump"),
        ("ascii", "1", "  75.0 %  ###############       jump"),
    ],
)
def test_colours_are_for_terminals_that_want_them(
    encoding: str, no_colour: str, row: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", no_colour)
    monkeypatch.setenv("TERM", "xterm")
    prediction = Prediction("a\n\x1b[2J.mp4", np.log(np.array([0.25, 0.75], np.float32)), ["sit", "jump"])
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", _Screen(encoding))
        lines = list(Terminal().lines(Outcome(prediction.path, prediction), False))
    assert lines[1] == row and "a\\n\\x1b[2J.mp4" in lines[0]


def test_scores_that_are_not_finite_are_null(tmp_path: Path) -> None:
    prediction = Prediction("a.mp4", np.array([np.nan, 1.0], np.float32), None)
    write_json(tmp_path / "a.json", [Outcome("a.mp4", prediction)], {})
    assert read_json(tmp_path / "a.json")["videos"][0]["logits"] == [None, 1.0]


def test_containers_that_can_be_written_are_known_to_ffmpeg() -> None:
    assert {*FORMATS.values()} <= av.formats_available
