"""Non-local blocks: outputs, gradients, memory formats, names, places, compute and export."""

import copy
import json
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from ops.common.device import fold_batch_norms
from ops.common.errors import InputError
from ops.models.non_local import (
    FROM_MMACTION2,
    NON_LOCAL_MODES,
    TO_MMACTION2,
    NonLocal,
    NonLocalBlock,
    add_output_biases,
    fold_output_biases,
    insert_non_local,
    non_local_places,
)
from ops.models.resnet import build_resnet

REFERENCE = Path(__file__).parents[1] / "reference"


def tensors_of(name: str) -> dict[str, list[int]]:
    """The shapes of a published checkpoint's tensors by name."""
    shapes: dict[str, list[int]] = json.loads((REFERENCE / f"tensors_{name}.json").read_text())
    return shapes


def awake(mode: str = "embedded_gaussian", channels: int = 8, t: int = 3) -> NonLocal:
    """A block whose batch norm is not zero, as it is initially, so that the block changes its input."""
    module = NonLocal(channels, t, mode)
    norm = module.W[1]
    nn.init.uniform_(norm.weight, 0.5, 1.5)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 1.5)
    return module


def plain(module: NonLocal, x: Tensor) -> Tensor:
    """The formula of the paper, with the 3-d convolutions of the block and all similarities computed explicitly."""
    clips = x.unflatten(0, (-1, module.num_segments)).transpose(1, 2)  # [N, C, T, H, W]
    pool = nn.MaxPool3d((1, 2, 2))
    gaussian = module.mode == "gaussian"
    query = (clips if gaussian else module.theta(clips)).flatten(2)
    key = (pool(clips) if gaussian else module.phi(clips)).flatten(2)
    value = module.g(clips).flatten(2)
    similarity = torch.einsum("ncq,nck->nqk", query, key)
    weight = similarity / similarity.shape[-1] if module.mode == "dot_product" else similarity.softmax(dim=-1)
    mixed = torch.einsum("nqk,nck->ncq", weight, value).view(len(clips), -1, *clips.shape[2:])
    return (clips + module.W(mixed)).transpose(1, 2).flatten(0, 1)


def value_and_gradients(module: NonLocal, run: nn.Module | None, x: Tensor) -> list[Tensor]:
    """The output of `run` (the formula by default), and the gradients of the input and of all weights."""
    x = x.detach().requires_grad_()
    y = run(x) if run is not None else plain(module, x)
    weight = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view(y.shape)
    return [y, *torch.autograd.grad((y * weight).sum(), [x, *module.parameters()])]


@pytest.mark.parametrize("mode", NON_LOCAL_MODES)
@pytest.mark.parametrize(
    ("n", "t", "c", "h", "w"), [(2, 3, 8, 4, 6), (1, 1, 2, 2, 2), (2, 4, 6, 7, 5), (1, 8, 1, 3, 2)]
)
@pytest.mark.parametrize("training", [True, False])
def test_values_and_gradients_are_those_of_the_formula(
    mode: str, n: int, t: int, c: int, h: int, w: int, training: bool
) -> None:
    module = awake(mode, c, t).train(training).double()
    x = torch.randn(n * t, c, h, w, dtype=torch.float64)
    for memory_format in (torch.contiguous_format, torch.channels_last):
        ours = value_and_gradients(module, module, x.contiguous(memory_format=memory_format))
        theirs = value_and_gradients(module, None, x)
        assert all(torch.allclose(a, b, rtol=1e-9, atol=1e-9) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("mode", NON_LOCAL_MODES)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_the_memory_format_of_the_input_is_kept(mode: str, memory_format: torch.memory_format) -> None:
    module, x = awake(mode), torch.randn(6, 8, 4, 6).contiguous(memory_format=memory_format)
    assert module(x).is_contiguous(memory_format=memory_format)
    for parameter in module.parameters():
        if parameter.ndim == 5 and memory_format == torch.channels_last:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last_3d)
    assert module(x).is_contiguous(memory_format=memory_format)


def test_statistics_of_the_batch_norm_are_those_of_whole_clips() -> None:
    ours, theirs = awake(), awake()
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(6, 8, 4, 6)
    ours(x), plain(theirs, x)
    for name, value in theirs.state_dict().items():
        assert torch.allclose(ours.state_dict()[name], value, atol=1e-5)


def test_a_non_local_block_starts_as_the_identity() -> None:
    x = torch.randn(6, 8, 4, 6)
    assert torch.equal(NonLocal(8, 3)(x), x)


def test_clips_do_not_affect_each_other() -> None:
    module, x = awake().eval(), torch.randn(6, 8, 4, 6)
    assert torch.allclose(module(x)[:3], module(x[:3]), atol=1e-6)
    assert not torch.allclose(module(x)[0], module(x.flip(0))[5]), "but the frames of a clip do"


@pytest.mark.parametrize("mode", NON_LOCAL_MODES)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_compiling_and_folding_the_batch_norm_change_nothing(mode: str, memory_format: torch.memory_format) -> None:
    module, x = awake(mode).eval(), torch.randn(6, 8, 4, 6).contiguous(memory_format=memory_format)
    for other in (torch.compile(module, backend="aot_eager", fullgraph=True), fold_batch_norms(copy.deepcopy(module))):
        assert torch.allclose(other(x), module(x), atol=1e-5)


@pytest.mark.parametrize("mode", NON_LOCAL_MODES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_keeps_its_type_and_value(mode: str, dtype: torch.dtype) -> None:
    module, x = awake(mode), torch.randn(6, 8, 4, 6)
    wanted = plain(module, x)
    with torch.autocast("cpu", dtype=dtype):
        half = module(x.to(dtype))
        half.float().sum().backward()
    cast = awake(mode).to(dtype).eval()(x.to(dtype))
    assert half.dtype == cast.dtype == dtype
    assert (half.float() - wanted).norm() < 0.02 * wanted.norm()


def test_a_sum_over_many_positions_does_not_overflow_in_half_precision() -> None:
    module = awake("dot_product", 8, 8).eval()
    x = 20 * torch.randn(8, 8, 32, 32)
    wanted = module(x)
    assert (module.half()(x.half()).float() - wanted).norm() < 0.01 * wanted.norm()


@pytest.mark.parametrize(
    ("shape", "mode", "error", "message"),
    [
        ((7, 8, 4, 4), "gaussian", ValueError, "must fold into clips of 3 frames with 8 channels"),
        ((6, 4, 4, 4), "gaussian", ValueError, "must fold into clips of 3 frames with 8 channels"),
        ((6, 8, 1, 4), "gaussian", ValueError, "at least 2 x 2 positions"),
        ((6, 8, 4, 4), "concatenation", InputError, "unknown mode of non-local blocks concatenation; use one of emb"),
    ],
)
def test_impossible_shapes_and_modes_are_refused(
    shape: tuple[int, ...], mode: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        NonLocal(8, 3, mode)(torch.zeros(shape))


@pytest.mark.parametrize(
    ("arch", "places"),
    [
        ("resnet18", {"layer2": (0,), "layer3": (0,)}),
        ("resnet34", {"layer2": (0, 2), "layer3": (0, 2, 4)}),
        ("resnet50", {"layer2": (0, 2), "layer3": (0, 2, 4)}),
        ("resnet101", {"layer2": (0, 2), "layer3": (0, 2, 4)}),
    ],
)
def test_networks_with_non_local_blocks(arch: str, places: dict[str, tuple[int, ...]]) -> None:
    network = build_resnet(arch).eval()
    x = torch.randn(4, 3, 48, 48)
    with torch.inference_mode():
        before = network(x)
        assert non_local_places(network) == places
        insert_non_local(network, 2)
        assert torch.equal(network(x), before), "they start as the identity"
    wrapped = {name for name, module in network.named_modules() if isinstance(module, NonLocalBlock)}
    assert wrapped == {f"{stage}.{index}" for stage, indices in places.items() for index in indices}


def test_names_and_shapes_are_those_of_tsms_checkpoint() -> None:
    network = build_resnet("resnet50")
    insert_non_local(network, 8)
    ours = {f"base_model.{name}": list(value.shape) for name, value in network.state_dict().items()}
    theirs = {name.replace(".net.", "."): shape for name, shape in tensors_of("tsm_r50_nl_8f_k400").items()}
    assert {n: s for n, s in ours.items() if ".fc." not in n} == {n: s for n, s in theirs.items() if "fc." not in n}
    assert [n for n in ours if ".nl." in n] == [n for n in theirs if ".nl." in n], "in the same order"


def renamed(names: list[str], rules: tuple[tuple[str, str], ...]) -> list[str]:
    for pattern, replacement in rules:
        names = [re.sub(pattern, replacement, name) for name in names]
    return names


def test_mmaction2_names_become_ours_and_back() -> None:
    theirs = [name for name in tensors_of("mma_tsm_nl_r50_k400") if "non_local" in name]
    ours = {name for name in tensors_of("tsm_r50_nl_8f_k400") if ".nl." in name and not name.endswith(".W.0.bias")}
    translated = renamed(theirs, FROM_MMACTION2)
    assert {name.replace("backbone.", "base_model.") for name in translated} == ours
    assert renamed(translated, TO_MMACTION2) == theirs


def test_the_bias_that_mmaction2_lacks_goes_into_the_batch_norm() -> None:
    module, x = awake().eval(), torch.randn(6, 8, 4, 6)
    wanted = module(x)
    state = {f"layer2.0.nl.{name}": value for name, value in module.state_dict().items()}
    fold_output_biases(state)
    assert "layer2.0.nl.W.0.bias" not in state
    add_output_biases(state)
    other = NonLocal(8, 3).eval()
    other.load_state_dict({name.removeprefix("layer2.0.nl."): value for name, value in state.items()})
    assert not other.W[0].bias.any() and module.W[0].bias.any()
    assert torch.allclose(other(x), wanted, atol=1e-5)


@pytest.mark.parametrize("mode", NON_LOCAL_MODES)
@pytest.mark.parametrize(("h", "w"), [(4, 4), (7, 5)])
def test_multiply_adds_are_those_that_pytorch_counts(
    mode: str, h: int, w: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = NonLocal(8, 3, mode).eval()
    # PyTorch's counter does not know the attention kernel of CPUs, so attention is replaced by its two products.
    monkeypatch.setattr(
        F, "scaled_dot_product_attention", lambda q, k, v, scale: (q @ k.transpose(-1, -2) * scale).softmax(-1) @ v
    )
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        module(torch.zeros(3, 8, h, w))
    assert 2 * module.multiply_adds(3, h, w) == counter.get_total_flops()


@pytest.mark.parametrize("mode", NON_LOCAL_MODES)
def test_export_to_onnx(mode: str) -> None:
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    module = awake(mode).eval()
    batch = torch.export.Dim("batch")
    clips = nn.Sequential(nn.Flatten(0, 1), module).eval()  # input [N, T, C, H, W], as for the exported recognizer
    program = torch.onnx.export(
        clips, (torch.zeros(2, 3, 8, 4, 6),), dynamo=True, dynamic_shapes=({0: batch},), verbose=False,
    )  # fmt: skip
    assert program is not None
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    for n in (1, 3):
        x = torch.randn(n, 3, 8, 4, 6)
        (ours,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        assert torch.allclose(torch.from_numpy(ours), clips(x), atol=1e-5)
