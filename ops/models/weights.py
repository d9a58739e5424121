"""The values of `--weights`: a file, a published checkpoint, an address, or a repository of the Hugging Face Hub.

Imports nothing heavy: mistakes are reported before PyTorch is imported.
"""

import difflib
import errno
import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from ops.common.errors import InputError
from ops.models import download, hub
from ops.models.zoo import PublishedCheckpoint, find_named, find_published, published_checkpoints

ROOT = Path(__file__).resolve().parents[2]
LIST = "python tools/show_checkpoint.py --list"
LONGEST = 200
"""Characters of the name of a downloaded file."""

_LOCAL = ("localhost", "127.0.0.1", "::1")
_FILE_ENDINGS = (".pth", ".pt", ".tar", ".bin", ".ckpt", ".safetensors")


@dataclass(frozen=True)
class RemoteFile:
    """A file at an address, its path on this machine, and the first digits of its SHA-256 ("": unknown)."""

    url: str
    target: Path
    sha256: str


def check_weights(*names: str | None) -> None:
    """InputError, in one line, for a name that is not a file, a published checkpoint or a usable address.

    Nothing is downloaded. None is skipped, so that optional flags can be passed.
    """
    for name in names:
        if name is not None:
            _find(name)


def local_weights(name: str) -> str:
    """The path of the file that `name` refers to, which is downloaded if it is not here yet.

    An existing file is returned unchanged; for a folder made for the Hub, its file of weights is returned. InputError,
    in one line, if there is no such file.
    """
    found = _find(name)
    if isinstance(found, hub.HubRepository):
        return hub.weights_in(hub.download_repository(found), name)
    if isinstance(found, str):
        return hub.weights_in(found, name) if hub.is_hub_folder(found) else found
    return str(download.download(found.url, found.target, found.sha256))


def results_beside(name: str, folder: str) -> Path:
    """The default folder of results: `folder` beside a file; for other weights, inside a folder of their name, here."""
    if name.startswith(hub.PREFIX) and not os.path.exists(name):
        return Path(hub.parse_repository(name).name.partition("/")[2]) / folder
    if os.path.exists(name) or not (find_named(name) or "://" in name):
        return Path(name).parent / folder
    stem = _file_name(name) if "://" in name else name
    for ending in _FILE_ENDINGS[::-1]:
        stem = stem.removesuffix(ending)
    return Path(stem.removesuffix(".pth")) / folder


def place_of(entry: PublishedCheckpoint) -> tuple[str, Path | None]:
    """How a published checkpoint is obtained, "here", "download" or "by hand", and its path if it is here."""
    there = next((path for path in _places(entry) if path.is_file()), None)
    return ("here" if there else "by hand" if entry.by_hand else "download"), there


def _places(entry: PublishedCheckpoint) -> list[Path]:
    """The paths at which a published checkpoint is searched."""
    return [Path(entry.path), ROOT / entry.path, *([] if entry.by_hand else [_target(entry)])]


def _target(entry: PublishedCheckpoint) -> Path:
    return download.checkpoints_folder() / PurePosixPath(entry.url).name


def _find(name: str) -> str | RemoteFile | hub.HubRepository:
    """The path if it is already here, else the file or the repository to download."""
    entry = find_named(name)
    if os.path.lexists(name) and not (entry and os.path.isdir(name)):  # such a folder may contain results of `entry`
        return name
    if entry:
        return _find_published(entry, name)
    if name.startswith(hub.PREFIX):
        return hub.parse_repository(name)
    if "://" in name:
        return _remote_file(name)
    raise InputError(f"{name}: cannot read the checkpoint ({os.strerror(errno.ENOENT)}){_advice(name)}")


def _advice(name: str) -> str:
    """Advice about a name that does not exist: what may have been meant."""
    published = find_published(os.path.basename(name))
    if published:
        return f"; the name {published.name} downloads it"
    if os.sep in name or name.endswith(_FILE_ENDINGS):
        return ""
    names = [known for entry in published_checkpoints() for known in (entry.short, entry.name) if known]
    near = difflib.get_close_matches(name, names, n=3)
    meant = f"; did you mean {' or '.join(near)}?" if near else ";"
    return f", and no published checkpoint has this name{meant} {LIST} shows all"


def _find_published(entry: PublishedCheckpoint, name: str) -> str | RemoteFile:
    there = place_of(entry)[1]
    if there:
        return str(there)
    if entry.by_hand:
        file = PurePosixPath(entry.path).name
        raise InputError(
            f"{name}: its publisher gives no direct address; download {file} from {entry.url} and put it at "
            f"{ROOT / entry.path}"
        )
    target = _target(entry)
    return RemoteFile(entry.url, target, download.hash_in_name(target.name))


def _remote_file(name: str) -> RemoteFile:
    """The file at an address, which may end in #sha256=DIGITS."""
    url, _, fragment = name.partition("#")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"{name}: only files and https or http addresses can be read")
    given = re.fullmatch(r"sha256=([0-9a-f]{8,64})", fragment.lower())
    if fragment and not given:
        raise InputError(f"{name}: what follows # must be sha256= and at least 8 hexadecimal digits")
    file = _file_name(url)
    if not file:
        raise InputError(f"{name}: this address does not end in the name of a file")
    for entry in published_checkpoints():
        if entry.url == url and not fragment and not entry.by_hand:
            return RemoteFile(url, _target(entry), download.hash_in_name(file))
    sha256 = given[1] if given else download.hash_in_name(file)
    if not sha256 and parts.scheme == "http" and parts.hostname not in _LOCAL:
        raise InputError(
            f"{name}: anyone on the way can change what http delivers: use https, or append #sha256=DIGITS"
        )
    folder = download.checkpoints_folder()
    if given or not sha256:  # files of other addresses may have the same name
        folder /= (sha256 or hashlib.sha256(url.encode()).hexdigest())[:16]
    return RemoteFile(url, folder / file, sha256)


def _file_name(url: str) -> str:
    """The name of the file at an address, without characters that are special in paths."""
    name = unquote(PurePosixPath(urlsplit(url).path).name)
    return re.sub(r"[^\w.+=-]", "_", name).lstrip(".")[-LONGEST:]
