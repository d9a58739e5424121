"""A training takes missing arguments from the checkpoint that it starts from and refuses contradicting ones."""

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import NewFolder

from ops.common.errors import InputError
from ops.models.checkpoint import save_checkpoint
from ops.models.recognizer import build_model
from ops.models.temporal_options import TemporalOptions
from ops.training.options import train_parser
from ops.training.resume import default_store_name
from ops.training.tune_arguments import open_start


@pytest.fixture(scope="module")
def weights(new_folder: NewFolder) -> dict[str, str]:
    """Checkpoints of tiny models, with and without their training settings."""
    folder = new_folder("weights")
    torch.manual_seed(0)
    paths = {name: str(folder / f"{name}.pth.tar") for name in ("tam", "tsn", "tsm", "flow", "text")}
    tam = TemporalOptions("tam", stages=(2, 3), kernel=5)
    save_checkpoint(paths["tam"], build_model("resnet18", 2, 3, "RGB", dropout=0.0, temporal=tam),
                    {"num_segments": 3, "input_size": 32, "dropout": 0.0, "temporal": tam.as_meta()})  # fmt: skip
    tsm = TemporalOptions("tsm", shift_div=4)
    save_checkpoint(paths["tsm"], build_model("resnet18", 2, 4, "RGB", dropout=0.7, temporal=tsm),
                    {"num_segments": 4, "input_size": 112, "dropout": 0.7, "temporal": tsm.as_meta()})  # fmt: skip
    torch.save({"state_dict": build_model("resnet34", 2, 5, "RGB", False, 0.5).state_dict()}, paths["tsn"])
    save_checkpoint(paths["flow"], build_model("resnet18", 2, 3, "Flow", True, 0.5), {})
    Path(paths["text"]).write_text("hello")
    return paths


def arguments(*flags: str) -> Any:
    return train_parser(None, ("pyav",)).parse_args(["custom", "RGB", *flags])


DEFAULTS = {"tam": False, "shift": False, "tam_alpha": 2, "temporal_place": "after_conv1", "non_local": ""}


@pytest.mark.parametrize(
    ("name", "flags", "wanted"),
    [
        ("tam", "", {"arch": "resnet18", "num_segments": 3, "dropout": 0.0, "input_size": 32, "temporal": "tam",
                     "temporal_stages": [2, 3], "tam_kernel": 5, **DEFAULTS}),
        ("tam", "--tam --dropout 0.3 --input_size 64",
         {"arch": "resnet18", "dropout": 0.3, "input_size": 64, "temporal": None, "tam_kernel": 5, "tam": True}),
        ("tam", "--num_segments 3 --temporal_stages 3 2 --shift_div 4", {"tam_kernel": 5, "shift_div": 4}),
        ("tsn", "", {"arch": "resnet34", "num_segments": 8, "dropout": 0.5, "input_size": 224, "temporal": None}),
        ("tsn", "--num_segments 5 --temporal none", {"arch": "resnet34", "num_segments": 5, "temporal": "none"}),
        ("tsm", "--num_segments 8", {"num_segments": 8, "temporal": "tsm", "shift_div": 4, "dropout": 0.7}),
        ("tsm", "--shift --shift_div 4", {"num_segments": 4, "shift": True, "shift_div": 4, "input_size": 112}),
    ],
)  # fmt: skip
def test_missing_arguments_are_taken_from_the_checkpoint(
    name: str, flags: str, wanted: dict[str, Any], weights: dict[str, str]
) -> None:
    args = arguments("--tune_from", weights[name], *flags.split())
    assert open_start(args)
    assert {key: getattr(args, key) for key in wanted} == wanted


@pytest.mark.parametrize(
    ("name", "flags", "message"),
    [
        ("tam", "--arch resnet50", "--arch resnet50 contradicts {}, which has --arch resnet18: "),
        ("tam", "--num_segments 8", "--num_segments 8 contradicts {}, which has --num_segments 3: "),
        ("tam", "--temporal none", "--temporal none contradicts {}, which has --temporal tam: "),
        ("tam", "--shift", "--shift contradicts {}, which has --temporal tam: "),
        ("tsn", "--tam", "--tam contradicts {}, which has --temporal none: "),
        ("tam", "--tam_kernel 3", "--tam_kernel 3 contradicts {}, which has --tam_kernel 5: "),
        ("tam", "--temporal_stages 1 2", "--temporal_stages 1 2 contradicts {}, which has --temporal_stages 2 3: "),
        ("tsm", "--shift_div 8", "--shift_div 8 contradicts {}, which has --shift_div 4: "),
        ("flow", "", "{}: is a model for Flow, but this run trains on RGB"),
        ("text", "", "{}: not a readable checkpoint"),
    ],
)
def test_arguments_that_contradict_the_checkpoint_are_refused(
    name: str, flags: str, message: str, weights: dict[str, str]
) -> None:
    with pytest.raises(InputError) as raised:
        open_start(arguments("--tune_from", weights[name], *flags.split()))
    assert str(raised.value).startswith(message.format(weights[name])) and "\n" not in str(raised.value)


def test_the_name_of_the_run_has_the_values_that_are_used(weights: dict[str, str]) -> None:
    args = arguments("--tune_from", weights["tsm"], "--epochs", "5")
    open_start(args)
    assert default_store_name(args) == "custom_RGB_resnet18_shift4_blockres_avg_segment4_e5"


def test_arguments_know_which_were_given() -> None:
    assert arguments().given == {"dataset", "modality"} and "given" not in vars(arguments())
    args = arguments("--tam", "-b", "64", "--freeze", "stages", "1", "--k", "--arch=resnet50", "--ema", "0.9")
    given = {"tam", "batch_size", "freeze", "no_effect", "arch", "ema"}
    assert args.given == {"dataset", "modality", *given}, "also with the value of the default"
    assert (args.num_segments, args.lr_steps, args.no_effect) == (8, [50, 75, 90], ["--k"])
