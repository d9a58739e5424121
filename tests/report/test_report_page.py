"""The page about training runs and tests is complete, correct, and safe with any names."""

import base64
import io
import json
import os
import re
import shutil
import signal
import subprocess
from contextlib import suppress
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import media
import numpy as np
import pytest
from conftest import Call, NewFolder
from PIL import Image

from ops.common.errors import InputError, MediaError
from ops.common.figures import draw_confusion
from ops.report.comparison import compare
from ops.report.results import TEST_FILES, TRAINING_FILES, read_results
from ops.report.thumbnails import HEIGHT, WIDEST, Place, place_of, strip_uri
from ops.testing.results import (
    TestResult,
    confusion_matrix,
    write_metrics,
    write_mistakes,
    write_per_class,
    write_predictions,
)

TOOL = "tools/report.py"
EVIL = "<script>alert(1)</script>"
NAMES = [EVIL, 'a & "b"', r"$\foo$"]
LOG = "epoch,step,lr,train_loss,train_top1,val_loss,val_top1,seconds\n"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def write_test(folder: Path, names: list[str] = NAMES, seed: int = 0, root: Path | None = None, **facts: Any) -> Path:
    """Write the results of a test of 12 videos per class, two of which failed; the videos are `clip 0.mp4` …"""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    labels = np.arange(12 * len(names)) % len(names)
    scores = rng.normal(size=(len(labels), len(names))).astype(np.float32)
    scores[np.arange(len(labels)), labels] += 1.0
    scores[:2] = np.nan
    paths = [f"clip {index}.mp4" for index in range(len(labels))]
    paths[1] = "b\udcffd <i>.mp4"
    reasons = ["No such <file>"] * 2 + [""] * (len(labels) - 2)
    result = TestResult(paths, labels, scores, reasons, [""] * 4 + ["only 5 of 9"] + [""] * (len(labels) - 5))
    data = [{"list": "l.txt", "root": str(root), "kind": "videos", "modality": "RGB"}] if root else None
    known = {"protocol": "resnet18 with TAM; 1 crops", "decoder": "PyAV 0", "lists_sha256": {"l.txt": "f00d"}}
    write_metrics(folder / "metrics.json", result, {**known, "data": data, **facts})
    write_predictions(folder / "predictions.csv", result, names)
    write_per_class(folder / "per_class.csv", result, names)
    write_mistakes(folder / "mistakes.csv", result, names, probabilities=False)
    np.save(folder / "confusion.npy", confusion_matrix(result))
    return folder


def write_run(folder: Path, epochs: int = 2) -> Path:
    """Write the files of a training that was stopped after two epochs."""
    folder.mkdir(parents=True)
    rows = [f"{epoch},{epoch},0.1,{2 - epoch},{10 * epoch},1.5,{20 + epoch},60\n" for epoch in range(epochs)]
    (folder / "log.csv").write_text(LOG + "".join(rows))
    arguments = {"arch": "resnet18", "tam": True, "modality": "RGB", "num_segments": 8, "input_size": 56, "epochs": 9}
    facts = {"command": ["online_main.py", EVIL], "arguments": arguments, "rate": 0.125, "device": "cpu"}
    (folder / "args.json").write_text(json.dumps(facts))
    (folder / "bad_samples.csv").write_bytes(b"epoch,index,path,what,reason\n0,1,x\xff.mp4,was cut short,<b>5 of 9\n")
    (folder / "preempted").write_text("signal 15: epoch 2, step 0\n")
    return folder


@pytest.fixture(scope="module")
def left(new_folder: NewFolder) -> Path:
    """A run folder with a test and all possible files."""
    run = write_run(new_folder("left") / "run")
    draw_confusion(np.eye(2, dtype=np.int64), ["a", "b"], run / "curves.png")
    write_test(run / "test")
    draw_confusion(np.eye(2, dtype=np.int64), NAMES[1:], run / "test/confusion.png")
    return run


class Page(HTMLParser):
    """A parsed page: tags with their attributes, and all text except scripts."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.source = path.read_text("utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] not in ("script", "style"):
            self.text += data

    def pictures(self, kind: str) -> list[str]:
        return [str(at["src"]) for tag, at in self.tags if tag == "img" and f"image/{kind};" in str(at["src"])]

    def check_closed(self) -> None:
        """Assert that the page loads nothing from elsewhere and runs only our own scripts."""
        for tag, attributes in self.tags:
            assert tag not in ("link", "iframe", "object", "embed", "base", "form", "i", "video")
            for name, value in attributes.items():
                assert not name.startswith("on"), (tag, name)
                if name in ("src", "href", "srcset", "action", "data", "poster"):
                    assert str(value).startswith("#" if tag == "a" else "data:image/"), (tag, name, str(value)[:80])
        assert sum(tag == "script" and "type" not in at for tag, at in self.tags) == 2
        style = "".join(re.findall(r"<style>(.*?)</style>", self.source, re.DOTALL))
        assert "url(" not in style and "@import" not in style and not re.search(r"(https?:)?//\w", style)
        scripts = "".join(re.findall(r"<script>(.*?)</script>", self.source, re.DOTALL))
        assert not re.search(r"fetch|XMLHttp|import\(|https?:", scripts)


def test_from_training_to_a_page_with_pictures(call: Call, tmp_path: Path) -> None:
    root = tmp_path / "clips"
    root.mkdir()
    lines = []
    for number in range(4):
        name = os.fsencode(f"clip {number} <i>.mp4") if number else b"cl\xffp.mp4"
        os.rename(media.write_video(root / "new.mp4", 6, seed=number), os.fsencode(root) + b"/" + name)
        lines.append(name + b" 6 %d\n" % (number % 2))
    (tmp_path / "l.txt").write_bytes(b"".join(lines))
    (tmp_path / "names.txt").write_text(f"{EVIL}\nplain\n")
    data = ["custom", "--root_path", "clips", "--device", "cpu", "-j", "0"]
    call(
        "online_main.py", *data, "RGB", "--train_list", "l.txt", "--val_list", "l.txt", "--class_names", "names.txt",
        "--arch", "resnet18", "--pretrain", "none", "--num_segments", "2", "--input_size", "32", "--tam", "-b", "2",
        "--epochs", "1", "--store_name", "run",
    )  # fmt: skip
    call("online_test_models.py", *data, "--weights", "checkpoints/run/ckpt.pth.tar", "--test_list", "l.txt")
    metrics = json.loads((tmp_path / "checkpoints/run/test/metrics.json").read_text())
    assert metrics["dataset"] == "custom" and metrics["data"] == [
        {"list": str(tmp_path / "l.txt"), "root": str(root), "kind": "videos", "modality": "RGB"}
    ]
    done = call(TOOL, "checkpoints/run")
    assert "written: checkpoints/run/report.html" in done.out and "warning" not in done.out + done.err
    page = Page(tmp_path / "checkpoints/run/report.html")
    page.check_closed()
    wrong = 4 - round(metrics["top1"] * 4 / 100)
    assert wrong and len(page.pictures("jpeg")) == wrong and len(page.pictures("png")) == 2
    hashes = (*metrics["lists_sha256"].values(), *metrics["checkpoints_sha256"].values())
    for value in (metrics["protocol"], metrics["decoder"], EVIL, "1 of 1", *hashes):
        assert value in page.text

    # If the videos have moved, the page has a text instead of pictures; with --root_path there are pictures again.
    root.rename(tmp_path / "moved")
    done = call(TOOL, "checkpoints/run/test", "--output", "other.html")
    page = Page(tmp_path / "other.html")
    assert "no picture of" in done.err and not page.pictures("jpeg")
    assert page.text.count("no picture: ") == wrong and "No such file or directory" in page.text
    call(TOOL, "checkpoints/run", "--root_path", "moved", "--output", "other.html", "--mistakes", "1")
    assert len(Page(tmp_path / "other.html").pictures("jpeg")) == 1


def test_names_and_paths_are_text(call: Call, tmp_path: Path) -> None:
    write_run(tmp_path / EVIL.replace("/", "_"))
    write_test(tmp_path / EVIL.replace("/", "_") / "test", published={"top1": 76.1, "top5": EVIL})
    call(TOOL, EVIL.replace("/", "_"), "--output", "page.html")
    page = Page(tmp_path / "page.html")
    page.check_closed()
    assert page.source.count(EVIL) == 0 and page.text.count(EVIL) > 5
    assert r"b\udcffd <i>.mp4" in page.text and "No such <file>" in page.text and "<b>5 of 9" in page.text
    assert "stopped early" in page.text and "signal 15: epoch 2, step 0" in page.text
    assert (
        "36 expected, 34 scored, 2 failed, 1 cut short" in page.text and "2 of 9" in page.text and "76.1" in page.text
    )
    assert page.text.count("no picture: metrics.json does not say where the videos are") > 3


@pytest.mark.parametrize("name", [*TRAINING_FILES, *TEST_FILES])
def test_one_file_alone_makes_a_page_that_says_what_is_missing(
    name: str, left: Path, call: Call, tmp_path: Path
) -> None:
    (tmp_path / "alone").mkdir()
    shutil.copy((left if name in TRAINING_FILES else left / "test") / name, tmp_path / "alone")
    done = call(TOOL, "alone")
    page = Page(tmp_path / "alone/report.html")
    page.check_closed()
    others = ("log.csv", "args.json") if name in TRAINING_FILES else ("metrics.json", "predictions.csv", "mistakes.csv")
    for other in others:
        assert (f"alone/{other}: does not exist" in page.text) == (other != name)
        assert (f"missing: alone/{other}: does not exist" in done.err) == (other != name)
    if name in ("log.csv", "curves.png", "confusion.npy", "confusion.png"):
        assert len(page.pictures("png")) == 1


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metrics.json", b"{"), ("metrics.json", b"[]"), ("args.json", b"\xff"), ("log.csv", b"epoch,lr\n1,2\n"),
        ("log.csv", LOG.encode() + b"x,1,1,1,1,1,1,1\n"), ("log.csv", LOG.encode() + b"1,1,inf,1,1,1,1,1\n"),
        ("per_class.csv", b"name,videos\n"),
        ("confusion.npy", b"no array"), ("confusion.npy", None), ("mistakes.csv", b""), ("bad_samples.csv", b"a\n"),
        ("predictions.csv", b"path\n"), ("per_class.csv", b"name,videos,top1,top5,taken_for,times\na,b,c,d,e,f\n"),
    ],
)  # fmt: skip
def test_damaged_files_are_named_and_the_rest_is_shown(
    name: str, content: bytes | None, left: Path, call: Call, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(left, run)
    path = (run if name in TRAINING_FILES else run / "test") / name
    if content is None:
        np.save(path, np.zeros((2, 3)))
    else:
        path.write_bytes(content)
    assert f"missing: {path.relative_to(tmp_path)}: cannot be read (" in call(TOOL, "run").err
    page = Page(run / "report.html")
    assert "cannot be read (" in page.text and ("0.125" in page.text or name == "args.json")


def test_odd_values_in_metrics_and_arguments_do_no_harm(left: Path, call: Call, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(left, run)
    odd = {
        "top1": "many",
        "top5": [1],
        "expected": True,
        "published": 3,
        "data": [7],
        "lists_sha256": "x",
        "seconds": {},
    }
    (run / "test/metrics.json").write_text(json.dumps({**odd, "protocol": 5, "mean_class_accuracy": float("inf")}))
    (run / "args.json").write_text(json.dumps({"arguments": {"epochs": "x", "arch": 3}, "command": 1, "rate": "y"}))
    call(TOOL, "run")
    Page(run / "report.html").check_closed()


def test_bad_input_ends_in_one_line(left: Path, call: Call, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    shutil.copytree(left / "test", tmp_path / "t")
    for arguments, message in (
        (["nowhere"], "error: nowhere: no such folder; give the folder of a training run"),
        (["t", "empty"], "error: empty: contains no results; looked for log.csv, args.json"),
        (["t", "--root_path", "nowhere"], "error: --root_path nowhere: no such folder"),
        (["t", "--output", "empty"], "error: empty: is a directory; give the name of a file"),
        (["t", "--output", "t/metrics.json/x.html"], "error: t/metrics.json: cannot write to this folder"),
        ([], "error: the following arguments are required"),
    ):
        ended = call(TOOL, *arguments, status=2)
        assert ended.err.startswith(message) and len(ended.err.splitlines()) == 1
    assert not list(tmp_path.rglob("*.html"))


def test_names_of_runs(left: Path, tmp_path: Path) -> None:
    for name in ("a", "b", "x=y"):
        shutil.copytree(left / "test", tmp_path / name / "test")
    write_run(tmp_path / "c")
    folders = [tmp_path / "a", tmp_path / "a/test", tmp_path / "x=y", f"mine={tmp_path / 'b'}", tmp_path / "a"]
    found = read_results([str(folder) for folder in folders])
    names = [results.name for results in found]
    assert len(set(names)) == 5 and names[2:4] == ["x=y", "mine"] and str(tmp_path / "a/test") in names[1]
    only_trained = read_results([str(tmp_path / "c")])[0]
    assert only_trained.test is None and only_trained.missing == [
        f"{tmp_path / 'c/test'}: contains no results of a test"
    ]


def test_several_runs_are_compared_class_by_class(call: Call, tmp_path: Path) -> None:
    write_test(write_run(tmp_path / "a") / "test", seed=0)
    write_test(write_run(tmp_path / "b", epochs=3) / "test", seed=1, lists_sha256={"l.txt": "other"})
    write_test(tmp_path / "c", ["one", "two"])
    tests = {results.name: results.test for results in read_results([str(tmp_path / name) for name in "abc"])}
    known = {name: test for name, test in tests.items() if test}
    found = compare(known)
    assert found and found.names == ["a", "b"] and found.left_out == ["c"] and found.other_lists
    gains = [row.above[0] for row in found.classes]
    assert gains == sorted(gains, key=lambda gain: -(gain or 0)) and gains[0] != gains[-1]
    top1 = {row.name: row.top1 for row in known["b"].classes}
    first = {row.name: row.top1 for row in known["a"].classes}
    assert {row.name: row.above[0] for row in found.classes} == {k: (top1[k] or 0) - (first[k] or 0) for k in NAMES}
    videos = found.videos[0]
    right = [known[name].metric("top1") for name in "ab"]
    assert videos.both == 34 and right[0] and right[1]
    assert videos.only_other - videos.only_first == round((right[1] - right[0]) * 34 / 100)
    assert compare({"a": known["a"]}) is None

    call(TOOL, "first=a", "b", "c")
    page = Page(tmp_path / "report.html")
    page.check_closed()
    assert "Report: 3 runs" in page.text and "they have other classes: c" in page.text
    assert "These tests had different lists" in page.text and "only in" in page.text
    assert sum(at.get("alt", "") == "Loss, top-1 and learning rate over the epochs" for _, at in page.tags) == 1
    assert "classes that are confused with each other are neighbours" in page.text
    write_test(tmp_path / "d", seed=2)
    call(TOOL, "first=a", "b", "d")
    page = Page(tmp_path / "report.html")
    assert all(f"{name}, difference" in page.text for name in "bd"), "each column says which test it belongs to"


def test_a_test_without_labels_lacks_nothing(call: Call, tmp_path: Path) -> None:
    result = TestResult(["a"], np.array([-1]), np.zeros((1, 2), np.float32), [""], [""])
    write_metrics(tmp_path / "metrics.json", result, {})
    write_predictions(tmp_path / "predictions.csv", result, None)
    assert "missing" not in call(TOOL, ".", "--output", "r.html").out
    assert "1 expected, 1 scored, 0 failed, 1 unlabelled" in Page(tmp_path / "r.html").text


def picture(uri: str) -> "Image.Image":
    return Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))


def test_strips_of_frames(tmp_path: Path) -> None:
    place = Place(str(tmp_path))
    media.write_video(tmp_path / "wide.mp4", 9, (48, 64))
    media.write_video(tmp_path / "tall.mp4", 2, (64, 48))
    media.write_video(tmp_path / "broad.mp4", 5, (16, 128))
    media.write_frames(tmp_path / "frames", 7)
    (tmp_path / "frames/notes.txt").write_text("not a frame")
    media.write_flow(tmp_path / "flow", 3)
    wide, tall, broad = (picture(strip_uri(place, f"{name}.mp4")) for name in ("wide", "tall", "broad"))
    assert wide.size == (4 * 128 + 3 * 2, HEIGHT) and tall.size == (2 * 72 + 2, HEIGHT)
    assert broad.size[0] == 4 * WIDEST + 6
    expected = media.draw(0, (48, 64)).mean() - media.draw(8, (48, 64)).mean()
    parts = np.asarray(wide, np.float32)
    assert abs(parts[:, :128].mean() - parts[:, -128:].mean() - expected) < 15  # frames are in their order
    assert picture(strip_uri(place, "frames")).size == wide.size
    flow = np.asarray(picture(strip_uri(Place(str(tmp_path), "something", "Flow"), "flow")))
    assert flow.shape[1] == 3 * 128 + 4 and np.ptp(flow.astype(int), axis=2).max() < 8  # gray
    truncated = media.truncate(media.write_video(tmp_path / "cut.mp4", 40), 0.5)
    assert picture(strip_uri(place, truncated.name)).size == wide.size


def test_a_video_without_a_picture_has_a_reason(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("nothing")
    (tmp_path / "empty").mkdir()
    for path, reason in (
        ("gone.mp4", "No such file"), ("text.mp4", "not a readable video"), ("empty", "no frames named like"),
        ("nul\0.mp4", "null"), ("http://127.0.0.1:9/x.mp4", "No such file"),
    ):  # fmt: skip
        with pytest.raises(MediaError, match=reason):
            strip_uri(Place(str(tmp_path)), path)
    assert place_of({}) is None and place_of({"data": [{"root": 3}], "dataset": "x"}) is None
    assert place_of({"dataset": "nothing we know"}, "r") == Place("r", "custom", "RGB")
    assert issubclass(MediaError, InputError)


@pytest.fixture(scope="module")
def large(new_folder: NewFolder) -> Path:
    """The page about a test with 400 classes."""
    from ops.report.page import write_report

    folder = new_folder("large")
    names = [EVIL, *(f"class number {k}" for k in range(399))]
    write_test(folder / "test", names)
    write_report(folder / "page.html", read_results([str(folder / "test")]), None, 12)
    return folder / "page.html"


def test_a_page_with_400_classes_stays_small(large: Path) -> None:
    page = Page(large)
    page.check_closed()
    assert large.stat().st_size < 1_500_000 and page.text.count("class number 398") > 1
    cells = json.loads(re.findall(r'<script type="application/json" id="cells1">(.*?)</script>', page.source)[0])
    confusion = np.load(large.parent / "test/confusion.npy")
    places = [int(name.split()[-1]) + 1 if name != EVIL else 0 for name in cells["names"]]
    told = np.zeros_like(confusion)
    for row, columns in cells["counts"].items():
        for column, times in columns.items():
            told[places[int(row)], places[int(column)]] = times
    assert (told == confusion).all() and confusion.sum() == 4798
    assert picture(page.pictures("png")[0]).size == (800, 800)


IN_THE_PAGE = """<script>
const click = selector => document.querySelector(selector).click();
const rows = table => [...document.querySelector(table).tBodies[0].rows];
const read = (table, column) => rows(table).map(row => row.cells[column].textContent);
const seen = {};
click("#classes1 th:nth-child(3) button"); seen.down = read("#classes1", 2);
click("#classes1 th:nth-child(3) button"); seen.up = read("#classes1", 2);
click("#classes1 th:nth-child(1) button"); seen.names = read("#classes1", 0);
seen.marked = [...document.querySelectorAll("#classes1 th[aria-sort]")].map(th => th.textContent);
const head = document.querySelector("#classes1 th button");
head.focus(); seen.focus = document.activeElement === head;
const image = document.querySelector(".map img"), box = image.getBoundingClientRect();
image.dispatchEvent(new PointerEvent("pointermove", {clientX: box.left + 1, clientY: box.top + 1}));
seen.cell = document.querySelector(".map output").textContent;
seen.wide = document.documentElement.scrollWidth <= innerWidth;
const out = document.createElement("pre");
out.id = "seen"; out.textContent = JSON.stringify(seen); document.body.append(out);
</script></body>"""


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_a_browser_sorts_and_reads_the_map(large: Path, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(large.read_text("utf-8").replace("</body>", IN_THE_PAGE), "utf-8")
    flags = "--headless --no-sandbox --disable-gpu --disable-background-networking --no-first-run --window-size=400,900"
    command = [str(CHROMIUM), *flags.split(), f"--user-data-dir={tmp_path}/user", "--dump-dom", tmp_path / "page.html"]
    with (tmp_path / "dom.html").open("wb") as dom, (tmp_path / "log.txt").open("wb") as log:
        browser = subprocess.Popen(command, stdout=dom, stderr=log, start_new_session=True)
        try:
            browser.wait(timeout=120)
        finally:  # a browser that hangs leaves child processes
            with suppress(ProcessLookupError):
                os.killpg(browser.pid, signal.SIGKILL)
    text = (tmp_path / "dom.html").read_text("utf-8")
    shown = re.findall(r'<pre id="seen">(.*?)</pre>', text, re.DOTALL)
    assert shown, (tmp_path / "log.txt").read_text()[-2000:]
    seen = json.loads(re.sub("&(lt|gt|amp);", lambda match: {"lt": "<", "gt": ">", "amp": "&"}[match[1]], shown[0]))
    numbers = [float(cell) for cell in seen["up"]]
    assert len(numbers) == 400 and numbers == sorted(numbers) and numbers[0] < numbers[-1]
    assert seen["down"] == seen["up"][::-1] or [float(cell) for cell in seen["down"]] == numbers[::-1]
    assert seen["names"][0] == EVIL and len(seen["names"]) == 400 and seen["marked"] == ["class"] and seen["focus"]
    assert re.fullmatch(r".+ (recognised|predicted as .+): \d+ of 1\d videos", seen["cell"]) and seen["wide"]
