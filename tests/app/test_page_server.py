"""The served page: over HTTP, in a headless Chromium, and as a process that Ctrl-C ends."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import media
import pytest
from conftest import ROOT
from small_runs import save_small_checkpoint

from ops.app import server
from ops.app.analysis import Analyst, open_analyst
from ops.app.options import add_app_options
from ops.app.server import ServerOptions, running
from ops.common.arguments import Parser
from ops.common.errors import InputError
from ops.predict.options import add_predictor_options

pytest.importorskip("gradio")

LOCAL = "127.0.0.1"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def free_port() -> int:
    with closing(socket.socket()) as trial:
        trial.bind((LOCAL, 0))
        return int(trial.getsockname()[1])


def analyst_of(folder: Path) -> Analyst:
    parser = Parser()
    add_app_options(parser)
    add_predictor_options(parser)
    weights = save_small_checkpoint(folder / "w.pth.tar", ("wave", "jump", "fall"))
    return open_analyst(parser.parse_args(["--weights", str(weights), "--device", "cpu", "--window", "8"]))


@dataclass(frozen=True)
class Served:
    """A page that is being served: its address, its private folder, and a folder with videos."""

    address: str
    cache: Path
    videos: Path


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    media.write_video(folder / "v.mp4", 40, seed=1)
    (folder / "broken.mp4").write_bytes(b"not a video" * 99)
    (folder / "large.mp4").touch()
    os.truncate(folder / "large.mp4", 1_500_000)
    before = {name for name in os.environ if name.startswith("GRADIO")}, tempfile.gettempdir()
    with running(analyst_of(folder), ServerOptions(port=free_port(), max_mb=1)) as address:
        cache = Path(os.environ["GRADIO_TEMP_DIR"])
        yield Served(address, cache, folder)
    assert not cache.exists()
    assert before == ({name for name in os.environ if name.startswith("GRADIO")}, tempfile.gettempdir())


def post(address: str, content: object) -> str:
    """Call the page's function with an input, as a program would; returns the events of the answer."""
    request = urllib.request.Request(f"{address}gradio_api/call/analyse", json.dumps({"data": [content]}).encode(),
                                     {"Content-Type": "application/json"})  # fmt: skip
    with urllib.request.urlopen(request, timeout=60) as answer:
        event = json.load(answer)["event_id"]
    with urllib.request.urlopen(f"{address}gradio_api/call/analyse/{event}", timeout=120) as answer:
        return str(answer.read().decode())


def upload(served: Served, name: str) -> dict[str, object]:
    """Upload one of the videos; returns what stands for it in an input."""
    content = (served.videos / name).read_bytes()
    head = f'--x\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
    request = urllib.request.Request(f"{served.address}gradio_api/upload", head + content + b"\r\n--x--\r\n",
                                     {"Content-Type": "multipart/form-data; boundary=x"})  # fmt: skip
    with urllib.request.urlopen(request, timeout=60) as answer:
        (path,) = json.load(answer)
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def test_an_upload_is_answered_and_deleted(served: Served) -> None:
    assert served.address.startswith(f"http://{LOCAL}:") and served.cache.stat().st_mode & 0o077 == 0
    for name, part in (("v.mp4", "tam-result"), ("broken.mp4", "This video cannot be used"), ("v.mp4", "tam-result")):
        given = upload(served, name)
        assert list(served.cache.rglob(name))
        answer = post(served.address, given)
        assert "event: complete" in answer and part in answer
        assert not list(served.cache.rglob(name))


def test_only_uploads_are_read(served: Served) -> None:
    outside = {"path": str(served.videos / "v.mp4"), "meta": {"_type": "gradio.FileData"}}
    there = {"path": f"{served.address}gradio_api/startup-events", "meta": {"_type": "gradio.FileData"}}
    for content in (outside, there):
        answer = post(served.address, content)
        assert "event: error" in answer and "tam-result" not in answer
    with pytest.raises(HTTPError) as refused:
        urllib.request.urlopen(f"{served.address}gradio_api/file={served.videos / 'v.mp4'}", timeout=60)
    assert refused.value.code in (403, 404)


def test_too_large_uploads_are_refused(served: Served) -> None:
    with pytest.raises(HTTPError) as refused:
        upload(served, "large.mp4")
    assert refused.value.code == 413 and not list(served.cache.rglob("large.mp4"))


def test_the_page_names_no_other_server(served: Served) -> None:
    with urllib.request.urlopen(served.address, timeout=60) as answer:
        text, policy = answer.read().decode(), answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'self' data: blob:;") and "http" not in policy
    assert "fonts.g" not in text and '"analytics_enabled":false' in text.replace(" ", "")


IN_THE_PAGE = """
const seen = {errors: [], refused: []};
addEventListener("error", event => seen.errors.push(event.message));
addEventListener("securitypolicyviolation", event => seen.refused.push(event.blockedURI));
const wait = ms => new Promise(done => setTimeout(done, ms));
const until = async found => { while (!found()) await wait(50); return found(); };
const one = name => document.querySelector(name);
const give = async (name, content) => {
  const input = await until(() => one("#tam-video input[type=file]")), files = new DataTransfer();
  files.items.add(new File([Uint8Array.from(atob(content), c => c.charCodeAt(0))], name, {type: "video/mp4"}));
  input.files = files.files;
  input.dispatchEvent(new Event("change", {bubbles: true}));
};
const drive = async () => {
  await give("v.mp4", VIDEO);
  const video = await until(() => one(".tam-result .tam-player"));
  seen.name = one(".tam-result h2").textContent;
  seen.best = one(".tam-best .tam-class span").textContent;
  await until(() => video.readyState >= 2);
  const timeline = one(".tam-timeline"), box = timeline.getBoundingClientRect();
  const frame = video.getBoundingClientRect();
  seen.aligned = [Math.abs(box.left - frame.left), Math.abs(box.width - frame.width)];
  const place = {clientX: box.left + 0.75 * box.width, clientY: box.top + 9, pointerId: 1, buttons: 1, bubbles: true};
  timeline.setPointerCapture = () => {};  // which only real pointers allow
  timeline.dispatchEvent(new PointerEvent("pointerdown", place));
  await wait(300);
  seen.time = video.currentTime;
  seen.cursor = one(".tam-cursor").style.left;
  seen.reading = one(".tam-reading").textContent;
  timeline.dispatchEvent(new KeyboardEvent("keydown", {key: "Home", bubbles: true}));
  seen.home = one(".tam-cursor").style.left;
  document.querySelectorAll(".tam-frame")[3].click();
  seen.fourth = [one(".tam-cursor").style.left, document.querySelectorAll(".tam-frame")[3].dataset.seconds];
  seen.width = [document.documentElement.scrollWidth, innerWidth];
  await give("broken.mp4", btoa("not a video"));
  await until(() => one(".tam-error"));
  seen.message = one(".tam-error").textContent;
  one(".tam-example").click();
  await until(() => one(".tam-result h2"));
  seen.example = one(".tam-result h2").textContent;
  seen.asked = performance.getEntriesByType("resource").map(entry => entry.name);
};
const limit = wait(60000).then(() => { seen.late = document.body.innerText.slice(-500); });
Promise.race([drive().catch(error => seen.errors.push(`${error}`)), limit]).then(() => {
  const form = new FormData();
  form.append("files", new File([JSON.stringify(seen)], "seen.json"));
  return fetch("gradio_api/upload", {method: "POST", body: form});
});
"""


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_a_browser_shows_a_video_and_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video = media.write_video(tmp_path / "v.mp4", 40, seed=1)
    script = server.SCRIPT.read_text() + IN_THE_PAGE.replace(
        "VIDEO", json.dumps(b64encode(video.read_bytes()).decode())
    )
    (tmp_path / "page.js").write_text(script)
    monkeypatch.setattr(server, "SCRIPT", tmp_path / "page.js")
    with running(analyst_of(tmp_path), ServerOptions(port=free_port())) as address:
        seen = seen_by_a_browser(address, Path(os.environ["GRADIO_TEMP_DIR"]), tmp_path)
    assert seen["errors"] == seen["refused"] == [] and "late" not in seen, seen
    assert seen["name"] == "v.mp4" and seen["best"] in ("wave", "jump", "fall")
    assert max(seen["aligned"]) <= 1 and seen["width"][0] <= seen["width"][1]
    assert float(seen["cursor"].rstrip("%")) == pytest.approx(75, abs=2) and seen["time"] == pytest.approx(1.2, abs=0.1)
    assert seen["reading"].startswith("1.2") and seen["home"] == "0%"
    assert float(seen["fourth"][0].rstrip("%")) == pytest.approx(float(seen["fourth"][1]) / 1.6 * 100, abs=1)
    assert seen["message"].startswith("This video cannot be used. broken.mp4: not a readable video")
    assert seen["example"] == "example: left"
    assert seen["asked"] and all(name.startswith((address, "data:", "blob:")) for name in seen["asked"])


def seen_by_a_browser(address: str, cache: Path, folder: Path) -> dict[str, Any]:
    """What `IN_THE_PAGE`, which drives the page in a Chromium, uploads at its end."""
    flags = (
        "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-background-networking --no-first-run"
    )
    flags += " --remote-debugging-port=0 --window-size=500,1000"  # the port keeps it running
    command = [str(CHROMIUM), *flags.split(), f"--user-data-dir={folder}/user", address]
    with (folder / "log.txt").open("wb") as log:
        browser = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        try:
            for _ in range(900):
                for file in cache.rglob("seen.json"):
                    if file.stat().st_size:
                        return dict(json.loads(file.read_text()))
                time.sleep(0.1)
        finally:  # a browser that hangs leaves child processes
            with suppress(ProcessLookupError):
                os.killpg(browser.pid, signal.SIGKILL)
    raise AssertionError((folder / "log.txt").read_text()[-2000:])


def test_a_port_in_use_is_one_clear_message(tmp_path: Path) -> None:
    with closing(socket.socket()) as other:
        other.bind((LOCAL, 0))
        other.listen()
        options = ServerOptions(port=other.getsockname()[1])
        with (
            pytest.raises(InputError, match="cannot be served there; the port is in use"),
            running(analyst_of(tmp_path), options),
        ):
            pass


def test_ctrl_c_ends_the_tool_with_one_line(tmp_path: Path) -> None:
    save_small_checkpoint(tmp_path / "w.pth.tar", ("a", "b"))
    command = [sys.executable, str(ROOT / "tools/app.py"), "--weights", "w.pth.tar", "--port", str(free_port())]
    # a shell may have started the tests in the background, where SIGINT is ignored
    code = (
        "import os, signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); os.execv(*eval(sys.argv[1]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, repr((sys.executable, command))], cwd=tmp_path, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert process.stdout
    lines = iter(process.stdout.readline, "")
    assert any("the page is at http://127.0.0.1:" in line for line in lines), process.communicate()
    assert list(tmp_path.glob("tam_page_*"))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "interrupted\n")
    assert not list(tmp_path.glob("tam_page_*"))
