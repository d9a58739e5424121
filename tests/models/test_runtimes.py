"""Networks compute the same in onnxruntime and OpenVINO as in PyTorch; networks that cannot are refused."""

import ctypes
import gc
import itertools
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Call
from dialects import TEMPORAL, cut, distinct_model
from torch import Tensor, nn

from ops.common.device import Compute
from ops.common.errors import InputError, RunStoppedError
from ops.models.recognizer import Recognizer
from ops.models.runtimes import choose_runtime, describe_runtime, inference_network
from ops.models.temporal_options import TemporalOptions, temporal_flags

CPU = Compute(torch.device("cpu"))
RUNTIMES = ("onnxruntime", "openvino")


def clips(count: int = 2, size: int = 64) -> Tensor:
    return torch.randint(0, 256, (count, 4, 3, size, size), dtype=torch.uint8)


def opened(model: nn.Module, runtime: str, amp: str = "off") -> nn.Module:
    pytest.importorskip("onnx")
    pytest.importorskip(runtime)
    compute = choose_runtime(Compute(torch.device("cpu"), amp), runtime)
    assert describe_runtime(compute).startswith(f"{runtime} 2" if runtime == "openvino" else f"{runtime} 1")
    return inference_network(model, compute)


def difference(got: Tensor, wanted: Tensor) -> float:
    return float((got - wanted).norm() / wanted.norm())


MODELS: dict[str, dict[str, Any]] = {
    "tam": {},
    "mobilenet": {"arch": "mobilenet_v2", "temporal": TemporalOptions("tsm")},
    "flow": {"tam": False, "modality": "Flow"},
    **{" ".join(temporal_flags(options)) or options.non_local: {"temporal": options} for options in TEMPORAL},
    "gaussian": {"temporal": TemporalOptions("none", non_local="gaussian")},
    "dot product": {"temporal": TemporalOptions("none", non_local="dot_product")},
}


@pytest.mark.parametrize(("name", "runtime"), [*itertools.product(MODELS, RUNTIMES[:1]), ("tam", "openvino")])
def test_logits_are_those_of_pytorch(name: str, runtime: str) -> None:
    model = distinct_model(**MODELS[name])
    model = model if name == "mobilenet" else cut(model)
    pixels = torch.randint(0, 256, (3, 4, model.channels, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        wanted, got = model(pixels), opened(model, runtime)(pixels)
    assert got.dtype == torch.float32 and difference(got, wanted) < 1e-5


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_clips_do_not_depend_on_each_other_and_may_change_their_size(runtime: str) -> None:
    model = cut(distinct_model())
    network, pixels = opened(model, runtime), clips(3)
    with torch.inference_mode():
        together = network(pixels)
        assert torch.equal(together, torch.cat([network(clip[None]) for clip in pixels]))
        larger = clips(1, 80)
        assert difference(network(larger), model(larger)) < 1e-5
        assert torch.equal(network(pixels), together)


class SignalStack(ctypes.Structure):
    """`stack_t` of sigaltstack(2)."""

    _fields_ = (("address", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


def signal_stack() -> tuple[int, bool]:
    """The address of this thread's stack for signal handlers, 0 for none, and whether there is memory."""
    stack = SignalStack()
    ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack))
    lines = Path("/proc/self/maps").read_text().splitlines()
    ranges = [[int(end, 16) for end in line.split()[0].split("-")] for line in lines]
    return stack.address or 0, any(start <= (stack.address or 0) < end for start, end in ranges)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_signal_can_still_be_handled_after_a_network_in_openvino_was_released() -> None:
    model, networks = cut(distinct_model()), []
    with torch.inference_mode():
        for size in (64, 80):
            networks.append(opened(model, "openvino"))
            networks[-1](clips(1, size))
    while networks:  # the first one first
        del networks[0]
        gc.collect()
    address, exists = signal_stack()
    assert exists or not address


def test_bf16_in_openvino_is_close() -> None:
    model, pixels = cut(distinct_model()), clips()
    with torch.inference_mode():
        assert difference(opened(model, "openvino", "bf16")(pixels), model(pixels)) < 0.05


class Inverted(Recognizer):
    """A network with an operation that cannot be exported."""

    def forward(self, clips: Tensor) -> Tensor:
        """Return the scores through this operation."""
        return torch.erfinv(super().forward(clips))


def test_an_operation_without_translation_is_named() -> None:
    model = Inverted("resnet18", 5, 4).eval()
    with pytest.raises(
        RunStoppedError, match=r"uses aten.erfinv.default, which cannot be translated: use --runtime torch"
    ):
        opened(model, "onnxruntime")(clips(1))


def test_another_result_than_that_of_pytorch_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnx")
    from ops.models.onnx_operations import OPERATIONS

    monkeypatch.setitem(OPERATIONS, "relu_", OPERATIONS["sigmoid"])
    network = opened(cut(distinct_model()), "onnxruntime")
    with pytest.raises(
        RunStoppedError, match=r"logits of onnxruntime differ from PyTorch's by .* only 0.0001 is allowed"
    ):
        network(clips(1))


def test_scores_that_are_not_finite_are_left_to_the_caller() -> None:
    model = cut(distinct_model())
    nn.init.constant_(model.head.weight, float("nan"))
    assert opened(model, "onnxruntime")(clips(1)).isnan().all()


@pytest.mark.parametrize(
    ("runtime", "settings", "message"),
    [
        ("onnxruntime", {"device": torch.device("cuda")}, "computes on the CPU, but the device is cuda"),
        ("onnxruntime", {"compile": True}, "--compile is for PyTorch"),
        ("onnxruntime", {"amp": "bf16"}, "has no --amp bf16: use off"),
        ("openvino", {"amp": "fp16"}, "has no --amp fp16: use off or bf16"),
        ("tensorrt", {}, "must be auto, torch, onnxruntime, openvino"),
    ],
)
def test_settings_that_contradict_a_runtime_are_refused(runtime: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        choose_runtime(Compute(**{"device": torch.device("cpu"), **settings}), runtime)


def test_a_missing_runtime_is_one_line(call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    from ops.models.checkpoint import save_checkpoint

    monkeypatch.setitem(sys.modules, "openvino", None)
    save_checkpoint(tmp_path / "w.pth.tar", distinct_model(), {})
    (tmp_path / "v.mp4").touch()
    done = call(
        "tools/predict.py", "v.mp4", "--weights", "w.pth.tar", "--runtime", "openvino", "--device", "cpu", status=2
    )
    assert done.err == "error: this tool needs openvino: python -m pip install openvino\n"


def test_plain_operations_give_the_same_scores() -> None:
    from ops.models.plain_operations import plain_operations

    for options in (TemporalOptions("tam"), *TEMPORAL):
        model, pixels = cut(distinct_model(temporal=options)), clips()
        with torch.inference_mode():
            wanted = model(pixels)
            with plain_operations():
                assert np.allclose(model(pixels), wanted, rtol=1e-5, atol=1e-6)
