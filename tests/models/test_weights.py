"""Weights by name and address: found, downloaded once and verified, resumed, and every fault is one line."""

import hashlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Call
from dialects import distinct_model

from ops.common.errors import InputError, RunStoppedError
from ops.models import download as downloads
from ops.models.checkpoint import load_model, read_checkpoint, save_checkpoint
from ops.models.download import DownloadError, checkpoints_folder, download, hash_in_name
from ops.models.weights import check_weights, local_weights, results_beside
from ops.models.zoo import find_named, published_checkpoints

CONTENT = bytes(range(256)) * 4096  # 1 MiB
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Server:
    """Serves `content` for every path; `faults` are used up by one request each."""

    url: str = ""
    content: bytes = CONTENT
    etag: str = '"1"'
    faults: list[str] = field(default_factory=list)
    requests: list[tuple[str, str | None]] = field(default_factory=list)  # path, Range
    delay: float = 0.0

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        asked = request.headers.get("Range")
        self.requests.append((request.path, asked))
        fault = self.faults.pop(0) if self.faults else ""
        time.sleep(self.delay)
        if fault.isdecimal():
            request.send_error(int(fault))
            return
        start = int(asked[6:-1]) if asked and fault != "no range" else 0
        if start >= len(self.content):
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{len(self.content)}")
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        if fault != "no length":
            request.send_header("Content-Length", str(len(self.content) - start))
        request.send_header("ETag", self.etag)
        request.send_header("Content-Type", "text/html" if fault == "html" else "application/octet-stream")
        request.end_headers()
        body = self.content[start:]
        request.wfile.write(body[: len(body) // 2] if fault in ("truncated", "stall") else body)
        if fault == "stall":
            request.wfile.flush()
            time.sleep(3)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server on this machine, and a hub folder of its own."""
    told = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with suppress(OSError):  # the client has given up
                told.answer(self)

        def log_message(self, *_: Any) -> None:
            pass

    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    monkeypatch.setattr(downloads, "PAUSES", ())
    monkeypatch.chdir(tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        told.url = f"http://127.0.0.1:{running.server_port}"
        yield told
        running.shutdown()


def parts(folder: Path) -> list[Path]:
    return list(folder.glob("*.part"))


def test_a_file_is_downloaded_once_and_nothing_else_is_left(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.pth"
    for _ in range(2):
        assert download(f"{server.url}/a.pth", target, SHA256[:8]) == target
    assert target.read_bytes() == CONTENT and len(server.requests) == 1
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("fault", ["truncated", "stall"])
def test_a_transfer_that_ends_early_is_continued(
    fault: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "STALLED", 1.0 if fault == "stall" else 30.0)
    server.faults = [fault]
    with pytest.raises(DownloadError, match=r"0\.5 MB are kept, and the next run continues them"):
        download(f"{server.url}/a.pth", tmp_path / "a.pth", SHA256)
    assert not (tmp_path / "a.pth").exists() and parts(tmp_path)
    download(f"{server.url}/a.pth", tmp_path / "a.pth", SHA256)
    assert server.requests[1][1] == f"bytes={len(CONTENT) // 2}-"
    assert (tmp_path / "a.pth").read_bytes() == CONTENT and not parts(tmp_path)
    monkeypatch.setattr(downloads, "PAUSES", (0.0,))
    server.faults = [fault]
    download(f"{server.url}/b.pth", tmp_path / "b.pth", SHA256)  # in the same run
    assert (tmp_path / "b.pth").read_bytes() == CONTENT


@pytest.mark.parametrize("what", ["another version", "no range", "complete", "longer"])
def test_an_unfinished_file_is_only_continued_where_that_is_right(what: str, server: Server, tmp_path: Path) -> None:
    server.faults = ["truncated"]
    with pytest.raises(DownloadError):
        download(f"{server.url}/a.pth", tmp_path / "a.pth")
    (part,) = parts(tmp_path)
    if what == "another version":
        server.content, server.etag = CONTENT[::-1], '"2"'
    if what == "no range":
        server.faults = ["no range"]
    if what in ("complete", "longer"):
        part.write_bytes(CONTENT + (b"more" if what == "longer" else b""))
    download(f"{server.url}/a.pth", tmp_path / "a.pth")
    assert (tmp_path / "a.pth").read_bytes() == server.content and not parts(tmp_path)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("404", "the server answers 404 Not Found"),
        ("503", "the server answers 503"),
        ("html", "the answer is a web page, not a file"),
        ("no length", "the answer does not tell the size of the file"),
    ],
)
def test_a_fault_is_one_line_with_address_and_place(fault: str, message: str, server: Server, tmp_path: Path) -> None:
    server.faults = [fault]
    with pytest.raises(DownloadError) as caught:
        download(f"{server.url}/a.pth", tmp_path / "a.pth")
    text = str(caught.value)
    assert text.startswith(f"{server.url}/a.pth: cannot be downloaded ({message}") and "\n" not in text
    assert text.endswith(f"; download it by hand and put it at {tmp_path / 'a.pth'}")
    assert not list(tmp_path.glob("*a.pth*"))


def test_no_network_and_a_full_disk_are_one_line(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DownloadError, match="Connection refused"):
        download("http://127.0.0.1:9/a.pth", tmp_path / "a.pth")
    usage = downloads.shutil.disk_usage(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(downloads.shutil, "disk_usage", lambda _: usage._replace(free=1000))
        with pytest.raises(InputError, match=r"1\.0 MB are needed and 0\.0 MB are free; set TORCH_HOME"):
            download(f"{server.url}/a.pth", tmp_path / "a.pth")
    monkeypatch.setattr(downloads, "_part_path", lambda *_: Path("/dev/full"))  # the file system itself is full
    with pytest.raises(RunStoppedError, match="/dev/full: cannot be written"):
        download(f"{server.url}/a.pth", tmp_path / "a.pth")


def test_a_wrong_hash_is_refused_and_the_file_removed(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=f"SHA-256 {SHA256}, but it must begin with 12345678; it was removed"):
        local_weights(f"{server.url}/a-12345678.pth")
    folder = checkpoints_folder()
    assert folder == tmp_path / "hub" / "checkpoints" and not list(folder.iterdir())


def test_only_one_of_several_downloads(server: Server, tmp_path: Path) -> None:
    server.delay = 0.3
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(download, f"{server.url}/a.pth", tmp_path / "a.pth", SHA256) for _ in range(4)]
    assert {call.result() for call in calls} == {tmp_path / "a.pth"}
    assert len(server.requests) == 1 and list(tmp_path.glob(".*.lock")) == []


def test_the_proxy_of_the_environment_is_used(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.delenv("no_proxy", raising=False)
    download("http://weights.example/a.pth", tmp_path / "a.pth", SHA256)
    assert server.requests == [("http://weights.example/a.pth", None)]


def test_addresses_say_by_which_hash_they_are_verified(server: Server) -> None:
    folder = checkpoints_folder()
    places = {
        f"a-{SHA256[:8]}.pth": folder / f"a-{SHA256[:8]}.pth",
        f"ckpt.pth.tar#sha256={SHA256}": folder / SHA256[:16] / "ckpt.pth.tar",
        "one/ckpt.pth.tar": None,
        "two/ckpt.pth.tar": None,
    }
    found = {name: Path(local_weights(f"{server.url}/{name}")) for name in places}
    assert all(found[name] == place for name, place in places.items() if place)
    assert len(set(found.values())) == len(places), "files of two addresses must not be confused"
    assert all(path.name in name for name, path in found.items())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("http://example.org/a.pth", "use https, or append #sha256=DIGITS"),
        ("https://example.org/a.pth#md5=1", "must be sha256= and at least 8"),
        ("https://example.org/", "does not end in the name of a file"),
        ("file:///a.pth", "only files and https or http addresses"),
        ("tam_r50_8f_kinetics", r"no published checkpoint has this name; did you mean tam_r50_8f_kinetics400 or "),
        ("zzz", "no published checkpoint has this name; python tools/show_checkpoint.py --list shows all"),
        ("runs/a.pth", r"runs/a.pth: cannot read the checkpoint \(No such file or directory\)$"),
        ("pretrained/TSM_kinetics_RGB_resnet50_avg_segment5_e50.pth", "the name TSM_kinetics_RGB_.*_e50 downloads it"),
        ("tam_r50_8f_kinetics400", r"download ckpt.best.pth.tar from https://drive.google.com.* and put it at /"),
    ],
)
def test_a_name_that_means_nothing_is_one_line(
    name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        check_weights(None, name)
    assert "\n" not in str(caught.value)


def test_a_hash_is_told_from_a_date() -> None:
    names = {"r-0676ba61.pth": "0676ba61", "m_20220906-cd10898e.pth": "cd10898e", "run-20240131.pth": "", "a.pth": ""}
    assert {name: hash_in_name(name) for name in names} == names
    assert all(hash_in_name(e.url) for e in published_checkpoints() if e.publisher == "MMAction2")


def test_a_checkpoint_is_loaded_by_its_published_name(server: Server, call: Call, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "made", distinct_model(), {"class_names": list("abcde")})
    server.content = (tmp_path / "made").read_bytes()
    digits = hashlib.sha256(server.content).hexdigest()[:8]
    name = "tanet_imagenet-pretrained-r50_8xb8-dense-1x1x8-100e_kinetics400-rgb"
    entry = find_named(name)
    assert entry
    url = entry.url
    object.__setattr__(entry, "url", f"{server.url}/{name}_20220919-{digits}.pth")
    try:
        assert "downloaded: " in call("tools/show_checkpoint.py", name).out
        model = load_model(name)
        assert len(server.requests) == 1 and model.num_classes == 5
        listed = call("tools/show_checkpoint.py", "--list").out.splitlines()
        (line,) = (line for line in listed if line.endswith(f"  {name}"))
        assert "  here  " in line and sum("  by hand  " in other for other in listed) == 6
        (tmp_path / name).write_bytes(b"a path is a path")
        with pytest.raises(InputError, match="not a readable checkpoint"):
            read_checkpoint(name)
    finally:
        object.__setattr__(entry, "url", url)


def test_a_file_that_was_fetched_by_hand_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    entry = find_named("tam_r50_16f_somethingv2")
    assert entry and entry.by_hand
    (tmp_path / entry.path).parent.mkdir(parents=True)
    (tmp_path / entry.path).touch()
    assert local_weights(entry.short) == local_weights(entry.name) == entry.path
    assert results_beside(entry.short, "test") == Path(entry.short, "test")
    assert results_beside("https://a.org/x/run-0676ba61.pth", "test") == Path("run-0676ba61", "test")
    assert results_beside("runs/a.pth.tar", "test") == Path("runs/test")


def test_the_hub_folder_is_pytorchs(monkeypatch: pytest.MonkeyPatch) -> None:
    for variables in ({"TORCH_HOME": "~/t"}, {"XDG_CACHE_HOME": "/c"}, {}):
        with monkeypatch.context() as patch:
            patch.delenv("TORCH_HOME", raising=False)
            patch.delenv("XDG_CACHE_HOME", raising=False)
            for name, value in variables.items():
                patch.setenv(name, value)
            expected = Path(torch.hub.get_dir(), "checkpoints")
            patch.delitem(downloads.sys.modules, "torch.hub")
            assert checkpoints_folder() == expected
