"""Files of tensors: written atomically, and loaded without running code from them."""

import hashlib
import json
import os
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable, Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ops.common.errors import InputError
from ops.common.text import first_line

_FACTS = "checkpoint"
"""The key in a safetensors header under which the rest of a checkpoint is stored, as JSON."""


def _numpy_scalars() -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """Types needed to load NumPy scalars in old optimizer states; NumPy 2 moved its pickling function."""
    scalar: Any = np.float64(0).__reduce__()[0]
    dtypes = {type(np.dtype(code)) for code in ("f8", "f4", "i8", "i4", "?")}
    return [(scalar, "numpy.core.multiarray.scalar"), scalar, np.dtype, *dtypes]


def write_tensors(path: Path, value: Any) -> None:
    """`torch.save` to a path of `atomic_path`; OSError if it cannot be written.

    Only plain data and dense tensors can be loaded again.
    """
    with open(path, "wb") as file:
        try:
            torch.save(value, file)
        except RuntimeError as error:  # torch's error for a full disk
            raise OSError(0, first_line(error)) from error


def write_safetensors(path: Path, tensors: Mapping[str, torch.Tensor], facts: Any) -> None:
    """Write tensors in safetensors format; `facts` are plain data and go into the header."""
    apart = {name: value.detach().cpu().clone(memory_format=torch.contiguous_format) for name, value in tensors.items()}
    try:
        save_file(apart, path, {"format": "pt", _FACTS: json.dumps(facts)})
    except SafetensorError as error:
        raise OSError(0, first_line(error)) from error


def load_tensors(path: str | os.PathLike[str]) -> Any:
    """The content of a file of tensors, on the CPU; InputError, naming the file, if it holds anything but data.

    A file written by `torch.save` is loaded with `weights_only=True`. A safetensors file, recognised by its first
    bytes, gives `{"state_dict": …}` and the facts that were passed to `write_safetensors`.
    """
    return _load(path, lambda file: "")[0]


def load_hashed_tensors(path: str | os.PathLike[str]) -> tuple[Any, str]:
    """`load_tensors`, and the SHA-256 of the bytes that it read."""
    return _load(path, lambda file: hashlib.file_digest(file, "sha256").hexdigest())


def _load(path: str | os.PathLike[str], digest: Callable[[BufferedReader], str]) -> tuple[Any, str]:
    path = Path(path)
    if os.path.isdir(path):  # Path.is_dir raises if a name is too long
        raise InputError(f"{path}: is a directory; give a checkpoint file")
    try:
        with path.open("rb") as file:
            before = _identity(os.fstat(file.fileno()))
            digits = digest(file)
            content = _load_content(path)
            if _identity(os.stat(path)) != before or _identity(os.fstat(file.fileno())) != before:
                raise InputError(f"{path}: was replaced or changed while being read; try again")
        return content, digits
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}: cannot read the checkpoint ({error.strerror or error})") from None
    except pickle.UnpicklingError as error:
        raise InputError(f"{path}: {_refusal(str(error))}") from None
    except Exception as error:  # torch raises errors of many types on files that are not checkpoints
        raise InputError(f"{path}: not a readable checkpoint, or truncated ({type(error).__name__})") from None


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _load_content(path: Path) -> Any:
    if is_safetensors(path):
        return _load_safetensors(path)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            claimed = sum(member.file_size for member in archive.infolist())
        if claimed > path.stat().st_size:  # torch.save does not compress; compressed data could unpack to any size
            raise InputError(f"{path}: a compressed archive of {claimed} bytes; checkpoints are not compressed")
    with torch.serialization.safe_globals(_numpy_scalars()), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a warning about the slow check of sparse tensors, which are refused anyway
        return torch.load(path, map_location="cpu", weights_only=True)


def is_safetensors(path: str | os.PathLike[str]) -> bool:
    """Whether a file begins like safetensors: the length of the header, in eight bytes, then its opening brace."""
    with open(path, "rb") as file:
        return file.read(9)[8:] == b"{"


def _load_safetensors(path: Path) -> dict[str, Any]:
    with safe_open(path, "pt") as file:
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        header = file.metadata() or {}
    facts = json.loads(header.get(_FACTS, "{}"))
    return {**(facts if isinstance(facts, dict) else {}), "state_dict": state}


def _refusal(message: str) -> str:
    named = re.search(r"GLOBAL (\S+)", message)
    if named:
        return (
            f"refused, because loading it would run code ({named[1]}); if you trust the file, load it once "
            "yourself and save its state_dict alone"
        )
    return "not a readable checkpoint"
