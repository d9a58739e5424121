"""Training and testing from the command line on one GPU, in every precision, and on several GPUs."""

import csv
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import media
import numpy as np
import pytest
import torch
from cases import relative
from conftest import Call, Run
from devices import DEVICES, on_gpu

CLIPS = 8
DATA = ["custom", "RGB", "--train_list", "l.txt", "--val_list", "l.txt", "--root_path", ".", "--num_class", "2"]
TRAIN = ["online_main.py", *DATA, "--arch", "resnet18", "--pretrain", "none", "--num_segments", "3", "--npb", "--tam"]
TRAIN += ["--input_size", "32", "-b", "4", "--eval-freq", "1", "--lr", "0.01", "--gd", "20"]
TEST = ["online_test_models.py", "custom", "--test_list", "l.txt", "--root_path", ".", "--test_crops", "3"]
SCORES_WITHIN = {"off": 1e-3, "bf16": 5e-2, "fp16": 1e-2}
"""Tolerances for the norm of the differences from the scores of a CPU, relative to the norm of these."""

SETTINGS: list[tuple[str, list[str]]] = [
    ("off", []),
    ("bf16", ["--channels_last"]),
    ("fp16", ["--channels_last", "--accumulate", "2"]),
]


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A folder of eight videos of two classes with their list."""
    lines = []
    for number in range(CLIPS):
        media.write_video(tmp_path / f"{number}.mp4", 8 + number, seed=number)
        lines.append(f"{number}.mp4 {8 + number} {number % 2}\n")
    (tmp_path / "l.txt").write_text("".join(lines))
    return tmp_path


@pytest.fixture(autouse=True)
def _settings_of_pytorch() -> Iterator[None]:
    """Restore PyTorch's settings, which a script that runs in this process changes."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32, torch.are_deterministic_algorithms_enabled()
    yield
    cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32, deterministic = before
    torch.use_deterministic_algorithms(deterministic)


def scores_on(device: str, call: Call, weights: Path, *flags: str) -> Any:
    """The scores of a test from the command line: `[N, K]`."""
    name = f"{device}_{len(flags)}"
    where = ["--device", device, "-j", "0", "--save_scores", f"{name}.npz", "--output", name]
    call(*TEST, "--weights", weights, *where, *flags)
    return np.load(weights.parents[2] / f"{name}.npz")["scores"]


@pytest.mark.parametrize(
    ("device", "amp", "flags"), [("cpu", *SETTINGS[1]), *(on_gpu("cuda", *how) for how in SETTINGS)]
)
def test_a_training_and_a_test_from_the_command_line(
    device: str, amp: str, flags: list[str], call: Call, clips: Path
) -> None:
    how = ["--amp", amp, *flags]
    done = call(*TRAIN, *how, "--device", device, "--epochs", "2", "-j", "1", "--store_name", "run")
    assert "epoch 2/2: loss" in done.out and "Traceback" not in done.err
    run = clips / "checkpoints/run"
    with (run / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 and all(math.isfinite(float(row["train_loss"])) for row in rows)
    assert [row["val_scored"] for row in rows] == [str(CLIPS)] * 2
    facts = json.loads((run / "args.json").read_text())
    assert facts["device"] == ("cuda:0" if device == "cuda" else "cpu") and facts["arguments"]["tf32"] is False
    assert facts["arithmetic"].get("optimizer") == ("fused" if device == "cuda" else None)
    weights = run / "ckpt.pth.tar"
    without_parts = [flag for flag in how if flag not in ("--accumulate", "2")]
    ours, expected = scores_on(device, call, weights, *without_parts), scores_on("cpu", call, weights)
    assert relative(ours, expected) < SCORES_WITHIN[amp]


@pytest.mark.parametrize("device", [on_gpu("cuda")])
@pytest.mark.skipif(not torch.cuda.is_available() or not torch.cuda.is_tf32_supported(), reason="no TF32")
def test_tf32_from_the_command_line(device: str, call: Call, clips: Path) -> None:
    call(*TRAIN, "--tf32", "--device", device, "--epochs", "1", "-j", "0", "--store_name", "run")
    weights = clips / "checkpoints/run/ckpt.pth.tar"
    assert torch.load(weights, weights_only=True, map_location="cpu")["meta"]["recipe"]["tf32"] is True
    found = [scores_on("cuda", call, weights, *flags) for flags in ([], ["--tf32"])]
    assert json.loads((clips / "cuda_1/metrics.json").read_text())["precision"] == "off, TF32"
    assert relative(*found) < SCORES_WITHIN["fp16"]


def state_of(folder: Path, name: str) -> dict[str, torch.Tensor]:
    """All tensors of a run's last checkpoint (weights and momentum) and the state of its scaler."""
    saved = torch.load(folder / "checkpoints" / name / "ckpt.pth.tar", weights_only=True, map_location="cpu")
    momentum = {str(key): value["momentum_buffer"] for key, value in saved["optimizer"]["state"].items()}
    scaler = {f"scaler {key}": torch.tensor(value) for key, value in saved["scaler"].items()}
    assert saved["epoch"] == 2 and momentum
    return {**saved["state_dict"], **momentum, **scaler}


@pytest.mark.parametrize(
    ("device", "amp", "flags"),
    [("cpu", *SETTINGS[0]), on_gpu("cuda", *SETTINGS[0]), on_gpu("cuda", *SETTINGS[2])],
)
def test_a_deterministic_run_goes_on_bit_for_bit(
    device: str, amp: str, flags: list[str], call: Call, script: Run, clips: Path
) -> None:
    """On a GPU each part runs in its own process, because cuBLAS reads its settings only once."""
    run = script if device == "cuda" else call
    train = [*TRAIN, "--amp", amp, *flags, "--device", device, "--epochs", "2", "--deterministic"]
    run(*train, "-j", "1", "--store_name", "whole")
    run(*train, "-j", "0", "--store_name", "parts", "--max_steps", "3")
    again = run(*train, "-j", "0", "--store_name", "parts", "--resume", "auto")
    assert "not as in the run so far" not in (again.stderr if device == "cuda" else again.err)
    whole, parts = state_of(clips, "whole"), state_of(clips, "parts")
    assert whole.keys() == parts.keys()
    assert all(torch.equal(value, parts[name]) for name, value in whole.items())


@pytest.mark.parametrize("device", DEVICES)
def test_a_run_that_goes_on_elsewhere_says_so(device: str, call: Call, clips: Path) -> None:
    """The checkpoint has an optimizer that was not fused, and names another device."""
    train = [*TRAIN, "-j", "0", "--store_name", "run", "--resume", "auto", "--epochs", "2", "--device"]
    call(*train, "cpu", "--max_steps", "1")
    path = clips / "checkpoints/run/ckpt.pth.tar"
    saved = torch.load(path, weights_only=True)
    saved["meta"]["arithmetic"]["device"] = "an older one"
    torch.save(saved, path)
    ended = call(*train, device)
    said = ended.out + ended.err
    assert ", before an older one" in said and "epoch 2/2: loss" in said
    assert ("optimizer fused, before not set" in said) == (device == "cuda")


def test_a_gpu_that_is_not_there_is_one_line(call: Call, clips: Path) -> None:
    for flags in (["--gpus", "97"], ["--gpus", "0", "97"], ["--device", "cuda:97"]):
        done = call(*TRAIN, *flags, status=2)
        assert done.err.startswith("error: GPU ") and "does not exist: " in done.err


@pytest.mark.parametrize(
    ("numbers", "flags"),
    [
        on_gpu(["0"], ["--syncbn", "--amp", "fp16"]),
        on_gpu(["0", "1"], ["--syncbn"], count=2),
        on_gpu(["0", "1"], ["--compile", "--amp", "bf16", "--channels_last"], count=2),
    ],
)
def test_gpus_by_number(numbers: list[str], flags: list[str], script: Run, clips: Path) -> None:
    """Training uses one process per GPU and NCCL; a test on all GPUs gives the same scores as on one."""
    done = script(*TRAIN, *flags, "--gpus", *numbers, "--epochs", "2", "-j", "1", "--store_name", "run")
    assert "done: best validation" in done.stdout and "Traceback" not in done.stderr, done.stderr
    assert "barrier()" not in done.stderr, "it would guess the device of each process"
    weights = clips / "checkpoints/run/ckpt.pth.tar"
    saved = torch.load(weights, weights_only=True, map_location="cpu")
    assert saved["epoch"] == 2 and saved["meta"]["processes"] == len(numbers)
    test = [*TEST, "--weights", weights, "-j", "0"]
    script(*test, "--gpus", *numbers, "--save_scores", "several.npz", "--output", "several")
    script(*test, "--device", "cuda", "--save_scores", "one.npz", "--output", "one")
    found = [np.load(clips / f"{name}.npz")["scores"] for name in ("several", "one")]
    assert found[0].shape == (CLIPS, 2) and relative(*found) < 1e-4
