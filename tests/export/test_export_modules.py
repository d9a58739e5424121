"""Networks with every temporal module compute the same in onnxruntime as in PyTorch."""

from pathlib import Path

import numpy as np
import pytest
import torch
from dialects import TEMPORAL, cut, distinct_model
from torch import nn

from ops.export.onnx_export import to_onnx
from ops.models.mobilenet import MobileNetV2
from ops.models.recognizer import Recognizer
from ops.models.runtimes import open_session
from ops.models.temporal_options import TemporalOptions, temporal_flags

SHAPE = (3, 3, 48, 48)


def shortened(model: Recognizer) -> Recognizer:
    """Keep only the first blocks, with a smaller head after them: an export takes seconds per dozen layers."""
    network = model.base_model
    if isinstance(network, MobileNetV2):
        network.features, features = network.features[:7], 32
    else:
        network.layer3, network.layer4, features = nn.Sequential(), nn.Sequential(), 128
    model.new_fc = nn.Linear(features, model.num_classes)
    return model.eval()


def same_in_onnx(model: Recognizer, path: Path) -> bool:
    """Whether PyTorch and onnxruntime compute the same, with another batch size than in the export."""
    path.write_bytes(to_onnx(model, SHAPE, "fp32").SerializeToString())
    clips = torch.randint(0, 256, (3, *SHAPE), dtype=torch.uint8)
    with torch.inference_mode():
        wanted = model(clips).numpy()
    got = open_session("onnxruntime", path)(clips.numpy())
    return bool(np.linalg.norm(got - wanted) < 1e-5 * np.linalg.norm(wanted))


@pytest.mark.parametrize(
    "options", TEMPORAL, ids=lambda options: " ".join(temporal_flags(options)) or options.non_local
)
def test_every_module_is_exported(options: TemporalOptions, tmp_path: Path) -> None:
    model = shortened(cut(distinct_model(num_segments=SHAPE[0], temporal=options)))
    assert same_in_onnx(model, tmp_path / "m.onnx")
    operators = (tmp_path / "m.onnx").read_bytes()
    assert b"ScatterND" not in operators and b"ScatterElements" not in operators


def test_mobilenet_with_shifts_is_exported(tmp_path: Path) -> None:
    model = shortened(distinct_model(arch="mobilenet_v2", num_segments=SHAPE[0], temporal=TemporalOptions("tsm")))
    assert same_in_onnx(model, tmp_path / "m.onnx")
