"""Published checkpoints of TSM and MMAction2 go through every command, and every temporal module through training."""

import csv
import json
from pathlib import Path

import media
import numpy as np
import pytest
from conftest import Call, NewFolder
from family import FILE_NAMES, case_of, write_case

from ops.data.sampling import view_indices
from ops.models.checkpoint import load_model, read_checkpoint

TINY = ("--arch", "resnet18", "--pretrain", "none", "--num_segments", "3", "--input_size", "32", "-b", "2", "-j", "0")


@pytest.fixture(scope="module")
def videos(new_folder: NewFolder) -> Path:
    """A folder of four videos of two classes, with their `list.txt`."""
    folder = new_folder("videos")
    lines = []
    for number in range(4):
        media.write_video(folder / f"{number}.mp4", 20 + number, seed=number)
        lines.append(f"{number}.mp4 {20 + number} {number % 2}\n")
    (folder / "list.txt").write_text("".join(lines))
    return folder


@pytest.mark.parametrize("name", ["tsm_r50_8f_k400", "tsm_mobilenetv2_8f_k400", "mma_tsm_nl_r50_k400"])
def test_a_published_checkpoint_goes_through_every_command(name: str, videos: Path, call: Call, tmp_path: Path) -> None:
    weights = write_case(case_of(name), tmp_path / FILE_NAMES[name])
    sizes = ("--input_size", "64")
    tested = call(
        "online_test_models.py", "kinetics", "--weights", weights, "--test_segments=8", "--test_crops=1",
        "--batch_size=64", "--test_list", videos / "list.txt", "--root_path", videos, "--output", "out", "-j", "0",
        *sizes,
    )  # fmt: skip
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    assert metrics["scored"] == 4 and "uniform-1" in metrics["protocol"] and "with TSM" in metrics["protocol"]
    assert "8 frames of 64 x 64" in tested.out
    call("tools/predict.py", videos / "0.mp4", "--weights", weights, "--json", "best.json", *sizes)
    (predicted,) = json.loads((tmp_path / "best.json").read_text())["videos"]
    with (tmp_path / "out/predictions.csv").open(newline="") as file:
        assert next(csv.DictReader(file))["prediction"] == predicted["top"][0]["class"]
    call("tools/convert_checkpoint.py", weights, "there.pth", "--to", "mmaction2")
    call("tools/convert_checkpoint.py", "there.pth", "back.safetensors", "--to", "published")
    before, after = read_checkpoint(weights), read_checkpoint(tmp_path / "back.safetensors")
    assert after.spec == before.spec and after.num_segments == 8 and after.dialect == "published"
    assert "TSM (" in call("tools/show_checkpoint.py", "back.safetensors").out
    call(
        "online_main.py", "custom", "RGB", "--arch", before.spec.arch, "--shift", "--num_segments", "8", "--tune_from",
        weights, "--num_class", "2", "--train_list", videos / "list.txt", "--val_list", videos / "list.txt",
        "--root_path", videos, "--epochs", "1", "--input_size", "32", "-b", "2", "-j", "0", "--npb",
        "--lr", "1e-5", "--store_name", "t", *(("--non_local",) if before.spec.temporal.non_local else ()),
    )  # fmt: skip
    tuned = load_model(tmp_path / "checkpoints/t/ckpt.pth.tar")
    assert tuned.temporal == before.spec.temporal and tuned.num_classes == 2


@pytest.mark.parametrize(
    "flags",
    [
        ["--temporal", "tsm", "--shift_place", "block", "--shift_div", "4"],
        ["--temporal", "tam", "--tam_branches", "local", "--temporal_stages", "2", "3"],
        ["--temporal", "pool", "--temporal_place", "after_conv2"],
        ["--temporal", "i3d", "--non_local"],
    ],
    ids=" ".join,
)
def test_modules_are_trained_resumed_tested_and_explained(
    flags: list[str], videos: Path, call: Call, tmp_path: Path
) -> None:
    lists = ("--train_list", videos / "list.txt", "--val_list", videos / "list.txt", "--root_path", videos)
    train = ("online_main.py", "custom", "RGB", *TINY, *flags, *lists, "--num_class", "2", "--npb", "--store_name", "t")
    call(*train, "--epochs", "2", "--max_steps", "2")
    refused = call("online_main.py", "custom", "RGB", *TINY, *lists, "--num_class", "2", "--npb", "--store_name", "t",
                   "--temporal", "tim", "--epochs", "2", "--resume", "auto", status=2)  # fmt: skip
    assert "cannot be resumed: --temporal is" in refused.err
    call(*train, "--epochs", "2", "--resume", "auto")
    weights = tmp_path / "checkpoints/t/ckpt.pth.tar"
    assert read_checkpoint(weights).rest["epoch"] == 2
    call("online_test_models.py", "custom", "--weights", weights, "--test_list", videos / "list.txt", "--root_path",
         videos, "--output", "out", "-j", "0", "--twice_sample")  # fmt: skip
    assert "2 clips (twice)" in json.loads((tmp_path / "out/metrics.json").read_text())["protocol"]
    call("tools/explain.py", videos / "0.mp4", "--weights", weights, "--output", "why")
    page = (tmp_path / "why/explain.html").read_text()
    assert ("Importance of frames" in page) == ("tam" in flags) and "Where the evidence is" in page


@pytest.mark.parametrize(("n", "t"), [(100, 8), (7, 8), (33, 16), (1, 4)])
def test_twice_samples_the_centres_and_the_starts(n: int, t: int) -> None:
    tick = n / t
    centres, starts = [int(tick / 2 + tick * x) for x in range(t)], [int(tick * x) for x in range(t)]
    assert np.array_equal(view_indices(n, t, "twice"), np.array([centres, starts]) % n)


def test_two_samplings_are_refused(call: Call, videos: Path) -> None:
    told = call("online_test_models.py", "custom", "--weights", "w", "--sample", "dense-2", "--twice_sample", status=2)
    assert "--twice_sample: not allowed with argument --sample" in told.err
