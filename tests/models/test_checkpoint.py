"""Checkpoints: every dialect loads, no code is run, saving is atomic, and fine-tuning reports new layers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import NewFolder
from dialects import DIALECTS, PUBLISHED, to_mmaction2
from fill import fill
from torch.optim import SGD

from ops.common import storage
from ops.common.errors import InputError
from ops.models.checkpoint import load_model, read_checkpoint, save_checkpoint, tune_from
from ops.models.checkpoint_names import describe, to_our_names
from ops.models.recognizer import Recognizer, build_model
from ops.training.resume import restore


def small(**options: Any) -> Recognizer:
    torch.manual_seed(0)
    return build_model(**{"arch": "resnet18", "num_classes": 5, "num_segments": 4, **options})


def state_of(model: Recognizer) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("arch", ["resnet18", "mobilenet_v2"])
def test_loading_spends_no_time_on_random_weights(arch: str, tmp_path: Path) -> None:
    model = build_model(arch, 2, 4, tam=arch == "resnet18")
    save_checkpoint(tmp_path / "w.pth.tar", model, {})
    before = torch.get_rng_state()
    loaded = load_model(tmp_path / "w.pth.tar").state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(loaded[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("tam", [True, False])
def test_every_dialect_loads_to_the_same_scores(dialect: str, tam: bool, tmp_path: Path) -> None:
    model = small(tam=tam).eval()
    state = {DIALECTS[dialect](name): value for name, value in state_of(model).items()}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "c.pth.tar")
    loaded = load_model(tmp_path / "c.pth.tar", num_segments=4)
    clip = torch.randn(2, 4, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(loaded(clip), model(clip))
    assert not loaded.training


def test_all_names_of_the_published_format_are_known(tmp_path: Path) -> None:
    state = {"module." + name: value for name, value in fill(PUBLISHED).items()}
    torch.save(
        {"epoch": 100, "arch": "resnet50", "state_dict": state, "best_prec1": torch.tensor(76.0)}, tmp_path / "c"
    )
    spec = read_checkpoint(tmp_path / "c").spec
    assert (spec.arch, spec.num_classes, spec.num_segments, spec.modality, spec.tam) == (
        "resnet50",
        400,
        8,
        "RGB",
        True,
    )
    assert (
        to_our_names({to_mmaction2(name): value for name, value in fill(PUBLISHED).items()}).keys() == PUBLISHED.keys()
    )


@pytest.mark.parametrize(
    ("options", "spec"),
    [
        ({}, ("resnet18", 5, 4, "RGB", True, False)),
        ({"arch": "resnet34", "tam": False}, ("resnet34", 5, None, "RGB", False, False)),
        ({"arch": "resnet101", "num_segments": 16}, ("resnet101", 5, 16, "RGB", True, False)),
        ({"arch": "resnet152", "tam": False}, ("resnet152", 5, None, "RGB", False, False)),
        ({"modality": "Flow", "dropout": 0}, ("resnet18", 5, 4, "Flow", True, True)),
    ],
)
def test_the_architecture_is_recognised_from_the_tensors(options: dict[str, Any], spec: tuple[Any, ...]) -> None:
    found = describe(small(**options).state_dict())
    assert (found.arch, found.num_classes, found.num_segments, found.modality, found.tam, found.own_head) == spec


def test_optimizer_states_with_numpy_scalars_load(tmp_path: Path) -> None:
    torch.save({"state_dict": state_of(small()), "optimizer": {"lr": np.float64(0.1)}, "best_prec1": np.float32(3)},
               tmp_path / "c")  # fmt: skip
    assert read_checkpoint(tmp_path / "c").rest["optimizer"]["lr"] == 0.1


class Payload:
    """An object that runs code when it is unpickled."""

    def __reduce__(self) -> Any:
        return (print, ("code ran",))


def test_pickled_code_is_refused_by_name_and_does_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"state_dict": state_of(small()), "extra": Payload()}, tmp_path / "bad.pth.tar")
    with pytest.raises(InputError, match=r"bad.pth.tar: refused, because loading it would run code \(.*print\)"):
        load_model(tmp_path / "bad.pth.tar")
    assert "code ran" not in capsys.readouterr().out


@pytest.fixture(scope="module")
def broken(new_folder: NewFolder) -> dict[str, Path]:
    folder = new_folder("broken")
    whole = folder / "whole"
    torch.save({"state_dict": state_of(small())}, whole)
    (folder / "cut").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (folder / "text").write_text("not a checkpoint")
    (folder / "empty").write_bytes(b"")
    torch.save([1, 2], folder / "list")
    torch.save({"state_dict": {"a": 1}}, folder / "numbers")
    torch.save({"state_dict": {"conv.weight": torch.zeros(2)}}, folder / "other model")
    torch.save(
        {"state_dict": {**state_of(small()), "new_fc.weight": torch.zeros(5, 512).to_sparse()}}, folder / "sparse"
    )
    state = state_of(small())
    del state["base_model.layer1.0.net.bn1.weight"]
    torch.save(state, folder / "incomplete")
    torch.save({**state_of(small()), "surplus.weight": torch.zeros(1)}, folder / "surplus")
    torch.save({**state_of(small()), "base_model.bn1.bias": torch.zeros(3)}, folder / "shape")
    return {path.name: path for path in folder.iterdir()} | {"folder": folder, "absent": folder / "absent"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent", "No such file"),
        ("folder", "is a directory"),
        ("cut", "not a readable checkpoint"),
        ("text", "not a readable checkpoint"),
        ("empty", "not a readable checkpoint"),
        ("list", "no state_dict"),
        ("numbers", "no state_dict"),
        ("other model", "not a checkpoint of a TANet, TSM or TSN"),
        ("sparse", "not a dense tensor"),
        ("incomplete", "layer1.0.net.bn1.weight is missing"),
        ("surplus", "surplus.weight is unknown"),
        ("shape", "bn1.bias has a different shape"),
    ],
)
def test_files_that_are_no_checkpoint_get_one_line(name: str, message: str, broken: dict[str, Path]) -> None:
    path = broken[name]
    with pytest.raises(InputError, match=message) as caught:
        load_model(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_another_segment_count_than_trained_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", small(), {})
    with pytest.raises(InputError, match=r"trained for 4 segments.*not for 8"):
        load_model(tmp_path / "c", num_segments=8)


def test_a_tsn_takes_its_segments_from_meta_or_from_the_caller(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", small(tam=False), {"num_segments": 4})
    assert load_model(tmp_path / "c").num_segments == 4
    assert load_model(tmp_path / "c", num_segments=7).num_segments == 7


def test_a_failed_save_leaves_the_older_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c"
    save_checkpoint(path, small(), {}, epoch=1)
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    for target in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(storage.os, target, fail)
            with pytest.raises(InputError, match="No space left"):
                save_checkpoint(path, small(), {}, epoch=2)
        assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_tuning_from_other_segments_renews_the_global_branch_only(dropout: float, tmp_path: Path) -> None:
    names = [f"class {k}" for k in range(5)]
    source = small(num_segments=4)
    save_checkpoint(tmp_path / "c", source, {"class_names": names})
    target = small(num_segments=8, dropout=dropout)
    before = state_of(target)
    assert tune_from(target, read_checkpoint(tmp_path / "c"), "custom", names)
    new = source.state_dict()
    for name, value in target.state_dict().items():
        if ".tam.G." in name:
            assert torch.equal(value, before[name])
        else:
            assert torch.equal(value, new[name if dropout else name.replace("base_model.fc.", "new_fc.")])


@pytest.mark.parametrize(
    ("meta", "dataset", "names", "kept"),
    [
        ({"class_names": list("abcde")}, "custom", list("abcde"), True),
        ({"class_names": list("abcde")}, "custom", list("edcba"), False),
        ({"dataset": "something"}, "something", None, True),
        ({"dataset": "custom"}, "custom", None, False),
        ({}, "kinetics", None, False),
    ],
)
def test_the_head_is_kept_only_for_the_same_classes(
    meta: dict[str, Any], dataset: str, names: list[str] | None, kept: bool, tmp_path: Path
) -> None:
    source = small()
    torch.nn.init.ones_(source.head.weight)
    save_checkpoint(tmp_path / "c", source, meta)
    target = small()
    assert tune_from(target, read_checkpoint(tmp_path / "c"), dataset, names) == kept
    assert bool((target.head.weight == 1).all()) == kept


@pytest.mark.parametrize(("stored", "warned"), [(56, True), (224, False), (None, False)])
def test_tuning_at_another_size_is_warned_of(
    stored: int | None, warned: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_checkpoint(tmp_path / "w.pth.tar", build_model("resnet18", 3, 4), {"input_size": stored} if stored else {})
    tune_from(build_model("resnet18", 3, 4), read_checkpoint(tmp_path / "w.pth.tar"), "custom", None, 224)
    assert ("trained with --input_size 56, but this run has 224" in caplog.text) == warned


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"arch": "resnet34"}, "holds a resnet18"),
        ({"tam": False}, "--temporal is tam in the ch"),
    ],
)
def test_tuning_another_model_is_refused(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", small(), {})
    with pytest.raises(InputError, match=message):
        tune_from(small(**options), read_checkpoint(tmp_path / "c"), "custom", None)


def test_resuming_without_an_optimizer_that_fits_is_refused(tmp_path: Path) -> None:
    model = small()
    optimizer = SGD(model.parameter_groups(), lr=0.1, momentum=0.9)
    save_checkpoint(tmp_path / "whole", model, {}, epoch=3, step=2, best_prec1=55.0, optimizer=optimizer.state_dict())
    progress = restore(read_checkpoint(tmp_path / "whole"), optimizer)
    assert (progress.epoch, progress.step, progress.best) == (3, 2, 55.0)
    save_checkpoint(tmp_path / "bare", model, {}, epoch=3)
    with pytest.raises(InputError, match="no optimizer state that fits"):
        restore(read_checkpoint(tmp_path / "bare"), optimizer)
