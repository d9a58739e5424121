"""Files not made by this project are never removed or overwritten; the tool ends with one line and status 2 instead."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import media
import numpy as np
import pytest
import torch
from conftest import Call
from PIL import Image

from ops.common import storage, tensor_files
from ops.common.errors import InputError
from ops.data import motion
from ops.prepare.image_folders import write_image
from ops.prepare.output_paths import names_by
from ops.prepare.ownership import is_marked, is_own_folder, recorded_stamps
from ops.training import checkpoint_saver
from ops.training.checkpoint_saver import CheckpointSaver, older_checkpoints

NAMES = names_by("img_{index:05d}.jpg")


def state_of(folder: Path) -> dict[str, bytes]:
    """The content of every file below `folder`, except in hidden folders."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path): path.read_bytes() for path in paths if "/." not in str(path.relative_to(folder.parent))}


@pytest.mark.parametrize("extension", ["jpg", "png", "bmp"])
@pytest.mark.parametrize("shape", [(9, 14, 3), (9, 14)])
def test_an_image_carries_a_mark_and_the_same_pixels(extension: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    pixels = np.broadcast_to(np.arange(shape[1], dtype=np.uint8)[:, None] * 9, (*shape[:2], 3))
    pixels = np.ascontiguousarray(pixels if len(shape) == 3 else pixels[..., 0])
    path = tmp_path / f"x.{extension}"
    write_image(str(path), pixels, 100)
    media.Image.fromarray(pixels).save(tmp_path / f"other.{extension}")
    assert is_marked(path) and not is_marked(tmp_path / f"other.{extension}") and not is_marked(tmp_path / "gone")
    with Image.open(path) as image:
        read = np.array(image)
    read = read[..., ::-1] if read.ndim == 3 else read
    assert np.abs(read.astype(int) - pixels.astype(int)).max() <= (9 if extension == "jpg" else 0)


def clip(folder: Path) -> None:
    (folder / "videos").mkdir(exist_ok=True)
    media.write_video(folder / "videos" / "clip.mp4", 4)


EXTRACT = ("tools/extract_frames.py", "videos", "-o", "out", "-j", "1")
FLOW = ("tools/extract_flow.py", "videos", "-o", "out", "-j", "1")
RESIZE = ("tools/resize_videos.py", "videos", "-o", "out", "-j", "1")
LISTS = ("tools/gen_labels.py", "folder", "--data", "classes", "--out", "out", "-j", "1")
KINDS = ("--val_fraction", "0.5")


def frames_of_another(folder: Path) -> None:
    media.write_frames(folder / "out/clip", 3, "img_{index:05d}.jpg")


def a_link_to_frames(folder: Path) -> None:
    media.write_frames(folder / "elsewhere", 3, "img_{index:05d}.jpg")
    (folder / "out").mkdir()
    (folder / "out/clip").symlink_to(folder / "elsewhere")


def flow_of_another(folder: Path) -> None:
    media.write_flow(folder / "out/clip", 3, "flow_{axis}_{index:05d}.jpg")


def text(name: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("mine,and,dear\n")

    return write


def a_video_of_another(folder: Path) -> None:
    (folder / "out").mkdir()
    media.write_video(folder / "out/clip.mp4", 3)


FOREIGN = {
    "frames": (EXTRACT, frames_of_another, "out/clip"),
    "link": (EXTRACT, a_link_to_frames, "out/clip"),
    "report": (EXTRACT, text("out/report.csv"), "out/report.csv"),
    "flow": (FLOW, flow_of_another, "out/clip"),
    "video": (RESIZE, a_video_of_another, "out/clip.mp4"),
    "times": (RESIZE, text("out/decode_times.csv"), "out/decode_times.csv"),
    "list": ((*LISTS, *KINDS), text("out/val.txt"), "out/val.txt"),
    "missing": ((*LISTS, *KINDS), text("out/missing_train.txt"), "out/missing_train.txt"),
    "classes": ((*LISTS, *KINDS), text("out/class_names.txt"), "out/class_names.txt"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_files_are_kept_and_nothing_is_started(kind: str, tmp_path: Path, call: Call) -> None:
    command, make, place = FOREIGN[kind]
    clip(tmp_path)
    for name in ("a", "b"):
        shutil.copytree(tmp_path / "videos", tmp_path / "classes" / name)
        shutil.copy(tmp_path / "videos/clip.mp4", tmp_path / "classes" / name / "more.mp4")
    make(tmp_path)
    before = state_of(tmp_path)
    done = call(*command, status=2)
    assert done.err.startswith(f"error: {place}: already exists and was not made by this tool"), done.err
    assert done.err.count("\n") == 1 and state_of(tmp_path) == before
    shutil.move(tmp_path / place, tmp_path / "away")
    call(*command)
    call(*command)  # its own files may be overwritten


@pytest.mark.parametrize("command", [EXTRACT, FLOW, RESIZE])
def test_a_tool_replaces_its_own_output_if_settings_differ(
    command: tuple[str, ...], tmp_path: Path, call: Call
) -> None:
    clip(tmp_path)
    call(*command)
    shutil.copytree(tmp_path / "out", tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy/.journal")
    other = ("--crf", "30") if command is RESIZE else ("--quality", "50")
    before = state_of(tmp_path / "out")
    call(*command, *other)
    assert state_of(tmp_path / "out") != before
    call(*command[:3], "copy", *command[4:], *other)  # a copy without the journal is recognised, too


def test_one_foreign_image_keeps_a_folder_from_being_replaced(tmp_path: Path, call: Call) -> None:
    """The check at the start looks only at the first and last image; before a folder is replaced, at all of them."""
    clip(tmp_path)
    call(*EXTRACT)
    mine = tmp_path / "out/clip/img_00002.jpg"
    mine.unlink()
    mine.write_bytes(b"mine, named as theirs")
    before = state_of(tmp_path / "out/clip")
    said = call(*EXTRACT, "--quality", "50", status=1).out
    assert "clip.mp4: already exists and was not made by this tool" in said and said.count("1 failed") == 1
    assert state_of(tmp_path / "out/clip") == before


def test_frames_of_earlier_versions_are_known_by_the_journal(tmp_path: Path, call: Call) -> None:
    clip(tmp_path)
    call(*EXTRACT)
    folder = tmp_path / "out/clip"
    stamp = storage.stamp_of(folder)
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes().replace(b"made by TAM", b"           "))
    assert storage.stamp_of(folder) == stamp
    recorded_stamps.cache_clear()
    assert is_own_folder(str(folder), NAMES, str(tmp_path / "out"))
    recorded_stamps.cache_clear()
    call(*EXTRACT, "--quality", "60")
    (folder / "img_00009.jpg").write_bytes(b"mine, named as theirs")
    recorded_stamps.cache_clear()
    assert not is_own_folder(str(folder), NAMES, str(tmp_path / "out"))
    call(*EXTRACT, "--quality", "70", status=2)
    assert (folder / "img_00009.jpg").read_bytes() == b"mine, named as theirs"


def test_an_edited_list_is_not_written_over(tmp_path: Path, call: Call) -> None:
    clip(tmp_path)
    shutil.copytree(tmp_path / "videos", tmp_path / "classes/a")
    shutil.copy(tmp_path / "videos/clip.mp4", tmp_path / "classes/a/more.mp4")
    call(*LISTS, *KINDS)
    call(*LISTS, "--val_fraction", "0")
    edited = (tmp_path / "out/train.txt").read_text() + "by/hand.mp4 4 0\n"
    (tmp_path / "out/train.txt").write_text(edited)
    done = call(*LISTS, "--val_fraction", "0", status=2)
    assert "out/train.txt: already exists" in done.err and (tmp_path / "out/train.txt").read_text() == edited


def test_clean_lists_are_not_written_over_either(tmp_path: Path, call: Call) -> None:
    clip(tmp_path)
    (tmp_path / "l.txt").write_text("videos/clip.mp4 4 0\n")
    check = ("tools/check_dataset.py", "custom", "--train_list", "l.txt", "--root_path", ".", "--num_class", "1")
    check += ("--write_clean", "--output", "out", "-j", "1")
    call(*check)
    call(*check)
    for name in ("l.clean.txt", "problems.csv", "report.json"):
        content = (tmp_path / "out" / name).read_bytes()
        (tmp_path / "out" / name).write_text("mine")
        assert f"out/{name}: already exists" in call(*check, status=2).err
        assert (tmp_path / "out" / name).read_text() == "mine"
        (tmp_path / "out" / name).write_bytes(content)
    call(*check)


@pytest.mark.parametrize("place", ["videos", "motion_val_list.txt", "annotations/class_names.txt"])
def test_a_dataset_of_that_name_is_not_replaced(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(motion, "PAIRS", {"train": 1, "val": 1})
    root = tmp_path / "Motion"
    (root / place).parent.mkdir(parents=True)
    if place == "videos":
        (root / place).mkdir()
        (root / place / "mine.mp4").write_text("mine")
    else:
        (root / place).write_text("mine\n")
    before = state_of(root)
    with pytest.raises(InputError, match=rf"{place}: is in the place of the built-in dataset") as error:
        motion.make(root, "videos", shown=False)
    assert "\n" not in str(error.value) and state_of(root) == before


def test_other_versions_of_the_built_in_dataset_are_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(motion, "PAIRS", {"train": 1, "val": 1})
    motion.make(tmp_path / "M", "videos", shown=False)
    motion.make(tmp_path / "M", "frames", shown=False)
    monkeypatch.setattr(motion, "VERSION", 3)
    motion.make(tmp_path / "M", "frames", shown=False)
    for part in ("videos", "frames"):
        assert (tmp_path / "M" / part / "made").read_text().startswith("version 3")


def test_a_lock_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "dear.txt").write_text("mine")
    (tmp_path / ".M.lock").symlink_to(tmp_path / "dear.txt")
    with pytest.raises(InputError, match=r"\.M\.lock: cannot be used as a lock file"):
        motion.make(tmp_path / "M", "videos", shown=False)
    assert (tmp_path / "dear.txt").read_text() == "mine"


def test_checkpoints_of_others_are_not_cleared_away(tmp_path: Path) -> None:
    mine = [tmp_path / name for name in ("ckpt.1.pth.tar", "ckpt.20240101.pth.tar", "ckpt.00000002.pth.tar")]
    for path in mine:
        path.write_text("mine")
    run = CheckpointSaver(tmp_path, keep=1)
    for step in (1, 2, 3, 4):
        content = {"weights": torch.full((9,), float(step))}
        run.save(lambda path, content=content: tensor_files.write_tensors(path, content), step, is_best=True)
    assert [path.read_text() for path in mine] == ["mine"] * 3
    own = [path.name for path in older_checkpoints(tmp_path) if path not in mine]
    assert own == ["ckpt.00000004.pth.tar", "ckpt.00000003.pth.tar"]


def test_half_written_files_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    names = (
        ".curves.png.x1y2.tmp",
        ".log.csv.x1y2.tmp",
        ".ckpt.pth.tar.x1y2.tmp",
        f".{checkpoint_saver.KEPT}.x1y2.tmp",
        f".{checkpoint_saver.SAVED}.x1y2.tmp",
    )
    for name in (*names, ".mine.tmp"):
        (tmp_path / name).touch()
    CheckpointSaver(tmp_path, keep=0).save(lambda path: tensor_files.write_tensors(path, {}), 1, is_best=False)
    assert sorted(os.listdir(tmp_path)) == [".mine.tmp", checkpoint_saver.LAST, checkpoint_saver.SAVED]
