"""Packages that only some tools need: those in requirements-optional.txt."""

import importlib

from ops.common.errors import InputError
from ops.common.text import first_line


def need(*packages: str, note: str = "") -> None:
    """Import `packages`; if that fails, InputError with one line that says how to install what is missing.

    `note` is added to that line.
    """
    missing: dict[str, str] = {}  # package → why it cannot be imported, "" if it is not installed
    for package in packages:
        try:
            importlib.import_module(package)
        except ModuleNotFoundError as error:
            missing[(error.name or package).split(".")[0]] = ""
        except ImportError as error:
            missing[package] = first_line(error)
    if missing:
        names = " ".join(missing)
        reasons = "; ".join(filter(None, missing.values()))
        install = f"python -m pip install {names}{f' ({note})' if note else ''}"
        raise InputError(f"this tool needs {names}{f' ({reasons})' if reasons else ''}: {install}")
