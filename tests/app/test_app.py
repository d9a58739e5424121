"""The page: what it shows of a video, what it refuses, what it keeps, and how it ends."""

import json
import os
import re
import sys
from html import unescape
from pathlib import Path

import media
import numpy as np
import pytest
from conftest import Call
from small_runs import save_small_checkpoint

from ops.app.analysis import Analyst, open_analyst
from ops.app.examples import SEVERAL_NAME, write_examples
from ops.app.options import add_app_options
from ops.app.page import answer, answer_upload
from ops.app.preview import make_preview, preview_size
from ops.app.view import error_html, result_html
from ops.common.arguments import Parser
from ops.common.errors import InputError
from ops.data.motion import CLASSES
from ops.data.videos import open_video
from ops.predict.options import add_predictor_options

EVIL = "\"'><b>&lt;"
NAMES = ("a", "b", EVIL)


def analyst_of(folder: Path, *flags: str) -> Analyst:
    weights = folder / "w.pth.tar"
    if not weights.exists():
        save_small_checkpoint(weights, NAMES)
    parser = Parser()
    add_app_options(parser)
    add_predictor_options(parser)
    return open_analyst(parser.parse_args(["--weights", str(weights), "--device", "cpu", *flags]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page")
    media.write_video(path / "v.mp4", 40, seed=1)
    media.write_video(path / "short.mp4", 3)
    (path / "broken.mp4").write_bytes(b"not a video" * 99)
    return path


@pytest.fixture(scope="module")
def analyst(folder: Path) -> Analyst:
    return analyst_of(folder, "--window", "8", "--stride", "4")


def text_of(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def test_the_page_shows_the_prediction_the_timeline_and_the_explanation(analyst: Analyst, folder: Path) -> None:
    analysis = analyst(folder / "v.mp4", "v.mp4")
    html = result_html(analysis)
    (name, share), *_ = analyst.predictor(folder / "v.mp4").top(1)
    assert f"{name} {100 * share:.1f} %" in text_of(html)
    assert len(analysis.timeline.windows) == 9 and "9 windows of 8 frames" in html
    assert analysis.explanation.target == analysis.prediction.probabilities.argmax()
    assert html.count('class="tam-frame"') == 4 and html.count("data:image/jpeg") == 8
    assert html.count("<tr") == 2 + len(analysis.explanation.watch.importance) == 10
    readings = json.loads(unescape(re.search(r"data-readings='([^']*)'", html)[1]))  # type: ignore[index]
    assert len(readings["edges"]) == len(readings["best"]) == 9
    assert readings["edges"][-1] == pytest.approx(analysis.seconds[-1], abs=1e-3)
    widths = [float(width) for width in re.findall(r"left: [\d.]+%; width: ([\d.]+)%", html)]
    assert sum(widths) == pytest.approx(100, abs=0.1)


def test_names_cannot_add_anything_to_the_page(analyst: Analyst, folder: Path) -> None:
    for html in (result_html(analyst(folder / "v.mp4", EVIL)), error_html(EVIL)):
        assert "<b>&lt" not in html and "&lt;b&gt;" in html
        assert not re.search(r'(src|href)="(?!data:)', html)


def test_a_network_without_tam_has_no_table_of_importance(folder: Path, tmp_path: Path) -> None:
    import torch

    from ops.models.checkpoint import save_checkpoint
    from ops.models.recognizer import build_model

    torch.manual_seed(0)
    model = build_model("resnet18", 2, 4, tam=False)
    save_checkpoint(tmp_path / "w.pth.tar", model, {"class_names": ["a", "b"], "input_size": 32, "dataset": "custom"})
    html = result_html(analyst_of(tmp_path)(folder / "v.mp4", "v.mp4"))
    assert "Importance" not in html and html.count('class="tam-frame"') == 8


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("broken.mp4", "broken.mp4: not a readable video (Invalid data found"),
        ("short.mp4", "short.mp4: is too short: it has 3 frames, and the network looks at 4"),
        ("missing.mp4", "cannot be read (No such file or directory)"),
        (".", "is not a regular file"),
    ],
)
def test_a_video_that_cannot_be_used_gives_one_message(analyst: Analyst, folder: Path, name: str, reason: str) -> None:
    html = answer(analyst, str(folder / name), name, 10)
    assert "tam-error" in html and reason in text_of(html) and str(folder) not in html


def test_too_large_files_are_refused(analyst: Analyst, folder: Path) -> None:
    large = folder / "large.mp4"
    large.touch()
    os.truncate(large, 1_500_000)
    assert "large.mp4: has 1.5 MB, and at most 1 MB are accepted" in text_of(answer(analyst, str(large), large.name, 1))


def test_unexpected_errors_are_logged_and_the_page_goes_on(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    def fails(path: str, name: str) -> None:
        raise RuntimeError("secret")

    html = answer(fails, str(folder / "v.mp4"), "v.mp4", 10)  # type: ignore[arg-type]
    assert "unexpected error" in html and "secret" not in html and "secret" in caplog.text
    caplog.clear()


def test_an_upload_is_deleted_after_the_answer(analyst: Analyst, folder: Path, tmp_path: Path) -> None:
    for name, part in (("v.mp4", "tam-result"), ("broken.mp4", "tam-error")):
        upload = tmp_path / "hash" / name
        upload.parent.mkdir()
        upload.write_bytes((folder / name).read_bytes())
        empty, html = answer_upload(analyst, 10, str(upload))
        assert empty is None and part in html and not upload.parent.exists()
    assert "There is no video" in answer_upload(analyst, 10, None)[1]


def test_the_copy_to_play_has_every_frame_at_its_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    preview = make_preview(folder / "v.mp4")
    assert preview.step == 1 and (preview.width, preview.height) == (64, 48)
    copy = folder / "copy.mp4"
    copy.write_bytes(preview.content)
    with open_video(folder / "v.mp4") as source, open_video(copy) as copied:
        np.testing.assert_allclose(copied.seconds[:-1], source.seconds[:-1], atol=1e-3)
    monkeypatch.setattr("ops.app.preview.MOST_FRAMES", 10)
    preview = make_preview(folder / "v.mp4")
    copy.write_bytes(preview.content)
    with open_video(copy) as copied:
        assert preview.step == 4 and len(copied) == 10
    assert (
        preview_size(1080, 1920) == (360, 640) and preview_size(2, 9000) == (2, 1440) and preview_size(1, 1) == (2, 2)
    )


def test_long_videos_have_fewer_windows(analyst: Analyst) -> None:
    assert analyst.windows(100).stride == 4
    assert len(analyst.windows(1_000_000).spans(1_000_000)) < 250


def test_examples_are_of_the_built_in_classes(tmp_path: Path) -> None:
    examples = write_examples(tmp_path)
    assert list(examples) == [*CLASSES, SEVERAL_NAME]
    with open_video(examples["left"]) as one, open_video(examples[SEVERAL_NAME]) as several:
        assert len(one) == 60 and len(several) == 4 * 80


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--window", "3"], "--window 3: is shorter than the 4 segments"),
        (["--port", "0"], "'0' must be an integer from 1 to 65535"),
        (["--max_mb", "0"], "'0' must be an integer of at least 1"),
    ],
)
def test_wrong_settings_are_refused(folder: Path, flags: list[str], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        analyst_of(folder, *flags)


def test_missing_packages_are_named(call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "w.pth.tar").touch()
    monkeypatch.setitem(sys.modules, "gradio", None)
    ended = call("tools/app.py", "--weights", "w.pth.tar", status=2)
    assert ended.err == "error: this tool needs gradio: python -m pip install gradio\n"
