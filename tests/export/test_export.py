"""Exported models compute the same as PyTorch, describe how to use them, and run without this project."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import media
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from conftest import Call, NewFolder, Run
from dialects import cut, distinct_model

from ops.common.errors import InputError
from ops.data.sampling import parse_sample
from ops.export import onnx_export
from ops.export.onnx_export import export_onnx, to_onnx
from ops.models.checkpoint import load_model, save_checkpoint
from ops.predict.predictor import Predictor, open_predictor

NAMES = ["run", "jump", "größer werden", "sit", "swim"]
META = {"class_names": NAMES, "dataset": "custom", "sampling": "uniform", "input_size": 56, "num_segments": 4}


@pytest.fixture(scope="module")
def weights(new_folder: NewFolder) -> Path:
    torch.manual_seed(5)
    path = new_folder("weights") / "tam.pth.tar"
    save_checkpoint(path, distinct_model(), META)
    return path


def shallow(predictor: Predictor) -> Predictor:
    """The same predictor with a model that `cut` has shortened."""
    return replace(predictor, model=cut(load_model(predictor.checkpoint.path)))


@pytest.fixture(scope="module")
def predictor(weights: Path) -> Predictor:
    return shallow(open_predictor(str(weights)))


@pytest.fixture(scope="module")
def exported(predictor: Predictor, weights: Path) -> Path:
    path = weights.with_name("tam.onnx")
    done = export_onnx(predictor, path)
    assert done.differences.keys() == {1, 3} and all(relative < 1e-5 for _, relative in done.differences.values())
    assert done.torch_seconds > 0 and done.file_seconds > 0
    return path


def clips(count: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 4, 3, 56, 56), dtype=torch.uint8)


def test_torch_export_gives_the_same_logits_for_any_batch() -> None:
    model = cut(distinct_model())
    program = torch.export.export(model, (clips(2),), dynamic_shapes=({0: torch.export.Dim("batch")},))
    graphs = [part.graph for part in program.graph_module.modules() if isinstance(part, torch.fx.GraphModule)]
    used = {str(node.target) for graph in graphs for node in graph.nodes if node.op == "call_function"}
    assert "aten.softmax.int" in used, "TAM is in one of them"
    assert not [name for name in used if any(word in name for word in ("addcmul", "scatter", "autograd"))]
    with torch.inference_mode():
        for batch in (1, 2, 3):
            pixels = clips(batch)
            assert torch.allclose(program.module()(pixels), model(pixels), rtol=1e-5, atol=1e-6)


def test_an_exported_file_computes_the_same_and_says_how_to_use_it(exported: Path, predictor: Predictor) -> None:
    session = onnxruntime.InferenceSession(str(exported), providers=["CPUExecutionProvider"])
    pixels = clips(5)
    with torch.inference_mode():
        wanted = predictor.model(pixels).numpy()
    (got,) = session.run(None, {"clips": pixels.numpy()})
    assert got.dtype == np.float32 and np.linalg.norm(got - wanted) < 1e-5 * np.linalg.norm(wanted)
    (entry,), (exit_,) = session.get_inputs(), session.get_outputs()
    assert (entry.name, entry.type, entry.shape[1:]) == ("clips", "tensor(uint8)", [4, 3, 56, 56])
    assert isinstance(entry.shape[0], str) and exit_.name == "logits" and exit_.shape[1] == 5
    facts = {key: json.loads(value) for key, value in session.get_modelmeta().custom_metadata_map.items()}
    wanted_facts = {
        "class_names": NAMES, "num_segments": 4, "input_size": 56, "scale_size": 64, "sampling": "uniform",
        "modality": "RGB", "model": "TANet-18", "precision": "fp32", "dataset": "custom", "source": "tam.pth.tar",
    }  # fmt: skip
    assert {key: facts[key] for key in wanted_facts} == wanted_facts and facts["mean"] == pytest.approx(
        [0.485, 0.456, 0.406]
    )
    operators = {node.op_type for node in onnx.load(exported).graph.node}
    assert not operators & {"ScatterND", "ScatterElements", "Loop", "If", "Range"}


def test_half_precision_is_half_the_file_and_close(
    weights: Path, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_predictor
    monkeypatch.setattr(
        "ops.predict.predictor.open_predictor", lambda *args, **options: shallow(opened(*args, **options))
    )
    done = call("tools/export.py", "--weights", weights, "h.onnx", "--precision", "fp16")
    assert done.out.count("logits differ by") == 2 and " on this CPU, " in done.out and ": PyTorch (fp32)" in done.out
    assert "written: h.onnx" in done.out
    graph = onnx.load(tmp_path / "h.onnx").graph
    large = [tensor for tensor in graph.initializer if len(tensor.dims) == 4 and len(tensor.raw_data) > 1000]
    assert large and {tensor.data_type for tensor in large} == {onnx.TensorProto.FLOAT16}
    assert [entry.type.tensor_type.elem_type for entry in (*graph.input, *graph.output)] == [
        onnx.TensorProto.UINT8, onnx.TensorProto.FLOAT
    ]  # fmt: skip


EXTERNAL: dict[str, str | None] = {  # location of the weights in the file → part of the error message
    "weights.bin": None,
    "gone.bin": "gone.bin",
    "../weights.bin": "weights.bin",
    "/etc/hostname": "bsolute path not allowed",
}


@pytest.mark.parametrize("place", EXTERNAL)
def test_weights_outside_of_the_model_are_read_from_its_folder_alone(
    place: str, exported: Path, script: Run, tmp_path: Path
) -> None:
    video = media.write_video(tmp_path / "v.mp4", 9)
    folder = tmp_path / "model"
    folder.mkdir()
    onnx.save(onnx.load(exported), folder / "m.onnx", save_as_external_data=True, location="weights.bin")
    model = onnx.load(folder / "m.onnx", load_external_data=False)
    (tmp_path / "weights.bin").write_bytes((folder / "weights.bin").read_bytes())
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            entry.value = place if entry.key == "location" else entry.value
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    said = EXTERNAL[place]
    done = script("examples/onnx_predict.py", "model/m.onnx", video, status=1 if said else 0)
    if said:
        assert done.stderr.startswith("error: ") and said in done.stderr and done.stderr.count("\n") == 1
    else:
        assert len(done.stdout.splitlines()) == 5


def test_a_model_that_does_not_say_how_to_use_it_is_refused_by_the_example(
    exported: Path, script: Run, tmp_path: Path
) -> None:
    model = onnx.load(exported)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "m.onnx")
    done = script("examples/onnx_predict.py", "m.onnx", media.write_video(tmp_path / "v.mp4", 9), status=1)
    assert (
        done.stderr == "error: m.onnx has no 'num_segments' in its metadata: use a model written by tools/export.py\n"
    )


@pytest.mark.parametrize(
    ("kind", "size", "matrix"),
    [("uniform", (48, 64), (0, 0, 0, 0)), ("uniform", (48, 64), (-1, 0, 0, 1)), ("dense", (90, 52), (0, 1, -1, 0))],
)
def test_the_example_predicts_the_same_as_the_project(
    kind: str,
    size: tuple[int, int],
    matrix: tuple[int, int, int, int],
    exported: Path,
    predictor: Predictor,
    script: Run,
    tmp_path: Path,
) -> None:
    """Frames are resized by another library, so probabilities may differ by 0.002, but their order may not."""
    video = media.set_matrix(media.write_video(tmp_path / "v.mp4", 75, size=size), matrix)
    model = onnx.load(exported)
    onnx.helper.set_model_props(model, {**{p.key: p.value for p in model.metadata_props}, "sampling": json.dumps(kind)})
    onnx.save(model, tmp_path / "m.onnx")
    wanted = dict(replace(predictor, sample=parse_sample(f"{kind}-1"))(str(video)).top())
    lines = script("examples/onnx_predict.py", "m.onnx", video).stdout.splitlines()
    got = {line[8:]: float(line[:6]) for line in lines}
    assert got == pytest.approx(wanted, abs=0.002) and next(iter(got)) == next(iter(wanted))
    assert max(wanted.values()) > 0.3, "equal shares would tell nothing"
    gone = script("examples/onnx_predict.py", "m.onnx", "gone.mp4", status=1)
    assert gone.stderr.startswith("error: ") and "gone.mp4" in gone.stderr and gone.stderr.count("\n") == 1


def test_an_export_with_other_scores_is_not_written(
    exported: Path, predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proto = onnx.load(exported)
    for tensor in proto.graph.initializer:
        if len(tensor.dims) <= 2 and 5 in tensor.dims and tensor.data_type == onnx.TensorProto.FLOAT:  # the head
            tensor.CopyFrom(
                onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor) * np.float32(1.001), tensor.name)
            )
    monkeypatch.setattr(onnx_export, "to_onnx", lambda *args: proto)
    (tmp_path / "m.onnx").write_text("older")
    with pytest.raises(InputError, match=r"m.onnx: not written: the logits of onnxruntime differ .* by 1.0e-03"):
        export_onnx(predictor, tmp_path / "m.onnx")
    proto.graph.node[0].op_type = "NoSuchThing"
    with pytest.raises(InputError, match=r"m.onnx: not written: onnxruntime cannot use it"):
        export_onnx(predictor, tmp_path / "m.onnx")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["older"]


def test_a_checkpoint_is_not_written_over(call: Call, weights: Path) -> None:
    before = weights.read_bytes()
    done = call("tools/export.py", weights, "--weights", weights, status=2)
    assert "is an input file; choose another name" in done.err and weights.read_bytes() == before


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--weights", "absent"], "absent: cannot read the checkpoint"),
        (["--weights", "text"], "text: not a readable checkpoint"),
        (["--weights", "WEIGHTS", "--segments", "8"], "trained for 4 segments"),
        (["--weights", "WEIGHTS", "--class_names", "text"], "has 5 classes, but text has 1"),
        (["--weights", "WEIGHTS", "--precision", "int4"], "invalid choice"),
        ([], "--weights"),
    ],
)
def test_bad_input_is_one_line(flags: list[str], message: str, call: Call, weights: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("nothing")
    done = call("tools/export.py", "m.onnx", *[str(weights) if flag == "WEIGHTS" else flag for flag in flags], status=2)
    assert message in done.err and done.err.count("\n") == 1 and not (tmp_path / "m.onnx").exists()


def test_a_plain_network_on_flow_exports_too() -> None:
    model: Any = cut(distinct_model(tam=False, modality="Flow"))
    proto = to_onnx(model, (4, 10, 32, 32), "fp32")
    pixels = torch.randint(0, 256, (3, 4, 10, 32, 32), dtype=torch.uint8)
    (got,) = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"clips": pixels.numpy()})
    with torch.inference_mode():
        assert np.allclose(got, model(pixels).numpy(), rtol=1e-4, atol=1e-5)
