"""A network in two parts, up to its first temporal module and from there on, gives the scores of the whole."""

import pytest
import torch
from torch import nn

from ops.common.device import Compute
from ops.models.frame_features import ClipScores, FrameFeatures, divided_network
from ops.models.recognizer import Recognizer
from ops.models.runtimes import PACKAGES
from ops.models.temporal_options import TemporalOptions

T = 4

NETWORKS = {
    "TANet-18": ("resnet18", TemporalOptions("tam"), 128),  # the first block's layers and its shortcut
    "TANet-50": ("resnet50", TemporalOptions("tam"), 64 + 256),
    "TAM before the block": ("resnet50", TemporalOptions("tam", place="before_conv1"), 64 + 256),
    "TAM later in the block": ("resnet50", TemporalOptions("tam", place="after_conv3"), 64 + 256),
    "TAM in the last stages": ("resnet18", TemporalOptions("tam", stages=(3, 4)), 512),
    "TSM": ("resnet18", TemporalOptions("tsm"), 64),
    "TSM, whole blocks": ("resnet18", TemporalOptions("tsm", shift_place="block"), 64),
    "TSM in MobileNetV2": ("mobilenet_v2", TemporalOptions("tsm"), 24),
    "I3D": ("resnet18", TemporalOptions("i3d"), 64),
    "pooling": ("resnet18", TemporalOptions("pool"), 128),
    "TSN": ("resnet18", TemporalOptions("none"), 5),  # scores: nothing mixes frames but their mean
    "non-local": ("resnet50", TemporalOptions("none", non_local="embedded_gaussian"), 256),
}


def network(arch: str, options: TemporalOptions, variance: float = 1.0) -> Recognizer:
    """A network with batch norms that are not the identity, and scores that differ visibly."""
    torch.manual_seed(0)
    model = Recognizer(arch, 5, T, temporal=options)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_var, 0.5 * variance, 1.5 * variance)
            nn.init.normal_(module.running_mean, std=0.1)
    nn.init.normal_(model.head.weight, std=0.5)
    return model.eval()


def windows() -> tuple[torch.Tensor, list[list[int]]]:
    """Six frames, each darker than the one before, and windows of four that share some."""
    torch.manual_seed(1)
    frames = torch.randint(0, 256, (6, 3, 48, 40)) // torch.arange(1, 7)[:, None, None, None]
    return frames.to(torch.uint8), [[0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 5]]


@pytest.mark.parametrize("name", NETWORKS)
@torch.inference_mode()
def test_features_of_frames_are_computed_once_for_all_windows(name: str) -> None:
    arch, options, channels = NETWORKS[name]
    model = network(arch, options, 0.2).double()  # so that rounding does not hide differences
    frames, places = windows()
    whole = model(torch.stack([frames[place] for place in places]))
    encode, score = FrameFeatures(model), ClipScores(model)
    features = torch.cat([encode(frame[None]) for frame in frames])
    before = features.clone()
    assert features.shape[:2] == (6, channels)
    apart = torch.cat([score(features[place][None]) for place in places])
    torch.testing.assert_close(apart, whole, rtol=1e-9, atol=1e-9 * float(whole.abs().max()))
    assert not torch.allclose(whole[0], whole[1], rtol=1e-3), "the test could not tell windows apart"
    assert torch.equal(features, before), "a window changed the features that the next one takes"


@pytest.mark.parametrize("runtime", ["torch", "onnxruntime", "openvino"])
@pytest.mark.parametrize("name", ["TANet-18", "TSN"])
@torch.inference_mode()
def test_the_parts_in_every_runtime(runtime: str, name: str) -> None:
    for package in PACKAGES[runtime]:
        pytest.importorskip(package)
    model = network(*NETWORKS[name][:2])
    frames, places = windows()
    whole = model(torch.stack([frames[place] for place in places]))
    encode, score = divided_network(model, Compute(torch.device("cpu"), runtime=runtime))
    features = encode(frames)
    apart = torch.cat([score(features[place][None]) for place in places])
    torch.testing.assert_close(apart, whole, rtol=1e-4, atol=1e-5 * float(whole.abs().max()))
