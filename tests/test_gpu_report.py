"""The GPU report, tested on a CPU: its figures, its file name, and the exit status of its script."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import ROOT

from benchmarks.gpu_report import Measured, Report, Setting, file_name, fitting, settings_for
from benchmarks.timing import Timing

PYTHON = f"""#!{sys.executable}
import os, sys
if "pip" in sys.argv:
    sys.exit()
if "pytest" in sys.argv:
    print("the tests said this")
    sys.exit(int(os.environ["TESTS_END_WITH"]))
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
"""A stub for Python that installs nothing and does not run the tests."""


def gpu_report(
    folder: Path, *flags: str, listed: str = "", tests_end_with: int = 0
) -> "subprocess.CompletedProcess[str]":
    """Run the script with a stub for nvidia-smi that prints `listed`; none of these GPUs can be used."""
    for path, text in {"bin/nvidia-smi": f"#!/bin/sh\necho '{listed}'\n", "venv/bin/python": PYTHON}.items():
        (folder / path).parent.mkdir(parents=True)
        (folder / path).write_text(text)
        (folder / path).chmod(0o755)
    environment = {
        **os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "TAM_VENV": str(folder / "venv"),
        "CUDA_VISIBLE_DEVICES": "", "TESTS_END_WITH": str(tests_end_with), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    script = ["bash", str(ROOT / "scripts/gpu_report.sh"), *flags]
    return subprocess.run(script, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def test_a_machine_without_a_gpu_is_reported_in_one_line(tmp_path: Path) -> None:
    done = gpu_report(tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: no GPU here (nvidia-smi lists none); run this on a machine that has one\n"
    assert not (tmp_path / "venv/.installed-requirements-dev.txt").exists()


def test_a_gpu_that_pytorch_cannot_use_is_one_line(tmp_path: Path) -> None:
    done = gpu_report(tmp_path, listed="GPU 0: NVIDIA A100")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr == (
        f"error: torch {torch.__version__} for CUDA {torch.version.cuda} cannot use the GPU; see docs/install.md\n"
    )


def test_the_whole_report_runs_on_a_cpu(tmp_path: Path) -> None:
    done = gpu_report(tmp_path, "--quick", "--output", "out/cpu", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "out/cpu.md").read_text()
    assert done.stdout.endswith(text) and "(`python -m pytest -m gpu`): the tests said this." in text
    facts = json.loads((tmp_path / "out/cpu.json").read_text())
    assert len(facts["rows"]) == 9 and all(row["ratio"] > 0 for row in facts["rows"])
    assert [speed[1] for speed in facts["speeds"]] == ["ours", "published", "plain"]
    assert facts["left_out"] == ["TF32, channels last: --tf32 is for GPUs, and this runs on cpu; leave it out"]
    assert text.count("(target ≥ 2.5): ") == 2 and text.count("(target ≤ 1.3): ") == 1


def test_failed_or_slow_tests_are_reported_after_the_measurements(tmp_path: Path) -> None:
    """--help stands in for the measurements, because it ends with status 0."""
    done = gpu_report(tmp_path, "--device", "cpu", "--help", tests_end_with=124)
    assert done.returncode == 1 and "usage: python -m benchmarks.gpu_report" in done.stdout
    assert done.stderr.endswith("error: not all tests passed: stopped after 600 seconds\n")


def test_targets_are_met_or_missed() -> None:
    report, times = Report(), {name: Timing(time, time, time) for name, time in (("ours", 1.0), ("plain", 0.9))}
    report.add(Setting("bf16"), "training step", times, {"plain": "≤ 1.10"})
    report.add(Setting("fp16"), "training step", {**times, "today": Timing(3, 3, 3)}, {"today": "≥ 2.5"})
    verdicts = report.verdicts()
    assert [line.rpartition(": ")[2] for line in verdicts] == ["**missed**", "met"] and len(report.rows) == 3
    assert "bf16, channels last, against ResNet-50 without TAM: 1.11 (target ≤ 1.10)" in verdicts[0]


def test_fewer_clips_are_used_if_memory_is_short() -> None:
    def step(clips: int) -> Measured:
        if clips > 9:
            raise torch.OutOfMemoryError
        return Measured(clips, {})

    assert fitting(step, 32).clips == 8
    with pytest.raises(torch.OutOfMemoryError):
        fitting(lambda clips: step(clips + 9), 32)


@pytest.mark.parametrize("bf16", [True, False])
def test_the_recommended_setting_comes_first_and_none_occurs_twice(bf16: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation: bf16)
    settings = list(map(str, settings_for(torch.device("cuda", 0))))
    best = "bf16" if bf16 else "fp16"
    assert settings[:3] == [f"{best}, channels last", f"{best}, channels last, compiled", "float32, contiguous"]
    assert len(settings) == len(set(settings)) == (9 if bf16 else 7)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("NVIDIA A100-SXM4-80GB", "nvidia_a100_sxm4_80gb"),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", "nvidia_geforce_rtx_4090_laptop_gpu"),
        ("../Tesla T4 / (MIG 1g.5gb)", "tesla_t4_mig_1g_5gb"),
        ("", "gpu"),
    ],
)
def test_the_report_is_named_after_the_gpu(name: str, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device: name)
    assert file_name(torch.device("cuda", 0)) == file
    assert file_name(torch.device("cpu")) == "cpu"
