"""Scripts start fast: --help and mistakes in flags do not import PyTorch, decoders or plotting libraries."""

import signal
import subprocess
import sys
from pathlib import Path

import media
import pytest
from conftest import ROOT, Call

from ops.common.arguments import SEGMENT_FLAGS

SLOW = {"torch", "torchvision", "cv2", "av", "matplotlib", "scipy", "sklearn", "PIL", "jinja2", "tensorboardX"}
SCRIPTS = [
    *("main.py", "online_main.py", "test_models.py", "online_test_models.py"),
    *sorted(f"tools/{path.name}" for path in (ROOT / "tools").glob("*.py")),
    "online_label_tools/gen_online_label_kinetics.py",
]

MODULES_AFTER = """
import os, runpy, sys
sys.argv = sys.argv[1:]
sys.path[0] = os.path.dirname(sys.argv[0])
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    print(*sorted(sys.modules), file=open("modules", "w"))
"""


def run(folder: Path, *command: str, status: int) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        [sys.executable, "-c", MODULES_AFTER, str(ROOT / command[0]), *command[1:]],
        cwd=folder, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    return done


def slow_modules(folder: Path) -> set[str]:
    return SLOW & set((folder / "modules").read_text().split())


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_imports_nothing_slow(script: str, tmp_path: Path) -> None:
    assert "usage:" in run(tmp_path, script, "--help", status=0).stdout
    assert not slow_modules(tmp_path)


def test_training_never_imports_the_compiler(tmp_path: Path) -> None:
    """Which takes half of the time until the first step; nor does a run that goes on."""
    media.write_video(tmp_path / "a.mp4", 8)
    (tmp_path / "l.txt").write_text("a.mp4 0\na.mp4 1\n")
    train = ["custom", "RGB", "--train_list", "l.txt", "--val_list", "l.txt", "--root_path", ".", "--num_class", "2"]
    train += [
        "--arch",
        "resnet18",
        "--pretrain",
        "none",
        "--num_segments",
        "2",
        "--input_size",
        "32",
        "-b",
        "2",
        "--tam",
    ]
    train += ["--device", "cpu", "-j", "0", "--store_name", "run", "--resume", "auto"]
    for epochs in ("1", "2"):
        done = run(tmp_path, "online_main.py", *train, "--epochs", epochs, status=0)
        assert f"epoch {epochs}/{epochs}: loss" in done.stdout
        assert "torch._dynamo" not in (tmp_path / "modules").read_text().split()


MISTAKES = {
    "an unknown flag": ("main.py", "kinetics", "RGB", "--tamm"),
    "an unknown dataset": ("main.py", "kinetic", "RGB"),
    "an unknown dataset of a test": ("online_test_models.py", "kinetic", "--weights", "w.pth.tar"),
    "a list that is not there": ("main.py", "ucf101", "RGB", "--train_list", "none.txt"),
    "no default list": ("online_main.py", "hmdb51", "RGB"),
    "one of two lists": ("test_models.py", "custom", "--weights", "a,b", "--test_list", "l.txt,none.txt"),
    "misspelt weights": ("online_test_models.py", "custom", "--weights", "tam_r50_8f", "--test_list", "l.txt"),
    "weights of a prediction": ("tools/predict.py", "l.txt", "--weights", "tam_r50_8f"),
    "weights to tune": (
        "main.py",
        "custom",
        "RGB",
        "--train_list",
        "l.txt",
        "--val_list",
        "l.txt",
        "--tune_from",
        "t_8f",
    ),
    "lists to check": ("tools/check_dataset.py", "custom", "--train_list", "none.txt", "--root_path", "."),
    "a dataset to check": ("tools/check_dataset.py", "kinetic"),
    "annotations": ("tools/gen_labels.py", "ucf101", "--data", "."),
}


SEGMENTS = {
    "main.py": ("kinetics", "RGB"), "online_main.py": ("kinetics", "RGB"), "test_models.py": ("k", "--weights", "w"),
    "online_test_models.py": ("k", "--weights", "w"), "tools/predict.py": ("v", "--weights", "w"),
    "tools/explain.py": ("v", "--weights", "w"), "tools/export.py": ("w", "o"),
    "tools/convert_checkpoint.py": ("w", "o"), "tools/check_dataset.py": ("kinetics",),
}  # fmt: skip


@pytest.mark.parametrize("script", SEGMENTS)
def test_all_spellings_of_the_segments_are_one_flag(script: str, call: Call) -> None:
    """The value is invalid, so that the command ends when the flag is parsed."""
    for flag in SEGMENT_FLAGS:
        said = call(script, *SEGMENTS[script], flag, "none", status=2).err
        assert "argument --" in said and flag in said and "'none' must be an integer" in said
    shown = call(script, "--help").out
    assert sum(f"  {flag} " in shown for flag in SEGMENT_FLAGS) == 1


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_on_the_command_line_import_nothing_slow(case: str, tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_text("a.mp4 0\n")
    done = run(tmp_path, *MISTAKES[case], status=2)
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert not slow_modules(tmp_path)


@pytest.mark.parametrize("script", ["main.py", "tools/predict.py", "tools/extract_frames.py"])
def test_an_interrupt_while_packages_are_imported_is_one_line(script: str, tmp_path: Path) -> None:
    slow = tmp_path / "slow"
    slow.mkdir()
    interrupting = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n"
    for package in ("torch", "cv2"):
        (slow / f"{package}.py").write_text(interrupting)
    (tmp_path / "v.mp4").touch()
    (tmp_path / "w.pth.tar").touch()
    (tmp_path / "l.txt").write_text("a 9 0\n")
    arguments = {
        "main.py": ["custom", "RGB", "--train_list", "l.txt", "--val_list", "l.txt", "--root_path", "."],
        "tools/predict.py": ["v.mp4", "--weights", "w.pth.tar"],
        "tools/extract_frames.py": ["v.mp4", "-o", "out"],
    }[script]
    done = subprocess.run(
        [sys.executable, str(ROOT / script), *arguments],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False, env={"PYTHONPATH": str(slow)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # background jobs ignore SIGINT
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (130, "interrupted\n")
