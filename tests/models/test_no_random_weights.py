"""Networks that are built for weights which are loaded afterwards draw no random numbers, and come out the same."""

from pathlib import Path

import pytest
import torch
from dialects import TEMPORAL, distinct_model

from ops.common.errors import InputError
from ops.models.checkpoint import load_model, save_checkpoint
from ops.models.no_random_weights import no_random_weights
from ops.models.recognizer import build_model
from ops.models.temporal_options import TemporalOptions, temporal_flags

OPTIONS = [TemporalOptions("tam"), *TEMPORAL]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: " ".join(temporal_flags(options)) or options.module)
def test_a_loaded_network_has_all_values_of_the_saved_one(options: TemporalOptions, tmp_path: Path) -> None:
    saved = distinct_model(temporal=options)
    meta = {"num_segments": 4, "temporal": options.as_meta()}
    save_checkpoint(tmp_path / "w.pth", saved, meta)
    before = torch.random.get_rng_state()
    loaded = load_model(tmp_path / "w.pth", 4)
    assert torch.equal(torch.random.get_rng_state(), before), "no random numbers were drawn"
    buffers = dict(loaded.named_buffers())  # also those that a checkpoint does not contain
    for name, value in (*saved.named_parameters(), *saved.named_buffers()):
        assert torch.equal(value, buffers[name] if name in buffers else loaded.get_parameter(name)), name


def test_outside_of_it_weights_are_random_as_before() -> None:
    torch.manual_seed(3)
    wanted = build_model("resnet18", 5, 4).new_fc.weight  # type: ignore[union-attr]
    with no_random_weights():
        build_model("resnet18", 5, 4)
    torch.manual_seed(3)
    assert torch.equal(build_model("resnet18", 5, 4).new_fc.weight, wanted)  # type: ignore[union-attr]
    assert wanted.std() > 0


def test_a_checkpoint_that_lacks_a_tensor_is_still_refused(tmp_path: Path) -> None:
    model = distinct_model()
    state = {
        name: value for name, value in model.state_dict().items() if name != "base_model.layer2.0.net.conv2.weight"
    }
    torch.save({"state_dict": state}, tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"layer2.0.net.conv2.weight is missing"):
        load_model(tmp_path / "w.pth")
