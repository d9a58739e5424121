"""Measure TAM alone, a training step, memory and latency, compared with the published method and with no TAM."""

import json
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.published import PublishedTAM, UnfusedTAM, use_tam
from benchmarks.timing import Row, compare, milliseconds
from ops.common.device import Compute
from ops.data.collate import ClipBatch
from ops.models.freeze import freeze
from ops.models.recognizer import Recognizer, build_model
from ops.models.tam import TAM
from ops.training.optimizer import complete_momentum
from ops.training.train_step import accumulate, forward

VARIANTS = ("ours", "published", "plain")
TAMS = {"published": PublishedTAM, "unfused": UnfusedTAM}
"""The variants, and one more for GPUs, in which TAM is computed in another way."""

STAGES = ((64, 4), (128, 8), (256, 16), (512, 32))
"""Channels and strides of the feature maps in the four stages of a ResNet-50, where TAM is applied."""


@dataclass(frozen=True)
class Load:
    """The size of one step: clips of 8 frames of `size` × `size` pixels, for a network on `arch`."""

    clips: int
    size: int = 224
    arch: str = "resnet50"


def tam_rows(device: torch.device, rounds: int, clips: int, size: int = 224) -> list[Row]:
    """Rows of TAM, forward and backward, at the shape of each stage in contiguous float32."""
    return [row for channels, step in STAGES for row in _stage_rows(device, rounds, 8 * clips, channels, size // step)]


def _stage_rows(device: torch.device, rounds: int, frames: int, channels: int, side: int) -> list[Row]:
    torch.manual_seed(0)
    tam, published = TAM(channels, 8).to(device), PublishedTAM(channels, 8).to(device)
    published.load_state_dict(tam.state_dict())
    x = torch.randn(frames, channels, side, side, device=device, requires_grad=True)
    gradient = torch.randn_like(x)
    times = compare(
        {
            "ours": lambda: _there_and_back(tam, x, gradient),
            "published": lambda: _there_and_back(published, x, gradient),
            "copies": lambda: [x.detach().clone() for _ in range(4)],
        },
        rounds,
        wait_for(device),
    )
    passes = times["copies"].divided(8 / 7)  # a copy makes two passes: it reads and writes
    what = f"TAM, {frames}×{channels}×{side}×{side}, forward + backward"
    return [
        Row(what, "published method", times["ours"], times["published"], "≥ 2.5"),
        Row(what, "7 passes over x, at the speed of copies", times["ours"], passes, "≤ reported"),
    ]


def _there_and_back(tam: TAM, x: Tensor, gradient: Tensor) -> None:
    torch.autograd.grad(tam(x), [x, *tam.parameters()], gradient)


def training_rows(compute: Compute, rounds: int, load: Load) -> list[Row]:
    """Rows of a training step of a ResNet-50 with TAM, with the published TAM, and without TAM."""
    steps = {name: training_step(name, compute, load) for name in VARIANTS}
    times = compare(steps, rounds, wait_for(compute.device))
    what = f"TANet-50 training step, {load.clips} × 8 × {load.size}²"
    return [
        Row(what, "published method", times["ours"], times["published"], "≥ 1"),
        Row(what, "ResNet-50 without TAM", times["ours"], times["plain"], "≤ 1.08"),
    ]


def latency_rows(compute: Compute, rounds: int, size: int = 224) -> list[Row]:
    """Rows of the scores of one clip, computed as in tests, with batch norms folded into convolutions."""
    models: dict[str, nn.Module] = {name: make_model(name, compute).eval() for name in VARIANTS}
    models["folded"] = compute.for_inference(models["plain"])
    models["ours"] = compute.for_inference(models["ours"])
    steps = {name: scoring(model, compute, Load(1, size)) for name, model in models.items()}
    times = compare(steps, rounds, wait_for(compute.device))
    wanted = "≥ 1.5" if compute.device.type == "cuda" else "≥ 1.2"
    what = f"scores of one clip, 8 × {size}²"
    return [
        Row(what, "published method", times["ours"], times["published"], wanted),
        Row(what, "ResNet-50 without TAM", times["ours"], times["plain"], "≤ 1.05"),
        Row(what, "the same, its batch norms folded", times["ours"], times["folded"], "≤ reported"),
    ]


def scoring(model: nn.Module, compute: Compute, load: Load) -> Callable[[], object]:
    """Return a function that computes the scores of random clips."""
    pixels = _clips(load, compute.device)

    def run() -> object:
        with torch.inference_mode():
            return forward(model, pixels, compute)

    return run


def frozen_rows(rounds: int) -> list[tuple[str, str, str]]:
    """The CPU time of a training step of a small TANet, on one thread, with parts of it frozen, and its ratio."""
    torch.set_num_threads(1)
    times = compare({part: frozen_step(part) for part in ("none", "stages 2", "backbone")}, rounds,
                    clock=time.process_time)  # fmt: skip
    whole = times["none"].median
    return [(part, milliseconds(each), f"{each.median / whole:.2f}") for part, each in times.items()]


def frozen_step(part: str) -> Callable[[], None]:
    """Return a function that takes a step of SGD on 8 random clips of 4 frames of 32 × 32, with a `part` frozen."""
    model = build_model("resnet18", 4, 4, tam=True)
    freeze(model, part)
    model.train()
    optimizer = torch.optim.SGD([each for each in model.parameters() if each.requires_grad], lr=1e-4, momentum=0.9)
    clips = torch.randint(0, 256, (8, 4, 3, 32, 32), dtype=torch.uint8)

    def step() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(clips), torch.arange(8) % 4).backward()
        optimizer.step()

    return step


def peak_memory(compute: Compute, load: Load) -> dict[str, float]:
    """The peak memory of a process during training steps, in MiB, for each variant."""
    found = {}
    for name in VARIANTS:
        how = [str(compute.device), compute.amp, *["channels_last"] * compute.channels_last]
        command = [sys.executable, "-m", "benchmarks.network", name, str(load.clips), str(load.size), *how]
        root = Path(__file__).resolve().parents[1]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
        found[name] = float(json.loads(done.stdout))
    return found


def training_step(name: str, compute: Compute, load: Load) -> Callable[[], object]:
    """Return a function that takes a step of SGD on random clips."""
    model = make_model(name, compute, load.arch).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9, fused=compute.fused_optimizer or None)
    complete_momentum(optimizer)
    pixels = _clips(load, compute.device)
    batch = ClipBatch(pixels, torch.arange(load.clips) % 400, list(range(load.clips)), load.clips)
    scaler = compute.scaler()

    def run() -> None:
        optimizer.zero_grad(set_to_none=True)
        accumulate(model, batch, scaler, compute, 1)
        scaler.step(optimizer)
        scaler.update()

    return run


def _clips(load: Load, device: torch.device) -> Tensor:
    """Random pixels as a loader delivers them, in page-locked memory for a GPU."""
    pixels = torch.randint(0, 256, (load.clips, 8, 3, load.size, load.size), dtype=torch.uint8)
    return pixels.pin_memory() if device.type == "cuda" else pixels


def make_model(name: str, compute: Compute, arch: str = "resnet50") -> Recognizer:
    """The network of one of `VARIANTS`, or "unfused", in training mode, on the device."""
    torch.manual_seed(0)
    model = build_model(arch, 400, 8, tam=name != "plain")
    if name in TAMS:
        use_tam(TAMS[name], model)
    compute.prepare(model)
    return model


def wait_for(device: torch.device) -> Callable[[], None]:
    """Return a function that waits until `device` has finished."""
    return partial(torch.cuda.synchronize, device) if device.type == "cuda" else lambda: None


def peak_of_steps(name: str, compute: Compute, load: Load) -> float:
    """Peak memory of two training steps in MiB: all tensors on a GPU, or the growth of the process on a CPU.

    The counter starts at the start of the process or, on a GPU, at the last reset of PyTorch's counter.
    """
    step = training_step(name, compute, load)
    before = _most_resident()
    for _ in range(2):
        step()
    if compute.device.type == "cuda":
        return torch.cuda.max_memory_allocated(compute.device) / 2**20
    return (_most_resident() - before) / 2**10


def _most_resident() -> int:
    """Peak memory of this process in KiB. Linux resets this counter on exec, unlike that of getrusage."""
    status = Path("/proc/self/status")
    if status.is_file():
        return int(re.findall(r"VmHWM:\s+(\d+)", status.read_text())[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    variant, clips, size, place, amp, *layout = sys.argv[1:]
    compute = Compute(torch.device(place), amp, channels_last=bool(layout))
    sys.stdout.write(json.dumps(peak_of_steps(variant, compute, Load(int(clips), int(size)))))
