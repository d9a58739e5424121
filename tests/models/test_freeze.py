"""Frozen parts of a network do not change in any bit; all other parts are trained."""

import pytest
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from ops.common.errors import InputError
from ops.models.freeze import freeze
from ops.models.recognizer import build_model
from ops.models.temporal_options import TemporalOptions
from ops.training.check_arguments import check_arguments
from ops.training.optimizer import make_optimizer
from ops.training.options import train_parser

STEM = ("base_model.conv1.", "base_model.bn1.")


@pytest.mark.parametrize(
    ("part", "dropout", "kept"),
    [
        ("none", 0.5, ()),
        ("stages 1", 0.5, (*STEM, "base_model.layer1.")),
        ("stages 2", 0.5, (*STEM, "base_model.layer1.", "base_model.layer2.")),
        ("backbone", 0.5, ("base_model.",)),
        ("backbone", 0.0, (*STEM, "base_model.layer")),  # without dropout, the classifier is `base_model.fc`
    ],
)
def test_only_parts_that_are_not_frozen_change(part: str, dropout: float, kept: tuple[str, ...]) -> None:
    torch.manual_seed(1)
    model = build_model("resnet18", 2, 2, dropout=dropout, temporal=TemporalOptions("tam"))
    args = train_parser(None).parse_args(["custom", "RGB", "--freeze", *part.split()])
    freeze(model, args.freeze)
    optimizer = make_optimizer(args, model.train(), 0.1, fast_head=True)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    scores = model(torch.randint(0, 256, (3, 2, 3, 40, 40), dtype=torch.uint8))
    torch.nn.functional.cross_entropy(scores, torch.tensor([0, 1, 0])).backward()
    optimizer.step()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {name for name in before if not (kept and name.startswith(kept))}
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) == bool(kept and name.startswith(kept))
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    assert all(norm.training for norm in norms) == (part == "none")


def test_freezing_stages_of_a_network_without_stages_is_refused() -> None:
    with pytest.raises(InputError, match="--freeze stages 2: mobilenet_v2 has no stages; use --freeze backbone"):
        freeze(build_model("mobilenet_v2", 2, 2, tam=False), "stages 2")
    freeze(build_model("mobilenet_v2", 2, 2, tam=False), "backbone")
    for part in (["stages"], ["stages", "5"], ["head"], ["backbone", "2"]):
        with pytest.raises(InputError, match=f"'{' '.join(part)}' must be none, backbone or stages N"):
            train_parser(None).parse_args(["custom", "RGB", "--freeze", *part])
    args = train_parser(None).parse_args(["custom", "RGB", "--freeze", "backbone", "--pretrain", "none"])
    with pytest.raises(InputError, match="--freeze backbone would keep random weights"):
        check_arguments(args, torch.device("cpu"))
