"""A GPU computes the published numbers in every precision, the same steps and scores, and within memory bounds.

Tolerances are relative to the norm of all values together. Those of half precision are about three times the errors
on a CPU.
"""

import shutil

import numpy as np
import pytest
import torch
from cases import CASES, LOGITS, reference_model, relative
from devices import DEVICES, on_gpu
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.gpu_report import train
from benchmarks.network import Load
from ops.common.device import Compute, set_tf32
from ops.data.collate import ClipBatch
from ops.data.transforms import Box, FramePlan
from ops.data.views import Views
from ops.models.recognizer import build_model
from ops.models.tam import TAM
from ops.training.engine import score_views
from ops.training.optimizer import make_optimizer
from ops.training.options import train_parser
from ops.training.train_step import accumulate, forward

pytestmark = pytest.mark.usefixtures("float32_is_float32")
LOGITS_WITHIN = {"off": 1e-4, "bf16": 1.5e-2, "fp16": 2e-3}
GRADIENTS_WITHIN = {"off": 5e-3, "bf16": 0.1, "fp16": 0.05}
FAR_TOO_LARGE = 2.0**20
"""A loss scale with which fp16 gradients overflow."""

NAME = "tanet_r50_8f_k400"
TESTED = Compute(torch.device("cpu"))


def compute_on(device: str, amp: str = "off", channels_last: bool = False, compiled: bool = False) -> Compute:
    place = torch.device(device, 0) if device == "cuda" else torch.device(device)
    return Compute(place, amp, channels_last, compiled)


COMPUTED = [("off", False), ("off", True), ("bf16", False), ("bf16", True), ("fp16", False), ("fp16", True)]


@pytest.mark.parametrize(
    ("device", "amp", "channels_last"),
    [("cpu", "off", False), ("cpu", "bf16", True), *(on_gpu("cuda", *how) for how in COMPUTED)],
)
def test_logits_are_the_published_ones(device: str, amp: str, channels_last: bool) -> None:
    compute = compute_on(device, amp, channels_last)
    for name in CASES if device == "cuda" else [NAME]:
        model, clip = reference_model(name)
        compute.prepare(model)
        layouts: list[bool] = []
        model.base_model.layer1.register_forward_hook(
            lambda module, inputs, output, seen=layouts: seen.append(
                output.is_contiguous(memory_format=torch.channels_last)
            )
        )
        with torch.inference_mode():
            scores = forward(model.eval(), clip, compute)
            folded = forward(compute.for_inference(model), clip, compute)
        assert scores.dtype == torch.float32 and scores.device == compute.device
        assert relative(scores.cpu(), LOGITS[name]) < LOGITS_WITHIN[amp]
        assert relative(folded.cpu(), LOGITS[name]) < LOGITS_WITHIN[amp]
        assert layouts[0] == channels_last


@pytest.mark.parametrize(
    ("device", "amp", "channels_last"), [("cpu", "off", False), *(on_gpu("cuda", *how) for how in COMPUTED)]
)
def test_loss_and_gradients_are_the_published_ones(device: str, amp: str, channels_last: bool) -> None:
    compute, case = compute_on(device, amp, channels_last), CASES[NAME]
    model, clip = reference_model(NAME)
    model.base_model.fc.p = 0.0  # the reference has no dropout
    compute.prepare(model)
    batch = ClipBatch(clip, torch.tensor(case["targets"]), [0, 1], 2)
    scaler = torch.amp.GradScaler(device, init_scale=2.0**8, enabled=amp == "fp16")
    loss = accumulate(model.train(), batch, scaler, compute, 1)[2]
    assert abs(loss.item() / case["loss"] - 1) < LOGITS_WITHIN[amp]
    norms = {key: value.grad.norm().item() / scaler.get_scale() for key, value in model.named_parameters()}  # type: ignore[union-attr]
    assert norms.keys() == case["grad_norms"].keys()
    assert relative(list(norms.values()), [case["grad_norms"][key] for key in norms]) < GRADIENTS_WITHIN[amp]


@pytest.mark.parametrize("device", [on_gpu("cuda")])
@pytest.mark.skipif(not torch.cuda.is_available() or not torch.cuda.is_tf32_supported(), reason="no TF32")
def test_tf32_is_less_precise_than_float32(device: str) -> None:
    """Sums of about 1,000 products are compared with the same sums in double precision."""
    compute = compute_on(device)
    x, weight = torch.randn(8, 128, 32, 32, device=compute.device), torch.randn(64, 128, 3, 3, device=compute.device)
    y = torch.randn(1024, 1024, device=compute.device)
    exact = F.conv2d(x.double(), weight.double()), y.double() @ y.double()
    errors = {}
    for wanted in (False, True):
        set_tf32(wanted, compute.device)
        found = F.conv2d(x, weight), y @ y
        errors[wanted] = [float((a - b).norm() / b.norm()) for a, b in zip(found, exact, strict=True)]
    assert all(error < 5e-6 for error in errors[False]) and all(1e-5 < error < 2e-3 for error in errors[True]), errors


@pytest.mark.parametrize("device", DEVICES)
def test_steps_that_fp16_skips_leave_no_trace(device: str) -> None:
    compute = compute_on(device, "fp16", channels_last=True)
    args = train_parser(None).parse_args(["kinetics", "RGB", "--lr", "0.001"])
    model = build_model("resnet18", 4, 3, dropout=0)
    compute.prepare(model)
    optimizer = make_optimizer(args, model, 0.001, fast_head=True, fused=True)
    scaler = compute.scaler()
    scaler.load_state_dict({**scaler.state_dict(), "scale": FAR_TOO_LARGE, "_growth_tracker": 0})
    clips = torch.randint(0, 256, (2, 3, 3, 32, 32), dtype=torch.uint8)
    batch = ClipBatch(clips, torch.tensor([0, 3]), [0, 1], 2)
    start = [parameter.detach().clone() for parameter in model.parameters()]
    taken = 0
    for _ in range(40):
        before = scaler.get_scale()
        optimizer.zero_grad()
        accumulate(model.train(), batch, scaler, compute, 1)
        scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
        taken += scaler.get_scale() >= before
        now = list(model.parameters())
        momentum = [optimizer.state[parameter]["momentum_buffer"] for parameter in now]
        assert all(torch.isfinite(value).all() for value in (*now, *momentum))
        if not taken:
            assert all(torch.equal(a, b) for a, b in zip(now, start, strict=True))
            assert not any(value.any() for value in momentum)
        if taken == 2:
            break
    assert taken == 2 and scaler.get_scale() < FAR_TOO_LARGE, "some were skipped, and two taken"
    assert not any(torch.equal(a, b) for a, b in zip(now, start, strict=True) if b.numel() > 1000)


@pytest.mark.parametrize("device", DEVICES)
def test_synchronised_norms_of_one_process_are_ordinary_ones(device: str) -> None:
    compute, found = compute_on(device), []
    clips = torch.randint(0, 256, (2, 3, 3, 32, 32), dtype=torch.uint8)
    for synchronised in (False, True):
        torch.manual_seed(2)
        model: nn.Module = build_model("resnet18", 4, 3, dropout=0)
        if synchronised:
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        compute.prepare(model)
        scores, _, loss = accumulate(
            model.train(), ClipBatch(clips, torch.tensor([1, 2]), [0, 1], 2), compute.scaler(), compute, 1
        )
        gradients = torch.cat([value.grad.flatten() for value in model.parameters() if value.grad is not None])
        found.append((scores, loss, gradients))
    for one, other in zip(*found, strict=True):
        assert relative(one.cpu(), other.cpu()) < 1e-4


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("chunk", [1, 4])
def test_views_are_scored_as_on_a_cpu(device: str, chunk: int) -> None:
    model = build_model("resnet18", 4, 3).eval()
    boxes = (Box(0, 0, 32, 32), Box(0, 4, 32, 32), Box(0, 8, 32, 32))
    plan = FramePlan((32, 40), None, (32, 40), boxes, (False, False, True))
    frames = torch.randint(0, 256, (5, 3, 32, 40), dtype=torch.uint8)
    clips = torch.tensor([[[0], [1], [2]], [[2], [3], [4]]])
    views, partners = Views(frames, [clips], plan), np.array([1, 0, -1, 3])
    expected = score_views(model, views, clips, partners, 6, TESTED)
    compute = compute_on(device)
    compute.prepare(model)
    pinned = views.pin_memory() if device == "cuda" else views
    scores = score_views(compute.for_inference(model), pinned, pinned.clips[0], partners, chunk, compute)
    assert scores.device.type == "cpu" and relative(scores, expected) < 1e-4


class Small(nn.Module):
    """A network that a CPU compiles in seconds: one convolution and a TAM, averaged to scores."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), TAM(4, 3))

    def forward(self, clips: Tensor) -> Tensor:
        """`[N, T, 3, H, W]` → `[N, 4]`."""
        return self.layers(clips.flatten(0, 1)).mean(dim=(2, 3)).view(len(clips), -1, 4).mean(dim=1)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.skipif(not shutil.which("g++"), reason="compiling needs a C++ compiler")
def test_a_compiled_test_scores_the_same_and_keeps_its_scores(device: str) -> None:
    """On a GPU the scores come from CUDA graphs, none of which was skipped; a smaller last chunk has its own graph."""
    compute = compute_on(device, compiled=True)
    model: nn.Module = build_model("resnet18", 4, 3).eval() if device == "cuda" else Small().eval()
    compute.prepare(model)
    counters = torch._dynamo.utils.counters["inductor"]
    skipped = counters["cudagraph_skips"]
    compiled = compute.for_inference(model)
    chunks = [torch.randn(count, 3, 3, 32, 32) for count in (3, 3, 3, 2, 3, 2)]
    with torch.inference_mode():
        found = [forward(compiled, chunk, compute) for chunk in chunks]  # earlier outputs must survive later calls
        expected = [forward(model, chunk, compute) for chunk in chunks]
    for one, other in zip(found, expected, strict=True):
        assert relative(one.cpu(), other.cpu()) < 1e-3
    assert device == "cpu" or counters["cudagraph_skips"] == skipped


@pytest.mark.parametrize(("device", "amp"), [on_gpu("cuda", "off"), on_gpu("cuda", "fp16")])
def test_peak_memory_of_a_training_step_is_little_more_than_without_tam(device: str, amp: str) -> None:
    compute = compute_on(device, amp, channels_last=True)
    memory = train(compute, compute_on(device), Load(8), 1).memory
    assert memory["ours"] <= 1.15 * memory["plain"], memory
    assert memory["ours"] - memory["plain"] <= 0.5 * (memory["published"] - memory["plain"]), memory
