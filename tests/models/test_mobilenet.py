"""MobileNetV2: torchvision's outputs and weights, names in other checkpoints, compute, and export."""

import copy
import json
from pathlib import Path

import pytest
import torch
import torchvision
from fill import fill
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ops.common.device import fold_batch_norms
from ops.models.mobilenet import MobileNetV2, build_mobilenet_v2, shifted_blocks
from ops.models.mobilenet_names import (
    from_mmaction2,
    from_torchvision,
    is_mmaction2,
    is_torchvision,
    to_mmaction2,
    to_torchvision,
)
from ops.models.resnet import ResNet, build_resnet

REFERENCE = Path(__file__).parents[1] / "reference"
PUBLISHED: dict[str, list[int]] = json.loads((REFERENCE / "tensors_tsm_mobilenetv2_8f_k400.json").read_text())


def theirs_without_dropout() -> nn.Module:
    """torchvision's network without dropout, because ours has none."""
    network: nn.Module = torchvision.models.mobilenet_v2(dropout=0.0)
    return network


def test_initial_weights_are_torchvisions() -> None:
    torch.manual_seed(5)
    ours = build_mobilenet_v2()
    after = torch.rand(1)
    torch.manual_seed(5)
    theirs = theirs_without_dropout()
    assert torch.equal(torch.rand(1), after), "it draws as many numbers"
    wanted = from_torchvision(theirs.state_dict())
    assert list(ours.state_dict()) == list(wanted)
    assert all(torch.equal(value, wanted[name]) for name, value in ours.state_dict().items())


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_scores_and_gradients_are_torchvisions(training: bool, memory_format: torch.memory_format) -> None:
    ours, theirs = build_mobilenet_v2().train(training), theirs_without_dropout().train(training)
    ours.load_state_dict(from_torchvision(theirs.state_dict()))
    images = torch.randn(3, 3, 40, 56).contiguous(memory_format=memory_format)
    scores, expected = ours(images), theirs(images)
    assert torch.equal(scores, expected)
    scores.square().sum().backward()
    expected.square().sum().backward()
    grads = from_torchvision({name: p.grad for name, p in theirs.named_parameters() if p.grad is not None})
    assert all(p.grad is not None and torch.equal(p.grad, grads[name]) for name, p in ours.named_parameters())
    statistics = from_torchvision(theirs.state_dict())
    assert all(torch.equal(value, statistics[name]) for name, value in ours.state_dict().items())


def test_memory_formats_give_the_same() -> None:
    network, images = build_mobilenet_v2().eval(), torch.randn(2, 3, 32, 48)
    last = build_mobilenet_v2().eval()
    last.load_state_dict(network.state_dict())
    last.to(memory_format=torch.channels_last)
    scores = last(images.contiguous(memory_format=torch.channels_last))
    assert torch.allclose(network(images), scores, rtol=1e-4, atol=1e-5)


def test_folded_batch_norms_give_the_same() -> None:
    network, images = build_mobilenet_v2().train(), torch.randn(2, 3, 32, 48)
    network(images)  # sets running statistics other than 0 and 1
    network.eval()
    folded = fold_batch_norms(copy.deepcopy(network))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert torch.allclose(folded(images), network(images), rtol=1e-4, atol=1e-5)


def test_half_precision() -> None:
    network, images = build_mobilenet_v2().eval(), torch.randn(2, 3, 32, 32)
    wanted = network(images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = network(images)
        half.sum().backward()
    assert half.dtype == torch.bfloat16
    assert (half.float() - wanted).norm() < 0.1 * wanted.norm()


def test_names_and_shapes_are_those_of_tsms_checkpoint() -> None:
    network = build_mobilenet_v2()
    for block in shifted_blocks(network):
        block.conv[0] = nn.Sequential()
        block.conv[0].net = nn.Conv2d(1, 1, 1, bias=False)  # only its name matters here
    names = [f"base_model.{name}" for name in network.state_dict() if not name.startswith("classifier")]
    assert names == [name for name in PUBLISHED if not name.startswith("new_fc")]
    plain = {f"base_model.{name}": list(value.shape) for name, value in build_mobilenet_v2().state_dict().items()}
    published = {name.replace(".net.", "."): shape for name, shape in PUBLISHED.items() if "new_fc" not in name}
    assert published == {name: shape for name, shape in plain.items() if "classifier" not in name}


def test_tsm_shifts_the_blocks_with_an_identity_path_and_an_expansion() -> None:
    network = build_mobilenet_v2()
    found = [index for index, block in enumerate(network.features) if block in shifted_blocks(network)]
    assert found == [3, 5, 6, 8, 9, 10, 12, 13, 15, 16]


def test_torchvisions_names_become_ours_and_back() -> None:
    theirs = torchvision.models.mobilenet_v2().state_dict()
    ours = from_torchvision(theirs)
    assert is_torchvision(theirs) and not is_torchvision(ours) and not is_torchvision(to_mmaction2(ours))
    build_mobilenet_v2().load_state_dict(ours)
    back = to_torchvision(ours)
    assert list(back) == list(theirs) and all(back[name] is value for name, value in theirs.items())


MMACTION2 = {  # names in MMAction2's MobileNetV2TSM → our names
    "backbone.conv1.conv.weight": "base_model.features.0.0.weight",
    "backbone.conv1.bn.running_mean": "base_model.features.0.1.running_mean",
    "backbone.layer1.0.conv.0.conv.weight": "base_model.features.1.conv.0.weight",
    "backbone.layer1.0.conv.1.bn.weight": "base_model.features.1.conv.4.weight",
    "backbone.layer2.1.conv.0.conv.net.weight": "base_model.features.3.conv.0.net.weight",
    "backbone.layer3.0.conv.1.bn.num_batches_tracked": "base_model.features.4.conv.4.num_batches_tracked",
    "backbone.layer6.2.conv.2.conv.weight": "base_model.features.16.conv.6.weight",
    "backbone.layer7.0.conv.2.bn.bias": "base_model.features.17.conv.7.bias",
    "backbone.conv2.bn.bias": "base_model.features.18.1.bias",
    "cls_head.fc_cls.weight": "cls_head.fc_cls.weight",
}


def test_mmaction2_names_become_ours_and_back() -> None:
    tensors = {name: torch.zeros(()) for name in MMACTION2}
    assert is_mmaction2(tensors) and not is_mmaction2(from_mmaction2(tensors))
    assert list(from_mmaction2(tensors)) == list(MMACTION2.values())
    assert list(to_mmaction2(from_mmaction2(tensors))) == list(MMACTION2)
    whole = fill({name: tuple(shape) for name, shape in PUBLISHED.items()})
    there = to_mmaction2(whole)
    assert all(name.startswith(("backbone.conv", "backbone.layer", "new_fc.")) for name in there)
    assert list(from_mmaction2(there)) == list(whole)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (75, 97)])
def test_multiply_adds_are_those_that_pytorch_counts(height: int, width: int) -> None:
    network = build_mobilenet_v2().eval()
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.zeros(1, 3, height, width))
    assert 2 * (network.multiply_adds(height, width) + 1280 * 1000) == counter.get_total_flops()


@pytest.mark.parametrize("build", [build_mobilenet_v2, lambda: build_resnet("resnet18")])
def test_the_first_convolution_and_the_head_can_be_replaced(build: "type[MobileNetV2 | ResNet]") -> None:
    network = build()
    names = list(network.state_dict())
    old = network.first_conv
    assert old.in_channels == 3 and old.weight is next(network.parameters())
    new = nn.Conv2d(10, old.out_channels, old.kernel_size, old.stride, old.padding, bias=False)
    network.set_first_conv(new)
    assert network.first_conv is new and list(network.state_dict()) == names
    setattr(network, network.head_name, nn.Linear(network.num_features, 7))
    assert network(torch.zeros(2, 10, 32, 32)).shape == (2, 7)


def test_export_to_onnx() -> None:
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    network = build_mobilenet_v2().features[:4].eval()  # the stem, and one block of each kind
    batch = torch.export.Dim("batch")
    program = torch.onnx.export(
        network, (torch.zeros(2, 3, 32, 32),), dynamo=True, dynamic_shapes=({0: batch},), verbose=False,
    )  # fmt: skip
    assert program is not None
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    images = torch.randn(3, 3, 32, 32)
    (scores,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    assert torch.allclose(torch.from_numpy(scores), network(images), rtol=1e-3, atol=1e-4)
