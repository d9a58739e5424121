"""Bounds on the number of kernels that the network launches and on how often the host waits for the device."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.kernels import count_kernels
from ops.common.device import Compute
from ops.common.preemption import Preemption
from ops.data.collate import ClipBatch
from ops.data.transforms import Box, FramePlan
from ops.data.views import Views
from ops.models import fused_filter
from ops.models.recognizer import build_model
from ops.training.engine import EpochResult, score_views, train_epoch
from ops.training.metrics import Meter
from ops.training.optimizer import complete_state
from ops.training.train_step import Stepper

CPU = Compute(torch.device("cpu"))
PIXELS = torch.zeros(2, 8, 3, 32, 32, dtype=torch.uint8)


@pytest.fixture
def own_kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """How often each of TAM's own kernels should be launched: 16 times if the parameter is True, and then as on a GPU.

    They are counted, but compute nothing.
    """
    if not request.param:
        return 0
    monkeypatch.setattr("ops.models.tam.can_fuse", lambda features: True)
    monkeypatch.setattr(fused_filter, "launch_filter", lambda x, *_: torch.zeros_like(x))
    monkeypatch.setattr(
        fused_filter,
        "launch_filter_gradient",
        lambda x, grad, kernel, importance, t: (torch.zeros_like(x), x.new_zeros(1, len(x) // t, t, 3, x.shape[1])),
    )
    monkeypatch.setattr(
        fused_filter, "launch_logit_gradients", lambda dots, *logits: tuple(map(torch.zeros_like, logits))
    )
    return 16


@pytest.mark.parametrize(
    ("own_kernels", "tam", "most"),
    [(True, True, 254), (False, True, 382), (False, False, 128)],
    indirect=["own_kernels"],
)
def test_kernels_of_a_forward_pass_in_a_test(own_kernels: int, tam: bool, most: int) -> None:
    network = CPU.for_inference(build_model("resnet50", 5, 8, tam=tam))
    with torch.inference_mode(), count_kernels() as counts:
        network(PIXELS[:1])
    assert 0 < counts.kernels.total() <= most and not counts.reads, counts.kernels
    assert counts.kernels["filter"] == own_kernels


@pytest.mark.parametrize(
    ("own_kernels", "tam", "forward", "backward"),
    [(True, True, 433, 472), (False, True, 592, 810), (False, False, 240, 185)],
    indirect=["own_kernels"],
)
def test_kernels_of_a_training_step(own_kernels: int, tam: bool, forward: int, backward: int) -> None:
    model = build_model("resnet50", 5, 8, tam=tam)
    with count_kernels() as counts:
        loss = F.cross_entropy(model(PIXELS), torch.tensor([0, 1]))
    assert 0 < counts.kernels.total() <= forward and not counts.reads, counts.kernels
    assert counts.kernels["filter"] == own_kernels
    with count_kernels() as counts:
        loss.backward()
    assert 0 < counts.kernels.total() <= backward and not counts.reads, counts.kernels
    assert counts.kernels["filter_gradient"] == counts.kernels["logit_gradients"] == own_kernels


def test_a_training_step_on_a_gpu_reads_nothing() -> None:
    """Training as on a GPU, where a fused optimizer looks at the flags of non-finite steps on the device."""
    model = build_model("resnet18", 5, 8, tam=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, fused=True)
    complete_state(optimizer)
    stepper = Stepper(model, optimizer, CPU.scaler(), CPU, lambda step: pytest.fail(str(step)), 20.0, deferred=True)
    batch, preemption, result = ClipBatch(PIXELS, torch.tensor([0, 1]), [0, 1], 2), Preemption(), EpochResult(Meter())
    stepper(batch)  # the first one reserves memory
    go_on = lambda step: not preemption.everywhere(CPU.device, deferred=True)  # noqa: E731
    with count_kernels() as counts:
        train_epoch(
            stepper, [batch] * 3, result, lambda step: (0.01, 1.0), go_on, 1.0, 99, 99, "", False, lambda *_: 0.0
        )
    assert not counts.reads and result.meter.count == 4 * len(batch.labels), counts.reads


class Mean(nn.Module):
    """Computes two scores without a network."""

    def forward(self, clips: Tensor) -> Tensor:
        return clips.float().flatten(1)[:, :2]


@pytest.mark.parametrize("chunk", [1, 6])
def test_the_scores_of_a_video_are_read_once(chunk: int) -> None:
    boxes = (Box(0, 0, 32, 32), Box(0, 4, 32, 32), Box(0, 8, 32, 32))
    plan = FramePlan((32, 40), None, (32, 40), boxes, (False, False, True))
    clips = torch.tensor([[[0], [1], [2]], [[2], [3], [4]]])
    views = Views(torch.zeros(5, 3, 32, 40, dtype=torch.uint8), [clips], plan)
    with count_kernels() as counts:
        score_views(Mean(), views, clips, np.array([1, 0]), chunk, CPU)
    assert counts.reads == {"cpu": 1}


@pytest.mark.parametrize(
    ("read", "reads"),
    [
        (lambda x: bool(x.sum() > 0), 1),
        (lambda x: x.cpu(), 1),
        (lambda x: x[x > 0], 1),
        (lambda x: x.nonzero(), 1),
        (lambda x: x.view(2, 2).t() + 1, 0),
    ],
)
def test_reads_are_recognised(read: Callable[[Tensor], object], reads: int) -> None:
    with count_kernels() as counts:
        read(torch.ones(4))
    assert counts.reads.total() == reads, counts.reads
