"""TSM's and MMAction2's checkpoints compute what their own code computes."""

from pathlib import Path

import pytest
import torch
from cases import relative
from family import FILE_NAMES, case_of, write_case
from torch.nn import functional as F

from ops.models.checkpoint import load_model

UNSTABLE = "tsm_r50_nl_8f_k400"
"""With these random weights the similarities of positions reach the hundreds, so that their softmax jumps from one
position to another with a difference in the last bit. The reference itself differs by 3e-4 from the same sums in double
precision, and by 3e-3 from its own operations with two threads instead of one."""


@pytest.mark.parametrize("name", FILE_NAMES)
def test_published_checkpoints_have_their_logits(name: str, tmp_path: Path) -> None:
    case = case_of(name)
    model = load_model(write_case(case, tmp_path / FILE_NAMES[name]))
    assert model.num_segments == case.facts["num_segments"]
    biases = sum(value.numel() for key, value in model.named_parameters() if key.endswith("nl.W.0.bias"))
    added = biases if name.startswith("mma_") else 0  # MMAction2 has no bias there
    assert sum(value.numel() for value in model.parameters()) - added == case.facts["parameters"]
    with torch.inference_mode():
        assert relative(model(case.clips), case.logits) < (5e-3 if name == UNSTABLE else 1e-4)
        if name == UNSTABLE:
            assert relative(model.double()(case.clips.double()), case.logits) < 1e-3


@pytest.mark.parametrize("name", [name for name in FILE_NAMES if name.startswith("tsm_")])
def test_they_train_as_in_their_own_code(name: str, tmp_path: Path) -> None:
    case = case_of(name)
    model = load_model(write_case(case, tmp_path / FILE_NAMES[name])).train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0  # the reference has no dropout
    if "loss" in case.facts:
        clips = case.clips.clone().requires_grad_()
        loss = F.cross_entropy(model(clips), torch.tensor(case.facts["targets"]))
        loss.backward()
        assert loss.item() == pytest.approx(case.facts["loss"], rel=1e-3)
        assert clips.grad is not None
        limit = 0.2 if name == UNSTABLE else 1e-3
        assert clips.grad.norm().item() == pytest.approx(case.facts["input_grad_norm"], rel=limit)
        norms = {key: p.grad.norm().item() for key, p in model.named_parameters() if p.grad is not None}
        wanted = case.facts["grad_norms"]
        assert norms.keys() == wanted.keys()
        assert relative(list(norms.values()), [wanted[key] for key in norms]) < limit
    groups = [
        {
            "name": group["name"],
            "lr_mult": group["lr_mult"],
            "decay_mult": group["decay_mult"],
            "parameters": sum(parameter.numel() for parameter in group["params"]),
            "tensors": len(group["params"]),
        }
        for group in model.parameter_groups()
    ]
    assert groups == case.facts["param_groups"]
