"""Parts of the training and test loops: scores of views, and which batch norms are trained."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from ops.common.device import Compute
from ops.data.transforms import Box, FramePlan
from ops.data.views import Views
from ops.models.recognizer import build_model
from ops.training.engine import score_views
from ops.training.options import train_parser
from ops.training.train import start_model


@pytest.mark.parametrize("chunk", [1, 2, 5, 100])
def test_scores_do_not_depend_on_how_views_are_chunked(chunk: int) -> None:
    model = build_model("resnet18", 4, 3).eval()
    boxes = (Box(0, 0, 32, 32), Box(0, 4, 32, 32), Box(0, 8, 32, 32))
    plan = FramePlan((32, 40), None, (32, 40), boxes, (False, False, True))
    frames = torch.randint(0, 256, (5, 3, 32, 40), dtype=torch.uint8)
    clips = torch.tensor([[[0], [1], [2]], [[2], [3], [4]]])
    views = Views(frames, [clips], plan)
    partners = np.array([1, 0, -1, 3])
    got = score_views(model, views, clips, partners, chunk, Compute(torch.device("cpu")))
    with torch.inference_mode():
        each = [model(views.clip(crop, clips)) for crop in range(3)]  # [V, K] each
    mirrored = each[2][:, [1, 0, 2, 3]]
    assert torch.allclose(got, torch.cat([*each[:2], mirrored]).mean(0), atol=1e-6)


@pytest.mark.parametrize("partial", [True, False])
def test_syncbn_converts_every_batch_norm(partial: bool) -> None:
    """--syncbn converts every batch norm and freezes the same ones. On a CPU they can be created, but not run."""
    models = []
    for syncbn in (True, False):
        args = train_parser(None, ("pyav",)).parse_args(["custom", "RGB", "--arch", "resnet18", "--tam"])
        vars(args).update(pretrain="none", num_segments=3, syncbn=syncbn, no_partialbn=not partial)
        data: Any = SimpleNamespace(num_classes=2, class_names=None)
        models.append(start_model(args, data, None, False, Compute(torch.device("cpu")))[0])
    ours, plain = ([module for module in model.modules() if isinstance(module, _BatchNorm)] for model in models)
    assert len(ours) == len(plain) == 20 + 2 * 8, "those of ResNet-18 and two in each TAM"
    assert all(isinstance(module, torch.nn.SyncBatchNorm) for module in ours)
    assert [module.training for module in ours] == [module.training for module in plain]
    assert any(module.training for module in ours) and all(module.training for module in ours) == (not partial)
