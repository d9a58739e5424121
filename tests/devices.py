"""The devices that tests run on: the CPU, and GPUs if the machine has as many as a test needs."""

from typing import Any

import pytest
import torch

HERE = torch.cuda.device_count() if torch.cuda.is_available() else 0


def gpus(count: int = 1) -> list[Any]:
    """The marks of a test that needs `count` GPUs."""
    reason = f"needs {count} GPU{'s' if count > 1 else ''}, and {HERE} are here"
    return [pytest.mark.gpu, pytest.mark.skipif(count > HERE, reason=reason)]


def on_gpu(*values: Any, count: int = 1) -> Any:
    """A case of a parametrised test that needs `count` GPUs."""
    return pytest.param(*values, marks=gpus(count))


DEVICES = [pytest.param("cpu", id="cpu"), pytest.param("cuda", id="cuda", marks=gpus())]
"""Each test runs on the CPU, which shows that the test itself works, and on a GPU."""
