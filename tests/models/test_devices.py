"""Everything that a network computes stays on its device; this is tested without a GPU, on fake tensors.

A FakeTensor has a shape, a type and a device, but no values. An operation on tensors of different devices raises.
"""

from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import _disable_current_modes

from ops.common.device import Compute
from ops.data.transforms import Box, FramePlan
from ops.data.views import Views
from ops.models.fused_filter import FusedFilter
from ops.models.recognizer import Recognizer, build_model
from ops.models.tam import SpatialMean
from ops.models.temporal_filter import TemporalFilter
from ops.training.engine import score_views
from ops.training.metrics import Meter
from ops.training.train_step import forward

GPU = torch.device("cuda", 0)
MISPLACED = r"same device|two different devices"
SEGMENTS, CLASSES, SIZE = 2, 5, 32


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTensorMode]:
    """A mode with a fake GPU; autocast assumes that it supports bf16."""
    monkeypatch.setattr("torch.cuda.amp.common.amp_definitely_not_available", lambda: False)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda *args, **options: True)
    with FakeTensorMode() as mode:
        yield mode


def to_fakes(model: nn.Module, mode: FakeTensorMode) -> nn.Module:
    """Replace the tensors of `model` by fakes, in place; called outside the mode, in which real tensors are errors."""
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                module._parameters[name] = nn.Parameter(mode.from_tensor(parameter.data), parameter.requires_grad)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = mode.from_tensor(buffer)
    return model


def to_gpu(model: nn.Module) -> nn.Module:
    """Move the tensors of `model` to the GPU, in place; `Module.to` cannot replace fakes."""
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                module._parameters[name] = nn.Parameter(parameter.data.to(GPU), parameter.requires_grad)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = buffer.to(GPU)
    return model


def make_model(arch: str, mode: FakeTensorMode, folded: bool = False, channels_last: bool = False) -> nn.Module:
    """A TANet that is built on the CPU with real tensors, then made fake and moved to the GPU."""
    with _disable_current_modes():
        model: nn.Module = build_model(arch, CLASSES, SEGMENTS)
        if channels_last:
            model.to(memory_format=torch.channels_last)
        if folded:
            model = Compute(GPU).for_inference(model)
        to_fakes(model, mode)
    return to_gpu(model)


def on_gpu(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.zeros(shape, dtype=dtype, device=GPU)


@pytest.mark.parametrize("arch", ["resnet18", "resnet50"])
@pytest.mark.parametrize("channels_last", [False, True], ids=["contiguous", "channels last"])
def test_clips_from_the_loader_are_scored_on_the_gpu(arch: str, channels_last: bool, fake: FakeTensorMode) -> None:
    model = make_model(arch, fake, channels_last=channels_last)
    assert isinstance(model, Recognizer)
    features: list[Tensor] = []
    model.base_model.layer1.register_forward_hook(lambda module, inputs, output: features.append(output))
    clips = torch.zeros(2, SEGMENTS, 3, SIZE, SIZE, dtype=torch.uint8)  # on the CPU, as from the loader
    expected = {"off": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    for amp, dtype in expected.items():
        scores = forward(model, clips, Compute(GPU, amp, channels_last))
        assert (scores.device, scores.dtype, scores.shape) == (GPU, torch.float32, (2, CLASSES))
        assert (features[-1].device, features[-1].dtype) == (GPU, dtype)
        if amp == "off":  # the format that cuDNN uses in half precision is unknown without a GPU
            assert features[-1].is_contiguous(memory_format=torch.channels_last) == channels_last
    meter = Meter(GPU)
    meter.add(scores, on_gpu(2, dtype=torch.int64), scores.mean())
    assert meter.totals.device == GPU


@pytest.mark.parametrize("channels_last", [False, True], ids=["contiguous", "channels last"])
def test_a_test_brings_scores_back_to_the_cpu(channels_last: bool, fake: FakeTensorMode) -> None:
    model = make_model("resnet18", fake, folded=True, channels_last=channels_last)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    boxes = (Box(0, 0, SIZE, SIZE), Box(0, 8, SIZE, SIZE))
    frames = torch.zeros(3, 3, SIZE, SIZE + 8, dtype=torch.uint8)
    clips = torch.zeros(2, SEGMENTS, 1, dtype=torch.int64)
    views = Views(frames, [clips], FramePlan(frames.shape[2:], None, frames.shape[2:], boxes, (False, True)))
    partners = np.array([1, 0, -1, -1, -1])
    scores = score_views(model, views, clips, partners, 3, Compute(GPU, "bf16", channels_last))
    assert (scores.device, scores.dtype, scores.shape) == (torch.device("cpu"), torch.float32, (CLASSES,))


class Context(SimpleNamespace):
    """Stands in for the context that autograd passes to `forward` and `backward`."""

    needs_input_grad = (True, True)

    def save_for_backward(self, *tensors: Tensor) -> None:
        """Store the tensors."""
        self.saved_tensors = tensors


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.usefixtures("fake")
def test_gradients_of_tams_own_functions_are_made_on_the_gpu(dtype: torch.dtype) -> None:
    """`forward` and `backward` are called directly, because autograd's engine would need a real GPU."""
    x = on_gpu(4, 8, 7, 7, dtype=dtype)
    for function, other in ((TemporalFilter, on_gpu(3, 4, 8, dtype=dtype)), (SpatialMean, torch.float32)):
        context = Context()
        out = function.forward(context, x, other)
        grads = function.backward(context, out)
        assert (out.device, grads[0].device, grads[0].dtype, grads[0].shape) == (GPU, GPU, dtype, x.shape)
        if isinstance(other, Tensor):
            assert (grads[1].device, grads[1].dtype, grads[1].shape) == (GPU, dtype, other.shape)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.usefixtures("fake")
def test_gradients_of_the_fused_filter_are_made_on_the_gpu(dtype: torch.dtype) -> None:
    context, x = Context(), on_gpu(4, 8, 7, 7, dtype=dtype)
    out = FusedFilter.forward(context, x, on_gpu(2, 3, 8), on_gpu(2, 8, 2), 2)
    grads = FusedFilter.backward(context, out)[:3]
    assert (out.device, out.dtype, out.shape) == (GPU, dtype, x.shape)
    assert [(grad.device, grad.dtype, grad.shape) for grad in grads if grad is not None] == [
        (GPU, dtype, x.shape),
        (GPU, torch.float32, (2, 3, 8)),
        (GPU, torch.float32, (2, 8, 2)),
    ]


class MakesItsOwn(nn.Module):
    """Adds a tensor that it creates on the CPU in each pass."""

    def forward(self, x: Tensor) -> Tensor:
        """Return a tensor like `x`."""
        return x + torch.ones(x.shape[1], 1, 1)


def test_a_tensor_on_the_wrong_device_is_noticed(fake: FakeTensorMode) -> None:
    model = make_model("resnet18", fake)
    assert isinstance(model, Recognizer)
    clips = torch.zeros(1, SEGMENTS, 3, SIZE, SIZE, dtype=torch.uint8)
    model.base_model.layer2 = nn.Sequential(MakesItsOwn(), model.base_model.layer2)
    with pytest.raises(RuntimeError, match=MISPLACED):
        forward(model, clips, Compute(GPU))


def test_a_buffer_that_stayed_behind_is_noticed(fake: FakeTensorMode) -> None:
    model = make_model("resnet18", fake)
    assert isinstance(model, Recognizer)
    model.mean = torch.zeros(3, 1, 1)
    with pytest.raises(RuntimeError, match=MISPLACED):
        forward(model, torch.zeros(1, SEGMENTS, 3, SIZE, SIZE, dtype=torch.uint8), Compute(GPU))
