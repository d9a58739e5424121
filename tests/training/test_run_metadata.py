"""A run records exactly what was run, and a resumed run reports what has changed."""

import argparse
import io
import json
import subprocess
from pathlib import Path
from typing import Any

import av
import media
import pytest
import torch
from conftest import Call

from ops.common.device import compute_of
from ops.common.errors import InputError
from ops.data.file_sizes import SAMPLE, changed_files, sampled_places, sampled_sizes
from ops.data.frames import FrameReader
from ops.data.lists import read_records
from ops.models.checkpoint import Checkpoint
from ops.models.checkpoint_names import ModelSpec
from ops.training.resume import changed_arithmetic, changed_settings, differing_recipe, keep_threads
from ops.training.run_metadata import arithmetic, software, source_commit

SPEC = ModelSpec("resnet18", 2, 3, "RGB", True, False)
CPU = torch.device("cpu")
ARGS = {"lr": 0.01, "batch_size": 4, "no_fc_lr5": False, "lr_steps": [50], "workers": 2, "print_freq": 20}


@pytest.mark.parametrize(
    ("now", "meta", "named"),
    [
        ({}, {}, []),
        ({"workers": 0, "print_freq": 1}, {}, []),
        ({"lr": 0.02}, {}, ["lr 0.02, before 0.01"]),
        ({"no_fc_lr5": True, "lr_steps": [5]}, {}, ["lr_steps [5], before [50]", "no_fc_lr5 True, before False"]),
        ({}, {"processes": 2}, ["1 process, before 2"]),
        ({}, {"versions": {"torch": "1.0"}}, [f"torch {torch.__version__}, before 1.0"]),
        ({}, {"lists_sha256": {"t": "1", "v": "other"}}, ["the content of the lists train.txt, val.txt"]),
        ({}, {"lists_sha256": {"moved/train.txt": "1", "v": "2"}}, []),
        ({}, {"lists_sha256": {"v": "2", "train.txt": "1"}}, ["the content of the lists train.txt, val.txt"]),
        (
            {},
            {"versions": {"av": "1.0", "python": software()["versions"]["python"]}},
            [f"av {av.__version__}, before 1.0"],
        ),
        ({"lr": 0.02}, {"recipe": None}, []),  # a checkpoint without a recipe
    ],
)
def test_changed_settings_that_matter_are_named(now: dict[str, Any], meta: dict[str, Any], named: list[str]) -> None:
    origin = Checkpoint("c.pth.tar", {}, SPEC, {"recipe": ARGS, **meta})
    lists = {"train.txt": "1", "val.txt": "2"}
    assert changed_settings(argparse.Namespace(**{**ARGS, **now}), origin, lists) == named


@pytest.mark.parametrize(
    ("recipe", "now", "said"),
    [
        ({"freeze": "stages 2", "ema": 0.9}, {"freeze": "stages 2", "ema": 0.9}, ""),
        ({"freeze": "none", "ema": 0.9}, {}, "--ema is 0.9 in the checkpoint, but not set here"),
        ({"freeze": "none"}, {"freeze": "backbone"}, "--freeze is none in the checkpoint, but backbone here"),
        ({"freeze": "none"}, {"freeze": "backbone", "evaluate": True}, ""),
        ({}, {}, ""),  # from a version without these flags
        (None, {"freeze": "backbone"}, "--freeze is none in the checkpoint, but backbone here"),
    ],
)
def test_a_run_cannot_continue_with_other_contents_of_its_checkpoints(
    recipe: object, now: dict[str, Any], said: str
) -> None:
    args = argparse.Namespace(**{"freeze": "none", "ema": None, "evaluate": False, **now})
    assert differing_recipe(args, Checkpoint("c.pth.tar", {}, SPEC, {"recipe": recipe})) == said


def test_a_run_says_what_ran_and_a_resumed_one_what_changed(call: Call, tmp_path: Path) -> None:
    media.write_video(tmp_path / "a.mp4", 8)
    (tmp_path / "l.txt").write_text("a.mp4 8 0\na.mp4 8 1\n")
    train = ["online_main.py", "custom", "RGB", "--train_list", "l.txt", "--val_list", "l.txt", "--root_path", "."]
    train += ["--num_class", "2", "--arch", "resnet18", "--pretrain", "none", "--num_segments", "3", "-b", "2"]
    train += ["--input_size", "32", "--device", "cpu", "-j", "0", "--store_name", "run", "--resume", "auto"]
    assert "not as in the run so far" not in call(*train, "--epochs", "1").err
    assert "not as in the run so far" not in call(*train, "--epochs", "1").err
    folder = tmp_path / "checkpoints" / "run"
    facts = json.loads((folder / "args.json").read_text())
    assert facts["commit"] == source_commit() and facts["versions"]["torch"] == torch.__version__
    assert facts["decoder"].startswith("PyAV") and list(facts["lists_sha256"]) == ["l.txt"]
    meta = torch.load(folder / "ckpt.pth.tar", weights_only=True)["meta"]
    assert meta["commit"] == facts["commit"] and meta["lists_sha256"] == facts["lists_sha256"]
    again = call(*train, "--epochs", "2", "--lr", "0.5", "--no_fc_lr5", status=2)
    warnings = [line for line in again.err.splitlines() if "not as in the run so far" in line]
    assert any(line.endswith("lr 0.5, before 0.01") for line in warnings)
    assert any(line.endswith("no_fc_lr5 True, before False") for line in warnings)


def test_videos_that_were_replaced_are_named(call: Call, tmp_path: Path) -> None:
    for number in range(2):
        media.write_video(tmp_path / f"{number}.mp4", 8, seed=number)
    (tmp_path / "l.txt").write_text("0.mp4 8 0\n1.mp4 8 1\n")
    train = ["online_main.py", "custom", "RGB", "--train_list", "l.txt", "--val_list", "l.txt", "--root_path", "."]
    train += ["--num_class", "2", "--arch", "resnet18", "--pretrain", "none", "--num_segments", "3", "-b", "2"]
    train += ["--input_size", "32", "--device", "cpu", "-j", "0", "--store_name", "run", "--resume", "auto"]
    call(*train, "--epochs", "1")
    (tmp_path / "0.mp4").touch()  # a new time, as on a copied file
    assert "not as in the run so far" not in call(*train, "--epochs", "1").err
    media.write_video(tmp_path / "1.mp4", 20, seed=7)
    assert "the files of 1 of 2 checked entries of l.txt, such as 1.mp4" in call(*train, "--epochs", "1").err


def test_a_checkpoint_that_was_replaced_is_named(call: Call, tmp_path: Path) -> None:
    media.write_video(tmp_path / "a.mp4", 8)
    (tmp_path / "l.txt").write_text("a.mp4 8 0\na.mp4 8 1\n")
    train = ["online_main.py", "custom", "RGB", "--train_list", "l.txt", "--val_list", "l.txt", "--root_path", "."]
    train += ["--num_class", "2", "--arch", "resnet18", "--pretrain", "none", "--num_segments", "3", "-b", "2"]
    train += ["--input_size", "32", "--device", "cpu", "-j", "0", "--lr", "0.001"]
    for name in ("run", "other"):
        call(*train, "--epochs", "1", "--store_name", name)
    last = tmp_path / "checkpoints/run/ckpt.pth.tar"
    own = last.read_bytes()
    again = [*train, "--store_name", "run", "--resume"]
    assert "not as in the run so far" not in call(*again, "auto", "--epochs", "1").err
    for changed in ((tmp_path / "checkpoints/other/ckpt.pth.tar").read_bytes(), edited(own)):
        last.unlink()  # a hard link to the best one, which must not change
        last.write_bytes(changed)
        said = "checkpoints/run/ckpt.pth.tar, which was replaced or changed since the run saved it"
        for resume in ("auto", last):  # a warning only: the user may want this
            lines = call(*again, resume, "--epochs", "1").err.splitlines()
            assert sum(line.endswith(said) for line in lines) == 1
    assert "not as in the run so far" not in call(*again, "checkpoints/other/ckpt.pth.tar", "--epochs", "1").err


def edited(checkpoint: bytes) -> bytes:
    """Return the checkpoint with one weight changed."""
    content = torch.load(io.BytesIO(checkpoint), weights_only=True)
    content["state_dict"]["new_fc.bias"][0] += 1
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


@pytest.mark.parametrize(
    ("before", "said"),
    [
        ([3, 5], ""),
        ([3, 6], "the files of 1 of 2 checked entries of l.txt, such as b"),
        ([4, -1], "the files of 2 of 2 checked entries of l.txt, such as a"),
        ([3], ""),  # from another list, which has its own message
        (None, ""),  # a checkpoint without sizes
    ],
)
def test_changed_file_sizes_are_reported_with_the_first_file(
    before: object, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "l.txt").write_text("a 8 0\nb 8 1\n")
    monkeypatch.chdir(tmp_path)
    assert changed_files(before, [3, 5], read_records("l.txt", False)) == said


def test_of_long_lists_the_same_files_are_looked_at_each_time() -> None:
    places = sampled_places(650_000)
    assert places == sampled_places(650_000) == sorted(set(places)) and len(places) == SAMPLE
    assert places[0] < 10_000 and places[-1] > 640_000 and sampled_places(3) == [0, 1, 2]


def test_the_first_image_of_a_frame_folder_is_checked(tmp_path: Path) -> None:
    (tmp_path / "v").mkdir()
    (tmp_path / "v/img_00001.jpg").write_bytes(b"1234567")
    (tmp_path / "l.txt").write_text("v 1 0\ngone 1 0\n")
    reader = FrameReader("img_{index:05d}.jpg")
    assert sampled_sizes(read_records(tmp_path / "l.txt", True), str(tmp_path), reader) == [7, -1]


def test_the_commit_is_that_of_the_checkout(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        author = ["-c", "user.name=me", "-c", "user.email=me@example.org"]
        command = ["git", "-C", str(tmp_path), *author, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    (tmp_path / "file").write_text("one")
    assert source_commit(tmp_path / ".") == "unknown"
    git("init")
    git("add", "file")
    git("commit", "-m", "first")
    source_commit.cache_clear()
    assert source_commit(tmp_path) == git("rev-parse", "HEAD")
    assert source_commit(unpacked) == "unknown", "inside somebody else's checkout"
    (tmp_path / "file").write_text("two")
    source_commit.cache_clear()
    assert source_commit(tmp_path) == git("rev-parse", "HEAD") + "+changes"
    source_commit.cache_clear()


def test_the_software_is_named() -> None:
    assert set(software()["versions"]) == {"python", "torch", "torchvision", "numpy", "opencv", "av"}


def test_changes_that_affect_rounding_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    here = arithmetic(torch.device("cpu"))
    assert here["threads"] == torch.get_num_threads() and here["device"]
    origin = Checkpoint("c.pth.tar", {}, SPEC, {"arithmetic": {**here, "threads": 64}})
    assert changed_arithmetic(origin, here) == [f"threads {here['threads']}, before 64"]
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    changed = changed_arithmetic(
        Checkpoint("c.pth.tar", {}, SPEC, {"arithmetic": here}), arithmetic(torch.device("cpu"))
    )
    assert changed == ["MKL_CBWR COMPATIBLE, before not set"]
    monkeypatch.delenv("MKL_CBWR")
    monkeypatch.setenv("OMP_THREAD_LIMIT", "1")  # fewer threads than torch.get_num_threads() says
    assert changed_arithmetic(Checkpoint("c.pth.tar", {}, SPEC, {"arithmetic": here}), arithmetic(CPU)) == [
        "OMP_THREAD_LIMIT 1, before not set"
    ]
    assert changed_arithmetic(Checkpoint("c.pth.tar", {}, SPEC, {}), here) == []  # a checkpoint without this entry


@pytest.mark.parametrize(("stored", "cores", "taken"), [(2, 4, 2), (4, 4, 4), (8, 4, 1), (None, 4, 1), (0, 4, 1)])
def test_a_resumed_run_takes_as_many_threads_as_it_had(
    stored: int | None, cores: int, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.training.resume.usable_cores", lambda: cores)
    torch.set_num_threads(1)
    keep_threads(Checkpoint("c.pth.tar", {}, SPEC, {"arithmetic": {"threads": stored}}), torch.device("cpu"))
    assert torch.get_num_threads() == taken


def test_threads_that_follow_the_load_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_DYNAMIC", "true")
    args = argparse.Namespace(amp="off", deterministic=False, channels_last=False, compile=False)
    with pytest.raises(InputError, match="OMP_DYNAMIC is set"):
        compute_of(args, torch.device("cpu"))
