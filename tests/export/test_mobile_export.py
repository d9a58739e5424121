"""Models exported to LiteRT and Core ML compute the same as PyTorch and describe how to use them."""

import json
import os
import zipfile
from pathlib import Path

import media
import numpy as np
import pytest
import torch
from conftest import Call
from dialects import cut, distinct_model, open_cut_models

from ops.export.options import check_target, computes_here, format_of
from ops.models.checkpoint import load_model, save_checkpoint

NAMES = ["run", "jump", "größer werden", "sit", "swim"]
META = {"class_names": NAMES, "dataset": "custom", "sampling": "uniform", "input_size": 56, "num_segments": 4}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint, of which one block per stage is exported."""
    save_checkpoint(tmp_path / "w.pth.tar", distinct_model(), META)
    open_cut_models(monkeypatch)
    return tmp_path


@pytest.fixture
def clips() -> torch.Tensor:
    return torch.randint(0, 256, (2, 4, 3, 56, 56), dtype=torch.uint8)


def wanted_logits(folder: Path, clips: torch.Tensor) -> np.ndarray:
    with torch.inference_mode():
        return cut(load_model(folder / "w.pth.tar"))(clips).numpy()


@pytest.mark.parametrize(("precision", "bound"), [("fp32", 1e-5), ("fp16", 5e-3), ("int8", 0.1)])
def test_a_model_for_litert_computes_the_same_and_says_how_to_use_it(
    precision: str, bound: float, folder: Path, clips: torch.Tensor, call: Call
) -> None:
    pytest.importorskip("litert_torch", reason="it needs an environment of its own")
    from ops.export.litert_export import open_litert

    media.write_video(folder / "a.mp4", 9)
    (folder / "l.txt").write_text("a.mp4 0\n")
    arguments = ("--weights", "w.pth.tar", "m.tflite", "--precision", precision, "--verify_list", "l.txt")
    done = call("tools/export.py", *arguments)
    assert done.out.count("litert and PyTorch, batch") == 2 and f"litert ({precision})" in done.out
    assert "top-1 on 1 clip:" in done.out
    wanted = wanted_logits(folder, clips)
    got = open_litert(folder / "m.tflite")(clips.numpy())
    assert got.dtype == np.float32 and np.linalg.norm(got - wanted) < bound * np.linalg.norm(wanted)
    with zipfile.ZipFile(folder / "m.tflite") as archive:
        facts = json.loads(archive.read("tam.json"))
        assert archive.read("labels.txt").decode().splitlines() == NAMES
    assert facts["num_segments"] == 4 and facts["precision"] == precision and facts["input"].startswith("uint8 [1, T")
    weights = sum(p.numel() for p in cut(load_model(folder / "w.pth.tar")).parameters())
    bytes_each = {"fp32": 4, "fp16": 2, "int8": 1}[precision]
    assert (folder / "m.tflite").stat().st_size < 1.2 * bytes_each * weights + 5e5
    assert not list(folder.glob(".*"))


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_a_model_for_core_ml_has_the_graph_and_says_how_to_use_it(precision: str, folder: Path, call: Call) -> None:
    coremltools = pytest.importorskip("coremltools")
    for _ in range(2):  # the second replaces the first
        done = call("tools/export.py", "--weights", "w.pth.tar", "m.mlpackage", "--precision", precision)
    assert done.out.count(" and PyTorch, batch") == 2
    assert computes_here("coreml") or "this machine checked the file's inputs and outputs, not its logits" in done.out
    spec = coremltools.utils.load_spec(str(folder / "m.mlpackage"))
    assert list(spec.description.input[0].type.multiArrayType.shape) == [1, 4, 3, 56, 56]
    facts = {key: json.loads(value) for key, value in spec.description.metadata.userDefined.items() if "tam." in key}
    assert facts["tam.class_names"] == NAMES and facts["tam.input"].startswith("float32 [1, T")
    weights = sum(p.numel() for p in cut(load_model(folder / "w.pth.tar")).parameters())
    size = sum(file.stat().st_size for file in (folder / "m.mlpackage").rglob("*") if file.is_file())
    bytes_each = {"fp32": 4, "fp16": 2, "int8": 1}[precision]
    assert size < 1.2 * bytes_each * weights + 5e5
    assert not list(folder.glob(".*")), "no temporary folders are left"


def test_a_description_that_does_not_fit_is_refused(tmp_path: Path, folder: Path, call: Call) -> None:
    pytest.importorskip("coremltools")
    from ops.common.errors import InputError
    from ops.export.coreml_export import check_description

    call("tools/export.py", "--weights", "w.pth.tar", "m.mlpackage")
    check_description(folder / "m.mlpackage", (1, 4, 3, 56, 56), 5)
    with pytest.raises(InputError, match=r"m.mlpackage: not written: Core ML has other inputs or outputs"):
        check_description(folder / "m.mlpackage", (1, 4, 3, 56, 56), 6)


BAD = [
    (["m.onnx", "--format", "litert"], "m.onnx: the name of a model for litert must end in .tflite"),
    (["m.xml", "--format", "coreml"], "m.xml: the name of a model for coreml must end in .mlpackage"),
    (["m.tflite", "--precision", "int8", "--calibrate", "l.txt"], "--calibrate is for --format openvino"),
    (["m.tflite", "--calibrate", "l.txt"], "--calibrate is for --format openvino"),
    (["m.tflite", "--verify_list", "none.txt"], "none.txt: no such list"),
    (["videos.mlpackage"], "videos.mlpackage: is a folder, but no Core ML model that may be replaced"),
    (["l.mlpackage"], "l.mlpackage: is a file, but a Core ML model is a folder"),
    (["folder.tflite"], "folder.tflite: is a directory"),
]


@pytest.mark.parametrize(("flags", "message"), BAD)
def test_what_is_not_offered_is_one_line(flags: list[str], message: str, tmp_path: Path, call: Call) -> None:
    for name in ("l.txt", "l.mlpackage", "w.pth.tar"):
        (tmp_path / name).write_text("")
    for name in ("videos.mlpackage", "folder.tflite"):
        (tmp_path / name).mkdir()
    done = call("tools/export.py", "--weights", "w.pth.tar", *flags, status=2)
    assert message in done.err and done.err.count("\n") == 1
    assert sorted(os.listdir(tmp_path)) == ["folder.tflite", "l.mlpackage", "l.txt", "videos.mlpackage", "w.pth.tar"]


@pytest.mark.skipif(computes_here("coreml"), reason="for machines without Core ML")
def test_accuracy_where_the_file_cannot_be_computed_is_refused(tmp_path: Path, call: Call) -> None:
    done = call("tools/export.py", "--weights", "w", "m.mlpackage", "--verify_list", "l.txt", status=2)
    assert "--verify_list: Core ML computes on macOS only" in done.err and done.err.count("\n") == 1


def test_a_missing_package_is_one_line(tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "w.pth.tar").write_text("")
    for name, target in (("litert_torch", "m.tflite"), ("coremltools", "m.mlpackage")):
        monkeypatch.setitem(__import__("sys").modules, name, None)
        done = call("tools/export.py", "--weights", "w.pth.tar", target, status=2)
        assert f"this tool needs {name}" in done.err and f"pip install {name}" in done.err
        assert done.err.count("\n") == 1 and ("docs/using.md" in done.err) == (name == "litert_torch")


@pytest.mark.parametrize(
    ("target", "name"), [("a.onnx", "onnx"), ("a", "onnx"), ("a.xml", "openvino"), ("a.tflite", "litert"),
                         ("a.mlpackage", "coreml")],
)  # fmt: skip
def test_the_ending_chooses_the_format(target: str, name: str, tmp_path: Path) -> None:
    assert format_of(target, None, "fp32", False) == name
    check_target(str(tmp_path / target), name)
