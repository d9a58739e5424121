"""With `--frame_template`, every tool and script that reads frames accepts only names of this form."""

from pathlib import Path

import pytest
import torch
from conftest import Call
from media import draw, write_frames, write_video
from small_runs import save_weights

from ops.common.errors import InputError, MediaError
from ops.data.dataset_configs import dataset_config
from ops.data.frames import frame_reader
from ops.data.lists import read_records
from ops.data.options import frame_template


def test_only_names_of_the_given_form_are_accepted(tmp_path: Path) -> None:
    """A wrong `--frame_template` is reported, even if files with other usual names or extensions exist."""
    folder = write_frames(tmp_path / "clip", 4, "img_{index:05d}.png")
    (tmp_path / "list.txt").write_text("clip 4 0\n")
    records = read_records(tmp_path / "list.txt", counts_in_pairs=True)
    for text, pattern in (("shot-%04d.png", "shot-{index:04d}.png"), ("img_%05d.jpg", "img_{index:05d}.jpg")):
        config = dataset_config("custom").with_template(frame_template(text))
        assert config.rgb == pattern
        with pytest.raises(InputError) as error:
            frame_reader(config, "RGB").prepare(records, tmp_path)
        assert str(error.value) == (
            f"{folder}: no frames named {text} (--frame_template), starting at 0 or 1; "
            "it contains img_00001.png, img_00002.png, img_00003.png"
        )
    config = dataset_config("custom").with_template(frame_template("img_%05d.png"))
    reader = frame_reader(config, "RGB").prepare(records, tmp_path)
    with reader.open(str(folder), 4) as source:
        assert torch.equal(source.read([3])[0], torch.from_numpy(draw(3)).permute(2, 0, 1))
    other = write_frames(tmp_path / "other", 4, "img_{index:05d}.bmp")
    with pytest.raises(MediaError, match=r"no frames named img_%05d\.png .*it contains img_00001\.bmp"):
        reader.open(str(other), 4).__enter__()


def test_no_tool_passes_over_a_wrong_frame_template(tmp_path: Path, call: Call) -> None:
    for name in ("jump/a", "run/b"):
        write_frames(tmp_path / "clips" / name, 4, size=(32, 32))
    (tmp_path / "l.txt").write_text("jump/a 4 0\nrun/b 4 1\n")
    save_weights(tmp_path / "w.pth.tar", 2, 2)
    lists = ("--root_path", "clips", "--num_class", 2)
    commands = [
        ("main.py", "custom", "RGB", "--train_list", "l.txt", "--val_list", "l.txt", *lists, "--arch", "resnet18",
         "--pretrain", "none", "--num_segments", 2, "--input_size", 32, "--device", "cpu", "-j", 0, "--npb", "-b", 2,
         "--epochs", 1),
        ("test_models.py", "custom", "--weights", "w.pth.tar", "--test_list", "l.txt", *lists, "--device", "cpu",
         "--input_size", 32, "-j", 0),
        ("tools/check_dataset.py", "custom", "--test_list", "l.txt", *lists),
        ("tools/gen_labels.py", "folder", "--data", "clips", "--out", "lists", "--kind", "frames"),
        ("tools/extract_flow.py", "clips", "-o", "flow", "--kind", "frames", "--keep_dirs"),
    ]  # fmt: skip
    for command in commands:
        wrong = call(*command, "--frame_template", "shot-%04d.png", status=2).err
        assert wrong == (
            "error: clips/jump/a: no frames named shot-%04d.png (--frame_template), starting at 0 or 1; "
            "it contains img_00001.png, img_00002.png, img_00003.png\n"
        ), command
        flow = call(*command, "--frame_template", "flow_{axis}_%05d.png", status=2).err
        assert flow == "error: --frame_template flow_{axis}_{index:05d}.png: is for frames of Flow, not RGB\n", command
        call(*command, "--frame_template", "img_%05d.png")


def test_a_frame_template_does_not_go_with_videos(tmp_path: Path, call: Call) -> None:
    (tmp_path / "clips/jump").mkdir(parents=True)
    write_video(tmp_path / "clips/jump/a.mp4", 4)
    (tmp_path / "l.txt").write_text("jump/a.mp4 4 0\n")
    for command in (
        ("tools/check_dataset.py", "custom", "--test_list", "l.txt", "--root_path", "clips", "--num_class", 1),
        ("tools/gen_labels.py", "folder", "--data", "clips", "--out", "lists"),
        ("tools/extract_flow.py", "clips", "-o", "flow"),
    ):
        done = call(*command, "--frame_template", "shot-%04d.png", status=2)
        assert "--frame_template shot-{index:04d}.png: is for frames of RGB and Flow, not videos" in done.err
        call(*command)
