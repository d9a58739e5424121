"""Each temporal module agrees with a plain computation, in every memory format; also places, options and compute."""

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from ops.common.device import Compute
from ops.common.errors import InputError
from ops.models.checkpoint import load_model, read_checkpoint, save_checkpoint
from ops.models.flops import multiply_adds
from ops.models.i3d import InflatedConv
from ops.models.recognizer import Recognizer, build_model
from ops.models.tam import TAM
from ops.models.temporal_block import TemporalBlock
from ops.models.temporal_conv import TemporalConv, conv_over_time
from ops.models.temporal_filter import taps_inside, temporal_filter
from ops.models.temporal_options import (
    PLACES,
    TEMPORAL_MODULES,
    TemporalOptions,
    add_temporal_options,
    differing_option,
    name_parts,
    temporal_flags,
    temporal_options,
)
from ops.models.temporal_pool import TemporalMaxPool
from ops.models.tim import TemporalInteraction
from ops.models.tsm import TemporalShift, temporal_shift

N, T, C = 2, 4, 16


def clips(t: int = T, channels: int = C) -> Tensor:
    return torch.randn(N * t, channels, 3, 5, dtype=torch.float64)


def over_time(x: Tensor, t: int, mix: Callable[[list[Tensor]], list[Tensor]]) -> Tensor:
    """Apply `mix` to the list of frames of each clip."""
    return torch.cat([torch.stack(mix(list(clip))) for clip in x.view(-1, t, *x.shape[1:])])


def plain_shift(x: Tensor, t: int, fold: int) -> Tensor:
    def mix(frames: list[Tensor]) -> list[Tensor]:
        nothing = torch.zeros_like(frames[0])
        around = [nothing, *frames, nothing]
        return [torch.cat([around[i + 2][:fold], around[i][fold : 2 * fold], frames[i][2 * fold :]]) for i in range(t)]

    return over_time(x, t, mix)


def plain_pool(x: Tensor, t: int) -> Tensor:
    def mix(frames: list[Tensor]) -> list[Tensor]:
        return [torch.stack(frames[max(i - 1, 0) : i + 2]).amax(dim=0) for i in range(t)]

    return over_time(x, t, mix)


def plain_conv(x: Tensor, t: int, weight: Tensor, stride: int = 1) -> Tensor:
    """Compute a 3-D convolution, `weight [C', C, K, k, k]`, as a sum of 2-D ones."""
    taps, padding = weight.shape[2], weight.shape[3] // 2

    def mix(frames: list[Tensor]) -> list[Tensor]:
        out = []
        for i in range(t):
            terms = [
                F.conv2d(frames[i + k - taps // 2][None], weight[:, :, k], stride=stride, padding=padding)[0]
                for k in range(taps)
                if 0 <= i + k - taps // 2 < t
            ]
            out.append(torch.stack(terms).sum(dim=0))
        return out

    return over_time(x, t, mix)


def randomised(module: nn.Module) -> nn.Module:
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    return module.double()


def modules(t: int) -> dict[str, tuple[nn.Module, Callable[[Tensor], Tensor]]]:
    """Modules with random weights, each with a plain function that computes the same."""
    tim = randomised(TemporalInteraction(C, t))
    tconv = randomised(TemporalConv(C, t))
    pointwise = randomised(InflatedConv(nn.Conv2d(C, 6, 1, bias=False), t))
    strided = randomised(InflatedConv(nn.Conv2d(C, 6, 3, stride=2, padding=1, bias=False), t))
    depthwise = torch.diag_embed(tim.weight[:, 0].T).permute(1, 2, 0)[..., None, None]  # type: ignore[index, union-attr, operator]
    return {
        "shift": (TemporalShift(nn.Identity(), t, 8), lambda x: plain_shift(x, t, C // 8)),
        "pool": (TemporalMaxPool(t), lambda x: plain_pool(x, t)),
        "tim": (tim, lambda x: plain_conv(x, t, depthwise)),
        "tconv": (tconv, lambda x: plain_conv(x, t, tconv.conv.weight)),  # type: ignore[union-attr, arg-type]
        "i3d": (pointwise, lambda x: plain_conv(x, t, pointwise.weight)),  # type: ignore[arg-type]
        "i3d, strided": (strided, lambda x: plain_conv(x, t, strided.weight, stride=2)),  # type: ignore[arg-type]
    }


@pytest.mark.parametrize("t", [1, 2, 5])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("name", ["shift", "pool", "tim", "tconv", "i3d", "i3d, strided"])
def test_modules_agree_with_a_plain_computation(name: str, last: bool, t: int) -> None:
    module, plain = modules(t)[name]
    x = clips(t).requires_grad_()
    shaped = x.contiguous(memory_format=torch.channels_last) if last else x
    out, wanted = module(shaped), plain(x)
    assert torch.allclose(out, wanted)
    weight = torch.randn_like(out)
    ours, theirs = (torch.autograd.grad((y * weight).sum(), x, retain_graph=True)[0] for y in (out, wanted))
    assert torch.allclose(ours, theirs)
    if last:
        assert out.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
@pytest.mark.parametrize("t", [1, 2, 5])
def test_the_filter_serves_every_number_of_taps(kernel: int, t: int) -> None:
    x, taps = clips(t).requires_grad_(), torch.randn(kernel, N, t, C, dtype=torch.float64, requires_grad=True)
    frames, wanted = x.view(N, t, C, 3, 5), torch.zeros(N, t, C, 3, 5, dtype=torch.float64)
    for here in range(t):
        for k in range(kernel):
            there = here + k - kernel // 2
            if 0 <= there < t:
                wanted[:, here] += taps[k, :, there, :, None, None] * frames[:, there]
    assert torch.allclose(temporal_filter(x, taps, taps_inside(kernel, t)), wanted.flatten(0, 1))
    assert torch.autograd.gradcheck(temporal_filter, (x, taps, taps_inside(kernel, t)), fast_mode=True)


@pytest.mark.parametrize(
    ("branches", "kernel", "names"),
    [
        ("global", 3, {"G.0.weight", "G.1.weight", "G.1.bias", "G.3.weight"}),
        ("local", 3, {"L.0.weight", "L.1.weight", "L.1.bias", "L.3.weight"}),
        ("both", 5, {f"{b}.{n}" for b in "GL" for n in ("0.weight", "1.weight", "1.bias", "3.weight")}),
    ],
)
def test_tam_with_one_branch_or_more_taps(branches: str, kernel: int, names: set[str]) -> None:
    tam = TAM(C, T, kernel, branches=branches).double().eval()
    assert {name for name, _ in tam.named_parameters()} == names
    x = clips()
    series = x.view(N, T, C, -1).mean(dim=3).transpose(1, 2)  # [N, C, T]
    importance = tam.L(series) if tam.L is not None else torch.ones(N, C, T, dtype=torch.float64)
    theta = torch.zeros(N, C, kernel, dtype=torch.float64)
    theta[:, :, kernel // 2] = 1
    if tam.G is not None:
        theta = tam.G(series.reshape(N * C, T)).view(N, C, kernel)
    padded = F.pad(importance[:, :, :, None, None] * x.view(N, T, C, 3, 5).transpose(1, 2), [0] * 4 + [kernel // 2] * 2)
    wanted = sum(theta[:, :, k, None, None, None] * padded[:, :, k : k + T] for k in range(kernel))
    assert torch.allclose(tam(x), wanted.transpose(1, 2).flatten(0, 1))  # type: ignore[union-attr]


@pytest.mark.parametrize("module", ["tim", "tconv"])
def test_some_modules_start_as_the_identity(module: str) -> None:
    plain = seeded(TemporalOptions())
    other = seeded(TemporalOptions(module))
    other.head.load_state_dict(plain.head.state_dict())
    x = torch.randint(0, 256, (1, T, 3, 32, 32), dtype=torch.uint8)
    with torch.inference_mode():
        assert torch.allclose(plain(x), other(x), atol=1e-5)


def test_an_inflated_network_sees_a_still_clip_as_before() -> None:
    conv = nn.Conv2d(C, 6, 3, padding=1, bias=False).double()
    still = clips(1).repeat_interleave(5, dim=0)
    inflated = InflatedConv(conv, 5).double()
    assert torch.allclose(inflated(still).view(N, 5, 6, 3, 5)[:, 1:-1], conv(still).view(N, 5, 6, 3, 5)[:, 1:-1])


def seeded(options: TemporalOptions, arch: str = "resnet18", t: int = T) -> Recognizer:
    torch.manual_seed(0)
    return build_model(arch, 5, t, temporal=options).eval()


@pytest.mark.parametrize(
    ("module", "millions"),
    [("none", 24.3), ("pool", 24.3), ("tconv", 28.1), ("tim", 24.3), ("i3d", 33.0), ("tsm", 24.3), ("tam", 25.6)],
)
def test_networks_have_the_published_size(module: str, millions: float) -> None:
    model = build_model("resnet50", 400, 8, temporal=TemporalOptions(module))
    assert round(sum(value.numel() for value in model.parameters()) / 1e6, 1) == millions


EVERY = [TemporalOptions(module) for module in (*TEMPORAL_MODULES, "none")]
OTHERS = [
    TemporalOptions("tam", stages=(2, 4), place="before_conv1", kernel=5, alpha=3, beta=8),
    TemporalOptions("tam", place="after_conv2", branches="global"),
    TemporalOptions("tam", stages=(3,), branches="local"),
    TemporalOptions("tim", place="after_conv2"),
    TemporalOptions("pool", stages=(1, 2), place="before_conv1"),
    TemporalOptions("tconv", stages=(4,)),
    TemporalOptions("tsm", shift_div=4, stages=(3, 4)),
    TemporalOptions("tsm", shift_place="block"),
    TemporalOptions("i3d", stages=(2,)),
]


def label(options: TemporalOptions) -> str:
    return " ".join(temporal_flags(options)) or "none"


@pytest.mark.parametrize("options", EVERY + OTHERS, ids=label)
def test_a_checkpoint_keeps_its_temporal_options(options: TemporalOptions, tmp_path: Path) -> None:
    model = seeded(options)
    meta = {"temporal": options.as_meta(), "num_segments": T}
    save_checkpoint(tmp_path / "ckpt.pth.tar", model, meta)
    again = load_model(tmp_path / "ckpt.pth.tar")
    assert differing_option(again.temporal, options) == "" and again.num_segments == T
    x = torch.randint(0, 256, (1, T, 3, 32, 32), dtype=torch.uint8)
    with torch.inference_mode():
        assert torch.equal(model(x), again(x))


@pytest.mark.parametrize("options", EVERY + OTHERS, ids=label)
def test_flags_and_options_are_the_same(options: TemporalOptions) -> None:
    assert differing_option(parsed(*temporal_flags(options)), options) == ""


@pytest.mark.parametrize(
    ("arch", "options"), [("resnet50", options) for options in EVERY] + [("resnet18", options) for options in OTHERS]
)
def test_multiply_adds_are_pytorchs(arch: str, options: TemporalOptions) -> None:
    model = seeded(options, arch, t=2)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(torch.zeros(1, 2, 3, 64, 64))
    counted = counter.get_total_flops() // 2
    if options.module == "tim":  # PyTorch does not count our temporal filter
        counted += sum(2 * pixels * channels * 3 * blocks for pixels, channels, blocks in tim_maps(arch, options))
    assert multiply_adds(model, 64) == counted


def tim_maps(arch: str, options: TemporalOptions) -> list[tuple[int, int, int]]:
    """Pixels, channels and number of the feature maps that TIM filters in each stage, for 64 × 64 pixels."""
    if arch == "resnet50":  # TIM comes before the stride of a stage, so one block per stage has maps of twice the size
        return [
            (16**2, 64, 3),
            (16**2, 128, 1),
            (8**2, 128, 3),
            (8**2, 256, 1),
            (4**2, 256, 5),
            (4**2, 512, 1),
            (2**2, 512, 2),
        ]
    return [(16**2, 64, 2), (8**2, 128, 2), (4**2, 256, 2), (2**2, 512, 2)]


@pytest.mark.parametrize("options", EVERY + OTHERS, ids=label)
def test_scores_are_the_same_with_folded_norms_and_in_channels_last(options: TemporalOptions) -> None:
    model = seeded(options)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean)  # type: ignore[arg-type]
    x = torch.randn(2, T, 3, 32, 32)
    compute = Compute(torch.device("cpu"), channels_last=True)
    with torch.inference_mode():
        wanted = model(x)
        folded = compute.for_inference(model)
        compute.prepare(model)
        assert torch.allclose(folded(x), wanted, atol=1e-5) and torch.allclose(model(x), wanted, atol=1e-5)
    assert not any(isinstance(module, nn.BatchNorm2d) and "net" in str(name) for name, module in folded.named_modules())


@pytest.mark.parametrize("options", EVERY, ids=label)
def test_training_in_half_precision(options: TemporalOptions) -> None:
    model = seeded(options, t=2).train()
    x, wanted = torch.randint(0, 256, (1, 2, 3, 32, 32), dtype=torch.uint8), torch.tensor([1])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        F.cross_entropy(model(x), wanted).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("t", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [1, 3])
def test_gradients_of_short_clips_in_half_precision(t: int, size: int) -> None:
    """oneDNN leaves parts of the weights' gradient in bf16 unset on some CPUs if a clip has fewer frames than taps."""
    x, weight = torch.randn(2 * t, 16, 4, 4), torch.randn(16, 16, 3, size, size)
    gradients = []
    for enabled in (False, True):
        leaf = weight.clone().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            out = conv_over_time(x.bfloat16() if enabled else x, leaf, t)
        out.backward(torch.ones_like(out))
        assert leaf.grad is not None
        gradients.append(leaf.grad)
    assert torch.linalg.vector_norm(gradients[1] - gradients[0]) < 0.02 * torch.linalg.vector_norm(gradients[0])


@pytest.mark.parametrize("place", PLACES)
def test_places_are_those_of_the_paper(place: str) -> None:
    """The module gets the output of the layer that the place is named after."""
    block = seeded(TemporalOptions("tim", place=place), "resnet50").base_model.layer1[1]
    assert isinstance(block, TemporalBlock)
    order: list[str] = []
    names = {block.net.conv1: "conv1", block.net.conv2: "conv2", block.net.conv3: "conv3", block.temporal: "tim"}
    for module, name in names.items():
        module.register_forward_hook(lambda *_, name=name: order.append(name))  # type: ignore[misc]
    block(torch.zeros(T, 256, 4, 4))
    expected = ["conv1", "conv2", "conv3"]
    expected.insert(PLACES.index(place), "tim")
    assert order == expected


def test_deep_networks_shift_every_second_block() -> None:
    names = [name for name, _ in build_model("resnet101", 2, 8, temporal=TemporalOptions("tsm")).named_parameters()]
    shifted = {re.sub(r"\.conv1.*", "", name) for name in names if ".conv1.net." in name}
    assert {f"base_model.layer3.{index}" for index in range(0, 23, 2)} <= shifted
    assert not any(name.endswith((".1", ".21")) for name in shifted) and len(shifted) == 2 + 2 + 12 + 2


def parsed(*flags: str) -> TemporalOptions:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_temporal_options(parser)  # type: ignore[arg-type]
    return temporal_options(parser.parse_args(list(flags)))


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        ([], TemporalOptions()),
        (["--tam"], TemporalOptions("tam")),
        (["--self_conv", "--temporal", "tam"], TemporalOptions("tam")),
        (["--shift", "--shift_div=8", "--shift_place=blockres"], TemporalOptions("tsm")),
        (["--shift", "--non_local"], TemporalOptions("tsm", non_local="embedded_gaussian")),
        (["--temporal", "tim", "--temporal_stages", "4", "3"], TemporalOptions("tim", stages=(3, 4))),
    ],
)
def test_other_spellings(flags: list[str], wanted: TemporalOptions) -> None:
    assert parsed(*flags) == wanted


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (TemporalOptions(), ""),
        (TemporalOptions("tam"), "tam"),
        (TemporalOptions("tsm", non_local="embedded_gaussian"), "shift8_blockres_nl"),
        (TemporalOptions("tsm", shift_div=4, shift_place="block"), "shift4_block"),
        (TemporalOptions("tam", stages=(3, 4), kernel=5, branches="global"), "tam_stages34_kernel_5_branches_global"),
        (TemporalOptions("pool", place="after_conv2"), "pool_place_after_conv2"),
    ],
)
def test_runs_with_different_options_have_different_names(options: TemporalOptions, name: str) -> None:
    assert "_".join(name_parts(options)) == name


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--tam", "--shift"], "--tam and --shift ask for different temporal modules"),
        (["--tam", "--temporal", "none"], "--tam and --temporal none ask for different"),
    ],
)
def test_contradicting_flags(flags: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parsed(*flags)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stages": ()}, "temporal stages"),
        ({"stages": (0,)}, "temporal stages"),
        ({"kernel": 4}, "odd number"),
        ({"alpha": 0}, "at least 1"),
        ({"shift_div": 1}, "at least 2"),
        ({"place": "conv1"}, "place"),
        ({"branches": "none"}, "branches"),
        ({"non_local": "yes"}, "non_local"),
    ],
)
def test_impossible_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TemporalOptions("tam", **options)


@pytest.mark.parametrize(
    ("arch", "options", "message"),
    [
        ("resnet18", TemporalOptions("tam", place="after_conv3"), "two convolutions"),
        ("resnet18", TemporalOptions("mine"), "unknown temporal module mine; use one of tam, tsm"),
    ],
)
def test_impossible_networks(arch: str, options: TemporalOptions, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_model(arch, 3, 4, temporal=options)


@pytest.mark.parametrize(
    ("name", "meta", "segments"),
    [
        ("TSM_kinetics_RGB_resnet50_shift8_blockres_avg_segment16_e50.pth", {}, 16),
        ("tsm_imagenet-pretrained-r50_8xb16-dense-1x1x8-50e_kinetics400-rgb_20220831-f55d3c2b.pth", {}, 8),
        ("ckpt.pth", {"num_segments": 5}, 5),
        ("ckpt.pth", {"cfg": "cls_head=dict(num_segments=16)\nclip_len=1, num_clips=16"}, 16),
        ("segment.pth", {}, None),
    ],
)
def test_segments_of_a_tsm_come_from_what_the_file_tells(
    name: str, meta: dict[str, Any], segments: int | None, tmp_path: Path
) -> None:
    save_checkpoint(tmp_path / name, seeded(TemporalOptions("tsm"), t=segments or 8), meta)
    checkpoint = read_checkpoint(tmp_path / name)
    assert checkpoint.num_segments == segments
    if segments is None:
        with pytest.raises(
            InputError, match=r"segment.pth: .* do not tell how many frames a clip has; give --test_seg"
        ):
            load_model(tmp_path / name)
    assert load_model(tmp_path / name, 3).num_segments == 3


@pytest.mark.parametrize(
    ("meta", "mean", "std"),
    [
        ({}, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ({"mean": [0.1, 0.2, 0.3], "std": [1.0, 1.0, 2.0]}, [0.1, 0.2, 0.3], [1.0, 1.0, 2.0]),
        ({"cfg": "mean=[51.0, 102.0, 153.0], std=[255.0, 255.0, 127.5]"}, [0.2, 0.4, 0.6], [1.0, 1.0, 0.5]),
        ({"config": "mean=[a, b]"}, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ],
)
def test_pixels_are_normalised_as_in_training(
    meta: dict[str, Any], mean: list[float], std: list[float], tmp_path: Path
) -> None:
    save_checkpoint(tmp_path / "c", seeded(TemporalOptions()), meta)
    model = load_model(tmp_path / "c")
    assert model.mean.flatten().tolist() == pytest.approx(mean) and model.std.flatten().tolist() == pytest.approx(std)


@pytest.mark.parametrize("std", [[0.0, 1.0, 1.0], [1.0], [1.0, float("nan"), 1.0]])
def test_impossible_normalisations_name_the_file(std: list[float], tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", seeded(TemporalOptions()), {"mean": [0.5] * 3, "std": std})
    if len(std) == 3:
        with pytest.raises(InputError, match=r"/c: means .* of the pixels"):
            load_model(tmp_path / "c")


def test_a_module_of_the_user_can_be_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example in docs/extending.md, which is one file and one line in the table, works."""
    text = (Path(__file__).parents[2] / "docs" / "extending.md").read_text()
    code = re.search(r"```python\n(\"\"\"A difference.*?)```", text, re.DOTALL)
    assert code is not None
    (tmp_path / "frame_difference.py").write_text(code[1])
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(TEMPORAL_MODULES, "difference", "frame_difference")
    assert parsed("--temporal", "difference").module == "difference"
    options = TemporalOptions("difference", stages=(3, 4))
    model = seeded(options)
    x = torch.randint(0, 256, (1, T, 3, 32, 32), dtype=torch.uint8)
    save_checkpoint(tmp_path / "c", model, {"temporal": options.as_meta(), "num_segments": T})
    again = load_model(tmp_path / "c")
    with torch.inference_mode():
        assert torch.equal(model(x), again(x)) and again.temporal == options
    sys.modules.pop("frame_difference")


def test_the_shift_moves_values_and_adds_nothing() -> None:
    x = torch.arange(T * C, dtype=torch.float32).view(T, C, 1, 1)
    out = temporal_shift(x, T, 2)
    assert out[:, 0].flatten().tolist() == [16, 32, 48, 0] and out[:, 2].flatten().tolist() == [0, 2, 18, 34]
    assert torch.equal(out[:, 4:], x[:, 4:])


@pytest.mark.parametrize(
    "options",
    [
        *EVERY,
        TemporalOptions("tsm", shift_place="block", non_local="dot_product"),
        TemporalOptions("tam", non_local="gaussian"),
        TemporalOptions("i3d", non_local="embedded_gaussian"),
    ],
    ids=label,
)
def test_any_checkpoint_gives_a_backbone(options: TemporalOptions, tmp_path: Path) -> None:
    trained = seeded(options)
    save_checkpoint(tmp_path / "c", trained, {"temporal": options.as_meta(), "num_segments": T})
    started = build_model("resnet18", 3, 5, temporal=TemporalOptions("tim"), pretrain=str(tmp_path / "c"))
    plain = seeded(TemporalOptions())  # draws the same random numbers
    for key in ("layer1.0.conv1.weight", "layer2.0.conv1.weight", "layer3.0.downsample.0.weight", "layer4.1.bn2.bias"):
        stage, index, rest = key.split(".", 2)
        ours = getattr(started.base_model, stage)[int(index)].net.get_parameter(rest)
        assert torch.allclose(ours, plain.base_model.get_parameter(key)), key
