"""The scores of a network in another checkout of this project, measured in turns with those of this one."""

import subprocess
import sys
from pathlib import Path
from subprocess import PIPE

import torch

from benchmarks.processes import users_environment
from ops.common.errors import InputError

SCORES_THERE = """
import sys, time, torch
sys.path.insert(0, "")
try:
    from ops.models.recognizer import build_model
    from ops.common.device import Compute
except ImportError:  # before the modules were moved to packages
    from ops.models import build_model
    from ops.compute import Compute
arch, clips, size = sys.argv[1], *map(int, sys.argv[2:])
torch.set_num_threads(int(sys.stdin.readline()))
network = Compute(torch.device("cpu")).for_inference(build_model(arch, 400, 8, tam=True).eval())
pixels = torch.randint(0, 256, (clips, 8, 3, size, size), dtype=torch.uint8)
with torch.inference_mode():
    for line in sys.stdin:
        began = time.process_time()
        network(pixels)
        print(time.process_time() - began, flush=True)
"""
"""Run in another checkout, it computes the scores once for each line that it reads, and prints the CPU seconds."""


class OtherCheckout:
    """The network in another checkout, in a process of its own; `seconds` is the CPU time of all its scores."""

    def __init__(self, folder: Path | None, arch: str, clips: int, size: int) -> None:
        self.seconds = 0.0
        command = [sys.executable, "-c", SCORES_THERE, arch, str(clips), str(size)]
        self.process = subprocess.Popen(
            command, cwd=folder, env=users_environment(), stdin=PIPE, stdout=PIPE, text=True
        )
        self._tell(str(torch.get_num_threads()))

    def __enter__(self) -> "OtherCheckout":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate()

    def _tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def score(self) -> None:
        """Compute the scores once; InputError if the other checkout cannot."""
        assert self.process.stdout is not None
        try:
            self._tell("")
            self.seconds += float(self.process.stdout.readline())
        except (BrokenPipeError, ValueError):
            raise InputError("--against: that checkout does not compute scores; its error is above") from None
