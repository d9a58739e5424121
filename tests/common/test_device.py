"""Faster ways to compute give the same results: precision, memory format and parts of a batch."""

import shutil
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from ops.common.device import Compute, OwnOutput, compute_of, set_tf32, visible_devices
from ops.common.errors import InputError
from ops.data.collate import ClipBatch
from ops.models.recognizer import Recognizer, build_model
from ops.models.tam import TAM
from ops.testing.options import test_parser
from ops.training.options import train_parser
from ops.training.train_step import accumulate, forward

CPU = Compute(torch.device("cpu"))
CLIPS = torch.randint(0, 256, (4, 3, 3, 40, 33), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def make_model() -> Recognizer:
    torch.manual_seed(3)
    model = build_model("resnet18", 5, 3, dropout=0)
    model.head.weight.data.normal_(std=0.3)
    return model.eval()  # in training mode, batch norms would depend on the parts of the batch


def gradients(model: Recognizer, compute: Compute, parts: int = 1) -> tuple[Tensor, Tensor]:
    """The loss and all gradients, concatenated, for a batch of four clips."""
    compute.prepare(model)
    batch = ClipBatch(CLIPS, torch.tensor([0, 4, 2, 1]), [0, 1, 2, 3], 4)
    scaler = compute.scaler()
    scores, labels, loss = accumulate(compute.compiled(model), batch, scaler, compute, parts)
    assert scores.shape == (4, 5) and labels.tolist() == [0, 4, 2, 1] and scores.dtype == torch.float32
    return loss, torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]) / scaler.get_scale()


@pytest.mark.parametrize("parts", [2, 3, 4])
def test_a_batch_in_parts_gives_the_gradients_of_the_whole(parts: int) -> None:
    whole, in_parts = gradients(make_model(), CPU), gradients(make_model(), CPU, parts)
    assert torch.allclose(whole[0], in_parts[0], rtol=1e-5)
    assert (whole[1] - in_parts[1]).norm() < 1e-4 * whole[1].norm()


@pytest.mark.parametrize(
    ("compute", "tolerance"),
    [(replace(CPU, channels_last=True), 1e-3), (replace(CPU, amp="bf16"), 0.1), (replace(CPU, amp="fp16"), 0.1)],
    ids=["channels_last", "bf16", "fp16"],
)
def test_other_precisions_and_formats_give_nearly_the_same(compute: Compute, tolerance: float) -> None:
    plain, other = gradients(make_model(), CPU), gradients(make_model(), compute)
    assert (plain[0] - other[0]).abs() < tolerance and (plain[1] - other[1]).norm() < 2 * tolerance * plain[1].norm()
    scores = forward(make_model(), CLIPS, compute)
    assert (scores - forward(make_model(), CLIPS, CPU)).abs().max() < tolerance * scores.abs().max()


@pytest.mark.parametrize("arch", ["resnet18", "resnet50"])
@pytest.mark.parametrize("compute", [CPU, replace(CPU, channels_last=True)], ids=["contiguous", "channels last"])
def test_folded_batch_norms_give_the_same_scores(arch: str, compute: Compute) -> None:
    model = build_model(arch, 5, 3).eval()
    for norm in (module for module in model.modules() if isinstance(module, nn.BatchNorm2d)):
        norm.running_mean.normal_()  # type: ignore[union-attr]
        norm.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
        nn.init.uniform_(norm.weight, 0.5, 1.5)
    compute.prepare(model)
    norms = sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    folded = compute.for_inference(model)
    assert norms >= 20 and not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert sum(isinstance(module, nn.BatchNorm2d) for module in model.modules()) == norms  # it is a copy
    with torch.inference_mode():
        expected, scores = model(CLIPS), folded(CLIPS)
    assert (scores - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.skipif(not shutil.which("g++"), reason="compiling for a CPU needs a C++ compiler")
def test_a_compiled_module_computes_and_learns_the_same() -> None:
    """Only TAM is compiled, because a whole network takes a minute."""
    module, found = TAM(8, 4), []
    x = torch.randn(8, 8, 5, 3)
    for network in (module, replace(CPU, compile=True).compiled(module)):
        module.zero_grad()
        leaf = x.clone().requires_grad_()
        out = network(leaf)
        out.square().sum().backward()
        assert leaf.grad is not None
        found.append([out.detach(), leaf.grad, *(p.grad.clone() for p in module.parameters() if p.grad is not None)])
    assert len(found[0]) == 2 + len(list(module.parameters()))
    for plain, compiled in zip(*found, strict=True):
        torch.testing.assert_close(compiled, plain, rtol=1e-3, atol=1e-5)


@pytest.mark.skipif(not shutil.which("g++"), reason="compiling for a CPU needs a C++ compiler")
def test_a_compiled_module_can_have_its_weights_frozen() -> None:
    module, x = nn.Sequential(nn.Conv2d(8, 8, 1), TAM(8, 4)).eval(), torch.randn(8, 8, 5, 3)
    with torch.inference_mode():
        frozen = torch.compile(module, options={"freezing": True})
        torch.testing.assert_close(frozen(x), module(x))


def test_an_output_is_kept_when_the_network_that_wrote_it_runs_again() -> None:
    class Graph(nn.Module):
        """Writes its output to the same memory each time, as a CUDA graph does."""

        out = torch.zeros(2)

        def forward(self, x: Tensor) -> Tensor:
            return self.out.copy_(x)

    graph = Graph()
    kept, overwritten = OwnOutput(graph), graph
    first, also_first = kept(torch.ones(2)), overwritten(torch.ones(2))
    kept(torch.full((2,), 5.0))
    assert first.tolist() == [1, 1] and also_first.tolist() == [5, 5]


@pytest.fixture
def precision_of_float32() -> Iterator[None]:
    """Restore PyTorch's precision settings after the test."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.benchmark
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.benchmark = before


@pytest.mark.usefixtures("precision_of_float32")
def test_float32_is_tf32_only_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings are the same with and without a GPU, and PyTorch can still read all of them afterwards."""
    monkeypatch.setattr("torch.cuda.is_tf32_supported", lambda: True)
    for wanted in (False, True, False):
        set_tf32(wanted, torch.device("cuda", 0))
        assert (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32) == (wanted, wanted)
        assert torch.get_float32_matmul_precision() == ("high" if wanted else "highest")
        assert (torch.backends.cudnn.conv.fp32_precision == "tf32") == wanted
        with torch.backends.cudnn.flags(enabled=False):  # reads the settings, as torch.export does
            pass


def test_tf32_is_refused_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="--tf32 is for GPUs, and this runs on cpu; leave it out"):
        set_tf32(True, torch.device("cpu"))
    set_tf32(False, torch.device("cpu"))
    monkeypatch.setattr("torch.cuda.is_tf32_supported", lambda: False)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device: "Old GPU")
    with pytest.raises(InputError, match="--tf32: Old GPU has no TF32"):
        set_tf32(True, torch.device("cuda", 0))


@pytest.mark.usefixtures("precision_of_float32")
@pytest.mark.parametrize(("fixed", "deterministic", "tried"), [(1, 0, 1), (0, 0, 0), (1, 1, 0)])
def test_cudnn_benchmark_is_used_for_fixed_shapes_unless_deterministic(
    fixed: bool, deterministic: bool, tried: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    args = train_parser(None).parse_args(["kinetics", "RGB", *["--deterministic"] * deterministic])
    try:
        compute = compute_of(args, torch.device("cuda", 0), bool(fixed))
        assert torch.backends.cudnn.benchmark == bool(tried) and compute.fused_optimizer
    finally:
        torch.use_deterministic_algorithms(False)
    assert not CPU.fused_optimizer


@pytest.mark.parametrize(
    ("gpus", "visible", "shown"),
    [
        ([0, 2], None, "0,2"),
        ([1], "", "1"),
        ([1, 0], "4,5", "5,4"),
        ([0, 1], "GPU-1a, GPU-2b", "GPU-1a,GPU-2b"),
    ],
)
def test_gpu_numbers_refer_to_the_visible_gpus(gpus: list[int], visible: str | None, shown: str) -> None:
    assert visible_devices(gpus, visible) == shown


def test_every_precision_can_be_asked_for_in_training_and_testing() -> None:
    flags = ["--amp", "bf16", "--channels_last", "--compile", "--tf32"]
    train = train_parser(None).parse_args(["kinetics", "RGB", *flags, "--accumulate", "2"])
    test = test_parser(None).parse_args(["kinetics", "--weights", "x", *flags])
    assert train.amp == test.amp == "bf16" and train.accumulate == 2 and train.tf32 and test.tf32
