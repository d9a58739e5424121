"""Weights in repositories of the Hugging Face Hub, and in folders that can be uploaded there.

Imports nothing heavy: the package huggingface_hub is only imported when something is downloaded.
"""

import hashlib
import importlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.common.errors import InputError
from ops.common.optional_packages import need
from ops.common.text import first_line

PREFIX = "hf:"
WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"


@dataclass(frozen=True)
class HubRepository:
    """A repository "owner/name", and a branch, tag or commit of it; None for the main branch."""

    name: str
    revision: str | None = None


def parse_repository(name: str) -> HubRepository:
    """`hf:owner/name` or `hf:owner/name@revision`; InputError for anything else."""
    found = re.fullmatch(rf"hf:({_NAME}/{_NAME})(?:@([\w./-]+))?", name)
    if not found or ".." in name or "--" in found[1]:
        raise InputError(f"{name}: must be hf:owner/name or hf:owner/name@revision")
    return HubRepository(found[1], found[2])


def download_repository(repository: HubRepository) -> str:
    """The folder with the weights and the config of `repository`, downloaded unless it is in the Hub's cache.

    Without a network, the cache is used. The folder and the server are those of huggingface_hub (`HF_HOME`,
    `HF_ENDPOINT`, `HF_TOKEN`). InputError, in one line, if the files cannot be obtained.
    """
    need("huggingface_hub")
    package: Any = importlib.import_module("huggingface_hub")
    shown = f"{PREFIX}{repository.name}" + (f"@{repository.revision}" if repository.revision else "")
    try:
        folder: str = package.snapshot_download(
            repository.name, revision=repository.revision, allow_patterns=[WEIGHTS, CONFIG]
        )
    except Exception as error:  # its errors and those of its HTTP library have no common base class
        raise InputError(f"{shown}: {_reason(error)}") from None
    return folder


def weights_in(folder: str | os.PathLike[str], name: str) -> str:
    """The file of weights in `folder`; `name` is what the user called it.

    InputError if a file is missing, or if the config was written for other weights.
    """
    weights, config = Path(folder, WEIGHTS), Path(folder, CONFIG)
    for file in (config, weights):
        if not file.is_file():
            raise InputError(f"{name}: has no {file.name}; tools/convert_checkpoint.py --to hf writes such a folder")
    wanted = read_config(config, name).get("sha256")
    if isinstance(wanted, str):
        try:
            with weights.open("rb") as file_of_weights:
                found = hashlib.file_digest(file_of_weights, "sha256").hexdigest()
        except OSError as error:
            raise InputError(f"{weights}: cannot be read ({error.strerror})") from None
        if found != wanted.lower():
            raise InputError(
                f"{weights}: has SHA-256 {found}, but {CONFIG} was written for {wanted}: delete the file and download "
                "it again, or convert the checkpoint again"
            )
    return str(weights)


def is_hub_folder(path: str) -> bool:
    """Whether `path` is a folder that has the files of a repository, or one of them."""
    return os.path.isdir(path) and any(Path(path, file).is_file() for file in (WEIGHTS, CONFIG))


def read_config(path: Path, name: str) -> dict[str, Any]:
    """The content of a config.json; InputError if it is not a JSON object."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{name}: {path.name} cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if not isinstance(content, dict):
        raise InputError(f"{name}: {path.name} must be an object, not {type(content).__name__}")
    return content


_REASONS = {
    "GatedRepoError": "access must be requested on its page first; then log in, or set HF_TOKEN",
    "RepositoryNotFoundError": "there is no such repository, or it is private: log in, or set HF_TOKEN",
    "RevisionNotFoundError": "the repository has no such revision",
    "LocalEntryNotFoundError": "it is not in the cache, and the server cannot be reached",
    "OfflineModeIsEnabled": "it is not in the cache, and HF_HUB_OFFLINE is set",
}
"""Reasons by the names of huggingface_hub's errors."""


def _reason(error: Exception) -> str:
    """The cause of an error of huggingface_hub, in one line."""
    for kind in type(error).__mro__:
        if kind.__name__ in _REASONS:
            return _REASONS[kind.__name__]
    return f"cannot be downloaded ({first_line(error)})"
