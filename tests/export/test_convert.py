"""Converted checkpoints compute the same or are not written; their descriptions are complete or say what is unknown."""

import json
from collections.abc import Callable
from pathlib import Path

import media
import pytest
import torch
from conftest import Call, NewFolder
from dialects import DIALECTS, PUBLISHED, distinct_model, to_mmaction2
from fill import fill

from ops.common.errors import InputError
from ops.common.tensor_files import load_tensors
from ops.export import convert as conversion
from ops.export.checkpoint_info import checkpoint_facts, describe_facts
from ops.export.convert import Classes, convert_checkpoint
from ops.export.options import TARGETS
from ops.models.checkpoint import load_model, read_checkpoint, save_checkpoint
from ops.models.checkpoint_names import dialect_of, to_dialect, to_our_names
from ops.models.recognizer import build_model
from ops.predict.predictor import open_predictor

NAMES = ["run", "jump", "swim to the left", "sit, slowly", "größer werden"]
META = {
    "class_names": NAMES,
    "num_segments": 4,
    "dataset": "custom",
    "sampling": "uniform",
    "results": {"best_top1": 61.5},
}


FILLED = fill(PUBLISHED)


@pytest.fixture(scope="module")
def sources(new_folder: NewFolder) -> dict[str, Path]:
    """A checkpoint as training saves it, and several variants."""
    folder = new_folder("sources")
    torch.manual_seed(3)
    model = distinct_model()
    momentum = {number: {"momentum_buffer": value.clone()} for number, value in enumerate(model.parameters())}
    rest = {"optimizer": {"state": momentum}, "epoch": 7, "step": 0, "best_prec1": 61.5}
    save_checkpoint(folder / "tam", model, META, **rest)
    save_checkpoint(folder / "no dropout", distinct_model(dropout=0), {**META, "dropout": 0.0})
    save_checkpoint(folder / "plain", distinct_model(tam=False), META)
    torch.save({"module." + name: value for name, value in model.state_dict().items()}, folder / "bare")
    return {path.name: path for path in folder.iterdir()}


def scores(path: Path | str) -> torch.Tensor:
    model = load_model(path)
    clip = torch.randint(0, 256, (2, model.num_segments, 3, 40, 40), dtype=torch.uint8, generator=torch.manual_seed(1))
    with torch.inference_mode():
        logits: torch.Tensor = model(clip)
    return logits


@pytest.mark.parametrize(
    ("name", "to"), [*(("tam", to) for to in TARGETS), ("no dropout", "mmaction2"), ("plain", "mmaction2")]
)
def test_converting_there_and_back_loses_nothing(name: str, to: str, sources: dict[str, Path], tmp_path: Path) -> None:
    source = sources[name]
    convert_checkpoint(str(source), str(tmp_path / "there"), to)
    convert_checkpoint(str(tmp_path / "there"), str(tmp_path / "back"), "ours")
    there, back, before = (read_checkpoint(str(path)) for path in (tmp_path / "there", tmp_path / "back", source))
    assert there.dialect == ("ours" if to in ("safetensors", "hf") else to)
    assert back.state.keys() == before.state.keys()
    assert all(torch.equal(value, back.state[name]) for name, value in before.state.items())
    assert torch.equal(scores(str(tmp_path / "there")), scores(source))
    kept = {key: value for key, value in back.meta.items() if key in before.meta and key != "history"}
    assert kept == before.meta and len(back.meta["history"]) == 2
    assert back.normalisation == before.normalisation and back.spec == before.spec
    assert "optimizer" not in there.rest and there.rest.get("epoch") == before.rest.get("epoch")


def test_the_names_are_those_of_the_tables() -> None:
    state = FILLED
    assert len(state) == 544
    assert to_dialect(state, "mmaction2").keys() == {to_mmaction2(name) for name in state}
    assert to_dialect(state, "published").keys() == {f"module.{name}" for name in state}
    for dialect in ("ours", "published", "mmaction2"):
        named = to_dialect(state, dialect)  # type: ignore[arg-type]
        assert dialect_of(named) == dialect and to_our_names(named).keys() == state.keys()
    seen = {name: dialect_of(map(rename, PUBLISHED)) for name, rename in DIALECTS.items()}
    assert seen == {"ours": "ours", "DataParallel": "published", "torch.compile": "published", "older": "published",
                    "MMAction2": "mmaction2"}  # fmt: skip


def test_the_tool_reports_what_it_has_converted(call: Call, sources: dict[str, Path], tmp_path: Path) -> None:
    done = call("tools/convert_checkpoint.py", sources["tam"], "new/a.safetensors", "--to", "published")
    assert "largest difference 0, largest logit" in done.out
    after, before = (path.stat().st_size / 1e6 for path in (tmp_path / "new/a.safetensors", sources["tam"]))
    assert f"{after:.1f} MB from {before:.1f} MB; left out: optimizer, step" in done.out and after < 0.6 * before
    written = load_tensors(tmp_path / "new/a.safetensors")
    assert all(name.startswith("module.") for name in written["state_dict"]) and written["meta"]["class_names"] == NAMES
    assert "has no class names" in call("tools/convert_checkpoint.py", sources["bare"], "b").err
    assert call("tools/convert_checkpoint.py", sources["bare"], sources["bare"], status=2).err.endswith(
        "choose another name for the result\n"
    )


def test_safetensors_are_loaded_wherever_checkpoints_are(sources: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "whatever.pth.tar"  # the format is recognised by the content, not by the name
    convert_checkpoint(str(sources["tam"]), str(path), "safetensors")
    checkpoint = read_checkpoint(path)
    assert checkpoint.class_names == NAMES and checkpoint.rest == {"arch": "resnet18", "epoch": 7, "best_prec1": 61.5}
    filled = build_model("resnet18", 3, 8, pretrain=str(path))
    key = "base_model.layer3.1.net.conv2.weight"
    assert torch.equal(filled.state_dict()[key], checkpoint.state[key])
    media.truncate(path, 0.9)
    with pytest.raises(InputError, match=r"whatever.pth.tar: not a readable checkpoint, or truncated"):
        read_checkpoint(path)


def test_channels_last_weights_become_safetensors(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a", distinct_model().to(memory_format=torch.channels_last), META)  # type: ignore[call-overload]
    convert_checkpoint(str(tmp_path / "a"), str(tmp_path / "b"), "safetensors")
    assert torch.equal(scores(tmp_path / "a"), scores(tmp_path / "b"))


def test_classes_are_reordered_by_name(sources: dict[str, Path], tmp_path: Path) -> None:
    wanted = [NAMES[k] for k in (2, 0, 1, 4, 3)]
    for name, now in (("tam", None), ("bare", NAMES)):
        convert_checkpoint(str(sources[name]), str(tmp_path / name), "mmaction2", Classes(now, wanted))
        assert torch.allclose(scores(tmp_path / name), scores(sources[name])[:, [2, 0, 1, 4, 3]], atol=1e-6)
        assert read_checkpoint(tmp_path / name).class_names == wanted
    convert_checkpoint(str(tmp_path / "tam"), str(tmp_path / "back"), "ours", Classes(None, NAMES))
    assert torch.equal(scores(tmp_path / "back"), scores(sources["tam"]))


@pytest.mark.parametrize(
    ("name", "classes", "message"),
    [
        ("tam", Classes(None, [*NAMES[:4], "fly"]), "only in the checkpoint: größer werden; only in --classes_to: fly"),
        ("tam", Classes(None, NAMES[:4]), "only in the checkpoint: größer werden$"),
        ("tam", Classes(None, [*NAMES, "fly"]), "; only in --classes_to: fly$"),
        ("tam", Classes(NAMES[::-1], NAMES), "but those in --classes_from or their order differ"),
        ("bare", Classes(NAMES[:3], NAMES), r"--classes_from has 3 names, but .* has 5 classes"),
        ("bare", Classes(None, NAMES), "--classes_to needs --classes_from"),
    ],
)
def test_classes_that_do_not_match_are_named(
    name: str, classes: Classes, message: str, sources: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        convert_checkpoint(str(sources[name]), str(tmp_path / "out"), "ours", classes)
    assert not list(tmp_path.iterdir())


def test_another_segment_count_resets_only_the_global_branch(
    call: Call, sources: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = call("tools/convert_checkpoint.py", sources["tam"], "more", "--to_segments", "16")
    before, after = read_checkpoint(sources["tam"]), read_checkpoint(tmp_path / "more")
    kept = [name for name in before.state if ".tam.G." not in name]
    assert all(torch.equal(before.state[name], after.state[name]) for name in kept)
    renewed = len(before.state) - len(kept)
    assert (
        f"so its {renewed} tensors are initialised again" in done.err and f"the other {len(kept)} are kept" in done.err
    )
    assert "logits cannot be compared" in done.out
    assert after.num_segments == 16 and "best_prec1" not in after.rest and not after.meta["results"]
    assert load_model(tmp_path / "more").num_segments == 16
    open_predictor(str(sources["tam"]))
    assert "is not trained yet" not in capsys.readouterr().err
    open_predictor(str(tmp_path / "more"))
    assert f"TAM's global branch ({renewed} tensors) is not trained yet" in capsys.readouterr().err

    done = call("tools/convert_checkpoint.py", sources["plain"], "plain", "--to_segments", "16")
    assert "largest difference 0" in done.out and load_model(tmp_path / "plain").num_segments == 16


@pytest.mark.parametrize("segments", [None, 8])
def test_a_conversion_with_other_scores_is_not_written(
    segments: int | None, sources: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(state: dict[str, torch.Tensor], dialect: str) -> dict[str, torch.Tensor]:
        return {
            name: value + 0.01 if name == "base_model.layer4.1.net.conv2.weight" else value
            for name, value in state.items()
        }

    (tmp_path / "out").write_text("older")
    monkeypatch.setattr(conversion, "to_dialect", spoil)
    with pytest.raises(InputError, match=r"out: not written: (its logits differ|.* differs from the source)"):
        convert_checkpoint(str(sources["tam"]), str(tmp_path / "out"), "ours", segments=segments)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["older"]


def test_checkpoints_of_training_describe_themselves_completely(call: Call, tmp_path: Path) -> None:
    for number in range(4):
        media.write_video(tmp_path / f"{number}.mp4", 8, seed=number)
    (tmp_path / "l.txt").write_text("".join(f"{number}.mp4 8 {number % 2}\n" for number in range(4)))
    (tmp_path / "c.txt").write_text("up\ndown\n")
    train = ["online_main.py", "custom", "RGB", "--train_list", "l.txt", "--val_list", "l.txt", "--root_path", ".",
             "--class_names", "c.txt", "--arch", "resnet18", "--pretrain", "none", "--num_segments", "3", "--tam",
             "--input_size", "32", "--npb", "--device", "cpu", "-b", "1", "-j", "0", "--store_name", "run",
             "--eval-freq", "1", "--epochs", "2"]  # fmt: skip
    stopped = call(*train, "--max_steps", "4")
    assert "stopped by --max_steps 4 with 1 of 2 epochs done: best validation" in stopped.out
    call(*train, "--max_steps", "2", "--resume", "auto", "--ckpt_interval", "1", "--keep", "3")
    path = tmp_path / "checkpoints/run/ckpt.pth.tar"
    (facts,) = json.loads(call("tools/show_checkpoint.py", path, "--json").out)
    assert not [key for key, value in facts.items() if value is None]
    assert (facts["class_names"], facts["sampling"], facts["scale_size"]) == (["up", "down"], "uniform", 36)
    results = facts["results"]
    assert (results["epochs_done"], results["steps_done"]) == (1, 6) and results["best_top1"] >= results["val_top1"]
    assert results["val_scored"] == 4 and facts["recipe"]["lr"] == 0.01 and facts["dialect"] == "ours"

    # A checkpoint saved within the second epoch has the validation results of the first.
    earlier = torch.load(path.with_name("ckpt.00000005.pth.tar"), weights_only=True)["meta"]["results"]
    assert (earlier["epochs_done"], earlier["steps_done"], earlier["val_scored"]) == (1, 5, 4)


def test_the_last_epoch_with_several_labels_has_no_top1(tmp_path: Path) -> None:
    figures = {"train_loss": 0.5, "train_top1": 1.0, "train_top5": 2.0, "val_loss": 0.25, "val_mAP": 75.0}
    results = {"best_mAP": 80.0, "epochs_done": 3, "val_top1": 90.0, "val_top5": 95.0, **figures}
    meta = {"multi_label": True, "results": results}
    torch.save({"state_dict": FILLED, "meta": {**META, **meta}}, tmp_path / "c")
    text = "\n".join(describe_facts(checkpoint_facts(tmp_path / "c")))
    assert "best validation mAP 80.00 %; epochs done 3; last: train loss 0.500; val loss 0.250, mAP 75.00 %" in text


@pytest.mark.parametrize("rename", [lambda name: "module." + name, to_mmaction2], ids=["published", "mmaction2"])
def test_facts_that_a_file_does_not_contain_are_unknown(
    rename: Callable[[str], str], call: Call, tmp_path: Path
) -> None:
    state = {rename(name): value for name, value in FILLED.items()}
    torch.save({"state_dict": state, "epoch": 100, "best_prec1": torch.tensor(76.1)}, tmp_path / "c")
    facts = checkpoint_facts(tmp_path / "c")
    assert facts["dialect"] == ("published" if rename("x") == "module.x" else "mmaction2")
    for key in ("class_names", "dataset", "sampling", "input_size", "mean", "recipe", "dropout"):
        assert facts[key] is None
    assert facts["results"] == {"best_top1": pytest.approx(76.1), "epochs_done": 100}
    text = "\n".join(describe_facts(facts))
    assert "TANet-50 on RGB; segments 8" in text and "400, names and order unknown" in text
    assert text.count("unknown") >= 7
    # The published figures are 25.6 M parameters, and 43.0 G multiply-adds for eight frames.
    assert round(facts["parameters"] / 1e6, 1) == 25.6 and facts["tensors"] == 544
    macs = {view["pixels"]: view["macs"] for view in facts["compute"]}
    assert macs[256] == pytest.approx(43.0e9, rel=0.01) and macs[224] == pytest.approx(
        macs[256] * (224 / 256) ** 2, rel=0.01
    )


def test_files_that_are_no_checkpoints_are_named_among_others(
    call: Call, sources: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "text").write_text("nothing")
    done = call("tools/show_checkpoint.py", "text", sources["plain"], status=1)
    assert done.err.startswith("error: text: not a readable checkpoint") and "TSN (ResNet-18)" in done.out
    assert call("tools/show_checkpoint.py", "text", status=2).out == ""
