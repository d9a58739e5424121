"""Models exported to OpenVINO compute the same as PyTorch (in int8 about the same) and describe how to use them."""

import json
from pathlib import Path

import media
import numpy as np
import pytest
import torch
from conftest import Call
from dialects import cut, distinct_model, open_cut_models

from ops.models.checkpoint import load_model, save_checkpoint
from ops.models.runtimes import open_session

NAMES = ["run", "jump", "größer werden", "sit", "swim"]
META = {"class_names": NAMES, "dataset": "custom", "sampling": "uniform", "input_size": 56, "num_segments": 4}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint, of which one block per stage is exported, two videos, an unreadable one, and their list."""
    pytest.importorskip("openvino")
    pytest.importorskip("onnxscript")
    save_checkpoint(tmp_path / "w.pth.tar", distinct_model(), META)
    open_cut_models(monkeypatch)
    for name, seed in (("a.mp4", 0), ("b.mp4", 1)):
        media.write_video(tmp_path / name, 9, seed=seed)
    (tmp_path / "broken.mp4").write_bytes(b"nothing")
    (tmp_path / "l.txt").write_text("a.mp4 0\nbroken.mp4 1\nb.mp4 sit\n")
    return tmp_path


def test_a_model_for_openvino_computes_the_same_and_says_how_to_use_it(folder: Path, call: Call) -> None:
    done = call("tools/export.py", "--weights", "w.pth.tar", "m.xml", "--verify_list", "l.txt")
    assert done.out.count("openvino and PyTorch, batch") == 2 and "top-1 on 2 clips: PyTorch (fp32)" in done.out
    assert "left out: " in done.out + done.err and "broken.mp4" in done.out + done.err
    clips = torch.randint(0, 256, (3, 4, 3, 56, 56), dtype=torch.uint8)
    with torch.inference_mode():
        wanted = cut(load_model(folder / "w.pth.tar"))(clips).numpy()
    got = open_session("openvino", folder / "m.xml")(clips.numpy())
    assert np.linalg.norm(got - wanted) < 1e-5 * np.linalg.norm(wanted)
    import openvino

    model = openvino.Core().read_model(folder / "m.xml")
    facts = {key: json.loads(model.get_rt_info(["tam", key]).value) for key in ("class_names", "num_segments")}
    assert facts == {"class_names": NAMES, "num_segments": 4}
    assert {path.name for path in folder.glob("*m.*")} == {"m.xml", "m.bin"}, "no temporary files are left"


def test_int8_is_a_quarter_of_the_file_and_close(folder: Path, call: Call) -> None:
    pytest.importorskip("nncf")
    arguments = ("--weights", "w.pth.tar", "m.xml", "--precision", "int8", "--calibrate", "l.txt", "--root_path", ".")
    done = call("tools/export.py", *arguments)
    assert "openvino (int8)" in done.out
    weights = sum(p.numel() for n, p in cut(load_model(folder / "w.pth.tar")).named_parameters() if p.ndim == 4)
    assert (folder / "m.bin").stat().st_size < 1.3 * weights + 4e6


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["m.onnx", "--format", "openvino"], "m.onnx: the name of a model for openvino must end in .xml"),
        (
            ["m.onnx", "--precision", "int8", "--calibrate", "l.txt"],
            "--format onnx has no --precision int8; openvino, litert, coreml have it",
        ),
        (["m.xml", "--precision", "int8"], "--precision int8 and --calibrate LIST belong together"),
        (["m.xml", "--calibrate", "l.txt"], "--precision int8 and --calibrate LIST belong together"),
        (["m.xml", "--verify_list", "none.txt"], "none.txt: no such list"),
        (["m.xml", "--verify_list", "gone.txt"], "gone"),
    ],
)
def test_contradicting_flags_are_one_line(flags: list[str], message: str, folder: Path, call: Call) -> None:
    (folder / "gone.txt").write_text("gone.mp4 0\n")
    done = call("tools/export.py", "--weights", "w.pth.tar", *flags, status=2)
    assert message in done.err and done.err.count("\n") == 1 and not list(folder.glob("*m.*"))
