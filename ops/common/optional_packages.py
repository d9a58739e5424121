"""Packages that only single tools need: those of requirements-optional.txt."""

import importlib

from ops.common.errors import InputError


def need(*packages: str) -> None:
    """Import `packages`; InputError, in one line that says how to install what is missing, where that fails."""
    missing: dict[str, str] = {}  # package → why, where it is there but cannot be imported
    for package in packages:
        try:
            importlib.import_module(package)
        except ModuleNotFoundError as error:
            missing[(error.name or package).split(".")[0]] = ""
        except ImportError as error:
            missing[package] = str(error).splitlines()[0]
    if missing:
        names = " ".join(missing)
        reasons = "; ".join(filter(None, missing.values()))
        raise InputError(f"this tool needs {names}{f' ({reasons})' if reasons else ''}: python -m pip install {names}")
