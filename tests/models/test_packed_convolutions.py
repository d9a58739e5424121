"""Packed convolutions give the same scores; networks for which they are not made stay as they are."""

from typing import Any, NoReturn

import pytest
import torch
from dialects import TEMPORAL, cut, distinct_model
from torch import Tensor, nn

from ops.common.device import Compute
from ops.models import packed_convolutions
from ops.models.frame_features import divided_network
from ops.models.packed_convolutions import PackedBlock, PackedConvolution, can_pack, pack_convolutions
from ops.models.recognizer import Recognizer
from ops.models.runtimes import folded_network, inference_network
from ops.models.temporal_options import TemporalOptions, temporal_flags

CPU = Compute(torch.device("cpu"))

MODELS: dict[str, dict[str, Any]] = {
    "tam": {},
    "tam resnet50": {"arch": "resnet50"},
    "after conv2": {"arch": "resnet50", "temporal": TemporalOptions("tim", place="after_conv2")},
    "after conv3": {"arch": "resnet50", "temporal": TemporalOptions("tim", place="after_conv3")},
    "basic block, after conv2": {"temporal": TemporalOptions("tim", place="after_conv2")},
    "flow": {"tam": False, "modality": "Flow"},
    "mobilenet": {"arch": "mobilenet_v2", "temporal": TemporalOptions("tsm")},
    **{" ".join(temporal_flags(options)) or options.non_local: {"temporal": options} for options in TEMPORAL},
}


def model_of(name: str) -> Recognizer:
    model = distinct_model(**MODELS[name])
    return model if name == "mobilenet" else cut(model)


def clips(count: int, channels: int = 3, size: int = 64) -> Tensor:
    return torch.randint(0, 256, (count, 4, channels, size, size), dtype=torch.uint8)


def packed_blocks(network: nn.Module) -> int:
    return sum(isinstance(module, PackedBlock) for module in network.modules())


@pytest.mark.parametrize("name", MODELS)
def test_scores_are_the_same_for_any_number_and_size_of_clips(name: str) -> None:
    model = model_of(name)
    folded, packed = folded_network(model, CPU), inference_network(model, CPU)
    if can_pack() and not name.startswith("--"):
        assert packed_blocks(packed) == (0 if name == "mobilenet" else 4)
    with torch.inference_mode():
        for count, size in ((3, 64), (1, 64), (2, 48), (2, 32)):
            pixels = clips(count, model.channels, size)
            wanted = folded(pixels)
            assert (packed(pixels) - wanted).norm() < 1e-6 * wanted.norm()


@pytest.mark.skipif(not can_pack(), reason="needs oneDNN on x86-64")
@pytest.mark.parametrize(("name", "count"), [("tam", 3), ("mobilenet", 0), ("flow", 4)])
def test_a_divided_network_is_packed_but_for_the_block_that_is_divided(name: str, count: int) -> None:
    model = model_of(name)
    pixels = clips(1, model.channels)
    encode, score = divided_network(model, CPU)
    assert packed_blocks(score) == count
    with torch.inference_mode():
        wanted = model(pixels)
        assert (score(encode(pixels[0])[None]) - wanted).norm() < 1e-5 * wanted.norm()
    assert packed_blocks(divided_network(model, Compute(torch.device("cpu"), "bf16"))[1]) == 0


@pytest.mark.parametrize("name", ["tam resnet50", "after conv3"])
def test_what_onednn_refuses_is_computed_without_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> NoReturn:
        raise RuntimeError("could not create a memory")

    model = model_of(name)
    pixels, folded, packed = clips(2), folded_network(model, CPU), inference_network(model, CPU)
    with torch.inference_mode():
        wanted = folded(pixels)
        packed(pixels)
        monkeypatch.setattr(PackedConvolution, "_fused", refuse)
        assert (packed(pixels) - wanted).norm() < 1e-6 * wanted.norm()


def test_the_model_itself_is_not_changed() -> None:
    model, pixels = model_of("tam"), clips(2)
    with torch.inference_mode():
        before = model(pixels)
        inference_network(model, CPU)(pixels)
        assert torch.equal(model(pixels), before)
    assert packed_blocks(model) == 0


@pytest.mark.parametrize("compute", [Compute(torch.device("cpu"), "bf16"), Compute(torch.device("cpu"), compile=True)])
def test_other_ways_of_computing_are_not_packed(compute: Compute) -> None:
    assert packed_blocks(inference_network(model_of("tam"), compute)) == 0


def test_without_onednn_the_network_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_convolutions.platform, "machine", lambda: "arm64")
    model, pixels = model_of("tam"), clips(1)
    network = inference_network(model, CPU)
    assert packed_blocks(network) == 0
    with torch.inference_mode():
        assert torch.allclose(network(pixels), model(pixels), rtol=1e-4, atol=1e-4)


def test_blocks_that_are_not_folded_or_not_in_float32_are_not_packed() -> None:
    assert packed_blocks(pack_convolutions(model_of("tam"))) == 0
    assert packed_blocks(pack_convolutions(folded_network(model_of("tam"), CPU).double())) == 0
