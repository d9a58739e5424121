"""Downloading files: once, verified, resumed after an interruption, and by one process while the others wait."""

import hashlib
import http.client
import logging
import os
import re
import shutil
import sys
import time
import urllib.request
from email.message import Message
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError

from ops.common.console import progress
from ops.common.errors import InputError, write_error
from ops.common.folder_lock import waiting_lock
from ops.common.storage import make_folder, sync

log = logging.getLogger(__name__)

STALLED = 30.0
"""Seconds without a byte after which a connection is given up."""

PAUSES = (1.0, 3.0, 10.0)
"""Seconds before a broken transfer is continued; after the last of them it fails."""

BLOCK = 1 << 20
"""The largest number of bytes that are read and written at once."""


class DownloadError(InputError):
    """A file that cannot be downloaded; `reason` is the message without address and advice."""

    def __init__(self, url: str, target: Path, reason: str) -> None:
        super().__init__(f"{url}: cannot be downloaded ({reason}); download it by hand and put it at {target}")
        self.reason = reason


class _BrokenOffError(Exception):
    """A transfer that ended early and can be continued."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirections, except from https to an address without encryption."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        """The request for `newurl`; URLError if it is less safe than the first address."""
        if req.type == "https" and not newurl.lower().startswith("https:"):
            raise URLError(f"redirected to {newurl}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


def checkpoints_folder() -> Path:
    """The folder `checkpoints` of `torch.hub.get_dir()`, without importing PyTorch."""
    hub = sys.modules.get("torch.hub")
    if hub:
        return Path(hub.get_dir()) / "checkpoints"
    cache = os.path.join(os.getenv("XDG_CACHE_HOME", "~/.cache"), "torch")
    return Path(os.path.expanduser(os.getenv("TORCH_HOME", cache)), "hub", "checkpoints")  # noqa: PTH111


def hash_in_name(name: str) -> str:
    """The first digits of a file's SHA-256 at the end of its name, a convention of torch.hub; "" if there are none.

    `resnet50-0676ba61.pth` → `0676ba61`. Eight digits that form a date do not count as a hash.
    """
    found = re.search(r"-([0-9a-f]{8,64})\.", name)
    if not found or re.fullmatch(r"20\d\d(0[1-9]|1[0-2])([0-2]\d|3[01])", found[1]):
        return ""
    return found[1]


def download(url: str, target: Path, sha256: str = "") -> Path:
    """Download `url` to `target` unless it is there; `sha256` are the first digits of its hash, "" if unknown.

    The unfinished file is kept beside it as `.part` and is continued by the next call. Raises DownloadError, and the
    error of `write_error` if the file cannot be written.
    """
    if not target.exists():
        make_folder(target.parent)
        lock = target.with_name(f".{target.name}.lock")
        with waiting_lock(lock, f"{target}: another process downloads it; waiting for that"):
            if not target.exists():
                _download(url, target, sha256)
    return target


def _download(url: str, target: Path, sha256: str) -> None:
    for pause in (*PAUSES, None):
        try:
            part = _transfer(url, target)
            break
        except (_BrokenOffError, OSError, http.client.HTTPException) as error:
            reason = _reason(error)
            if pause is None or not _may_pass(error):
                kept = _unfinished(target)
                size = f"; {kept.stat().st_size / 1e6:.1f} MB are kept, and the next run continues them" if kept else ""
                raise DownloadError(url, target, reason + size) from None
            log.warning("%s: %s; trying again", url, reason)
            time.sleep(pause)
    with open(part, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(sha256):
        part.unlink()
        raise DownloadError(
            url, target, f"what arrived has SHA-256 {found}, but it must begin with {sha256}; it was removed"
        )
    try:
        sync(part)
        os.replace(part, target)
        sync(target.parent)
    except OSError as error:
        raise write_error(target, error) from error
    log.info("downloaded: %s, %.1f MB", target, target.stat().st_size / 1e6)
    if not sha256:
        log.warning("%s: no hash is known, so only its length was verified; its SHA-256 is %s", url, found)


def _transfer(url: str, target: Path) -> Path:
    """Receive the missing part of the file in one connection; returns the complete `.part` file."""
    part = _unfinished(target)
    have = part.stat().st_size if part else 0
    request = urllib.request.Request(url, headers={"User-Agent": "tam", "Accept-Encoding": "identity"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        response = urllib.request.build_opener(_Redirects).open(request, timeout=STALLED)
    except HTTPError as error:
        if error.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or part is None:
            raise
        if error.headers.get("Content-Range") == f"bytes */{have}":
            return part  # complete, but not moved into place
        part.unlink()
        return _transfer(url, target)
    with response:
        total = _total(response, url, target)
        whole = _part_path(target, response, total)
        if part and (response.status != HTTPStatus.PARTIAL_CONTENT or whole != part):
            part.unlink()  # another version of the file, or a server that cannot continue
            if response.status == HTTPStatus.PARTIAL_CONTENT:
                return _transfer(url, target)
            have = 0
        _receive(response, whole, have, total, target.name)
    return whole


def _receive(response: Any, part: Path, have: int, total: int | None, name: str) -> None:
    """Append the body of `response` to the `have` bytes of `part`; `_BrokenOffError` if it ends early."""
    free = shutil.disk_usage(part.parent).free
    if total is not None and total - have > free:
        missing = f"{(total - have) / 1e6:.1f} MB are needed and {free / 1e6:.1f} MB are free"
        raise InputError(f"{response.url}: cannot be written to {part.parent}: {missing}; set TORCH_HOME elsewhere")
    bar = progress(None, total, f"downloading {name}", "B", shown=True, unit_scale=True)
    with bar, open(part, "ab" if have else "wb") as file:
        bar.update(have)
        while block := response.read1(BLOCK):  # returns what has arrived, so that a stall loses nothing
            try:
                file.write(block)
                file.flush()
            except OSError as error:
                raise write_error(part, error) from error
            bar.update(len(block))
            have += len(block)
    if total is not None and have != total:
        raise _BrokenOffError(f"the answer ended after {have} of {total} bytes")


def _total(response: Any, url: str, target: Path) -> int | None:
    """The size of the file in bytes, None if the response is chunked; DownloadError if the response is not the file."""
    headers = response.headers
    if headers.get_content_type() == "text/html":
        raise DownloadError(url, target, "the answer is a web page, not a file")
    if headers.get("Content-Encoding", "identity") != "identity":
        raise DownloadError(url, target, "the answer is compressed")
    if response.status == HTTPStatus.PARTIAL_CONTENT:
        text = headers.get("Content-Range", "").rpartition("/")[2]
    else:
        text = headers.get("Content-Length", "")
    if not text.isdecimal() and not response.chunked:
        raise DownloadError(url, target, "the answer does not tell the size of the file")
    return int(text) if text.isdecimal() else None


def _part_path(target: Path, response: Any, total: int | None) -> Path:
    """The unfinished file: its name depends on the version of the file, so that two versions are not mixed."""
    version = f"{response.headers.get('ETag') or response.headers.get('Last-Modified')} {total}"
    return target.with_name(f"{target.name}.{hashlib.sha256(version.encode()).hexdigest()[:8]}.part")


def _unfinished(target: Path) -> Path | None:
    """The largest unfinished file of `target` that has any content."""
    form = re.compile(re.escape(target.name) + r"\.[0-9a-f]{8}\.part")
    parts = [path for path in target.parent.iterdir() if form.fullmatch(path.name) and path.stat().st_size]
    return max(parts, key=lambda path: path.stat().st_size, default=None)


def _may_pass(error: Exception) -> bool:
    """Whether a second attempt can succeed: not if the server is not found or does not have the file."""
    if isinstance(error, HTTPError):
        return error.code >= HTTPStatus.INTERNAL_SERVER_ERROR or error.code == HTTPStatus.TOO_MANY_REQUESTS
    return not isinstance(error, URLError)


def _reason(error: Exception) -> str:
    if isinstance(error, HTTPError):
        return f"the server answers {error.code} {error.reason}"
    if isinstance(error, TimeoutError):
        return f"no data for {STALLED:g} s"
    if isinstance(error, URLError):
        return str(getattr(error.reason, "strerror", None) or error.reason)
    return str(getattr(error, "strerror", None) or error) or type(error).__name__
