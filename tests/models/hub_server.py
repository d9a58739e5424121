"""A server on this machine that answers huggingface_hub like the Hub: one repository with two revisions."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

REPOSITORY = "someone/tanet"


@dataclass
class HubServer:
    """`revisions` maps names and commits to folders; `cut` bytes are left out of each file that is sent."""

    revisions: dict[str, Path]
    cut: int = 0
    requests: list[str] = field(default_factory=list)
    address: str = ""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = unquote(urlsplit(request.path).path)
        self.requests.append(f"{request.command} {path}")
        if path.startswith("/api/"):
            name, _, rest = path.removeprefix("/api/models/").partition("/revision/")
            kind, revision, file = "revision", rest, ""
            if not rest:
                name, _, rest = name.partition("/tree/")
                kind, (revision, _, file) = "tree", rest.partition("/")
        else:
            name, _, rest = path[1:].partition("/resolve/")
            kind, (revision, _, file) = "file", rest.partition("/")
        if name != REPOSITORY:
            return self.refuse(request, "RepoNotFound")
        if revision not in self.revisions:
            return self.refuse(request, "RevisionNotFound")
        folder = self.revisions[revision]
        if kind == "file":
            return self.send_file(request, folder, file)
        files = sorted(each.name for each in folder.iterdir())
        if kind == "tree":
            content: Any = [{"type": "file", "path": each, "size": (folder / each).stat().st_size, "oid": "0" * 40}
                            for each in files]  # fmt: skip
        else:
            siblings = [{"rfilename": each} for each in files]
            content = {"id": name, "modelId": name, "sha": folder.name, "private": False, "tags": [], "downloads": 0,
                       "likes": 0, "siblings": siblings}  # fmt: skip
        return self.send(request, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def refuse(self, request: BaseHTTPRequestHandler, code: str) -> None:
        request.send_response(404)
        request.send_header("X-Error-Code", code)
        request.send_header("Content-Length", "0")
        request.end_headers()

    def send_file(self, request: BaseHTTPRequestHandler, folder: Path, file: str) -> None:
        if not (folder / file).is_file():
            return self.refuse(request, "EntryNotFound")
        data = (folder / file).read_bytes()
        tag = hashlib.sha256(data).hexdigest()
        return self.send(request, data, {"ETag": f'"{tag}"', "X-Repo-Commit": folder.name}, self.cut)

    def send(self, request: BaseHTTPRequestHandler, data: bytes, headers: dict[str, str], cut: int = 0) -> None:
        request.send_response(200)
        for key, value in {**headers, "Content-Length": str(len(data))}.items():
            request.send_header(key, value)
        request.end_headers()
        if request.command == "GET":
            request.wfile.write(data[: len(data) - cut])


@contextmanager
def serving(revisions: dict[str, Path]) -> Iterator[HubServer]:
    """The server, for as long as the block runs."""
    server = HubServer(revisions)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.answer(self)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        server.address = f"http://127.0.0.1:{http.server_port}"
        yield server
        http.shutdown()
        thread.join()
