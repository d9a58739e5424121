"""Problems of a dataset are found before training and reported with list, line and reason."""

import csv
import json
import os
from pathlib import Path
from typing import Any

import media
import numpy as np
import pytest
import torch
from conftest import ROOT, Call

from ops.common.errors import MediaError
from ops.common.string_array import hash_of
from ops.data.collate import ClipBatch
from ops.data.datasets import Failure
from ops.data.frames import FrameTemplate
from ops.data.lists import Record
from ops.prepare.check_report import class_balance
from ops.prepare.check_rules import Rules, label_problems, media_problems
from ops.prepare.check_video import check_folder, check_video
from ops.prepare.count_frames import frame_indices
from ops.prepare.duplicates import earlier_in_list, in_later_list, in_several_lists, names_tell
from ops.prepare.journal import Outcome
from ops.prepare.list_entries import plain_path
from ops.training import engine

TOOL = "tools/check_dataset.py"


def rows_of(path: Path) -> list[tuple[str, str, str]]:
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        return [(Path(row["list"]).name, row["line"], row["problem"]) for row in csv.DictReader(file)]


def state_of(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Modification time and content of every file below a folder."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


RULES = Rules(num_classes=3, labelled=True, counted=True, template=None, num_segments=8, dense=False)
NAMING = FrameTemplate("img_{index:05d}.jpg")
VIDEO = {"frames": 100, "claimed": 100, "broken": "", "file": "1:1", "size": 9}
FOLDER = {"frames": 100, "beyond": 0, "pattern": "img_{index:05d}.jpg", "first": 1, "broken": ""}


@pytest.mark.parametrize(
    ("found", "listed", "rules", "kinds"),
    [
        (VIDEO, 100, {}, []),
        (VIDEO, -1, {}, []),
        (VIDEO, 101, {}, ["too_few"]),
        (VIDEO, 101, {"counted": False}, ["cut_short"]),
        (VIDEO, 99, {}, ["too_many"]),
        (VIDEO | {"claimed": 0}, 100, {}, []),
        (VIDEO | {"claimed": 120}, 100, {}, ["cut_short"]),
        (VIDEO | {"broken": "only 99 of 100"}, 100, {}, ["damaged"]),
        (VIDEO | {"broken": "only 99 of 100"}, -1, {}, ["damaged"]),
        (VIDEO | {"decoded": 100}, 100, {}, []),
        (VIDEO | {"decoded": 90, "broken": "only 90 of 100"}, 100, {}, ["damaged"]),
        (VIDEO | {"decoded": 90, "broken": "only 90 of 100"}, 120, {}, ["too_few"]),
        (VIDEO | {"decoded": 90, "broken": "only 90 of 100"}, 90, {}, ["cut_short"]),
        (VIDEO | {"decoded": 90, "broken": "only 90 of 100"}, -1, {}, ["damaged"]),
        (VIDEO | {"decoded": 0, "broken": "only 0 of 100"}, -1, {}, ["damaged", "unreadable"]),
        (VIDEO | {"frames": 63, "claimed": 63}, 63, {"dense": True}, ["short"]),
        (VIDEO | {"frames": 64, "claimed": 64}, 64, {"dense": True}, []),
        (VIDEO | {"frames": 7, "claimed": 7}, 7, {}, ["short"]),
        (VIDEO | {"frames": 8, "claimed": 8}, 8, {}, []),
        (FOLDER, 100, {"template": NAMING}, []),
        (FOLDER, 101, {"template": NAMING}, ["too_few"]),
        (FOLDER, 99, {"template": NAMING}, ["too_many"]),
        (FOLDER | {"first": 0}, 100, {"template": NAMING}, ["naming"]),
        (FOLDER | {"pattern": "{index:05d}.jpg"}, 100, {"template": NAMING}, ["naming"]),
        (FOLDER | {"beyond": 3}, 100, {"template": NAMING}, ["cut_short"]),
        (FOLDER | {"beyond": 3}, 104, {"template": NAMING}, ["too_few"]),
        (FOLDER | {"broken": "img_00001.jpg is not"}, 100, {"template": NAMING}, ["damaged"]),
        (FOLDER | {"frames": 11}, 11, {"template": NAMING, "new_length": 5}, ["short"]),
        (FOLDER | {"frames": 12}, 12, {"template": NAMING, "new_length": 5}, []),
    ],
)
def test_media_are_compared_with_the_list(
    found: dict[str, Any], listed: int, rules: dict[str, Any], kinds: list[str]
) -> None:
    problems = media_problems(Record("a", listed, 0), Outcome("a", "s", found), Rules(**{**vars(RULES), **rules}))
    assert [kind for kind, _ in problems] == kinds


@pytest.mark.parametrize(
    ("labels", "labelled", "kinds"),
    [
        ((0,), True, []),
        ((2,), True, []),
        ((3,), True, ["label"]),
        (None, True, ["label"]),
        (None, False, []),
        ((3,), False, ["label"]),
        ((0, 2), True, []),
        ((), True, []),
        ((1, 3, 4), True, ["label", "label"]),
    ],
)
def test_labels_are_classes(labels: tuple[int, ...] | None, labelled: bool, kinds: list[str]) -> None:
    rules = Rules(**{**vars(RULES), "labelled": labelled})
    assert [kind for kind, _ in label_problems(labels, rules)] == kinds


def test_lists_with_several_labels_are_counted_by_label(tmp_path: Path, call: Call) -> None:
    for name in "abc":
        media.write_video(tmp_path / f"{name}.mp4", 8, seed=ord(name))
    (tmp_path / "train.txt").write_text("a.mp4 8 0,2\nb.mp4 8 -\na.mp4 8 0\n")
    (tmp_path / "val.txt").write_text("c.mp4 8 1,2,7\n")
    lists = ["--train_list", "train.txt", "--val_list", "val.txt", "--root_path", ".", "--num_class", 3, "-j", 1]
    refused = call(TOOL, "custom", *lists, status=2).err
    assert "train.txt:1: several labels, or unknown columns; --multi_label trains on several" in refused
    done = call(TOOL, "custom", *lists, "--multi_label", "--write_clean", status=1)
    assert (
        "2 of 3 classes, 0 / 1 / 2 videos per class" in done.out
        and "1.00 labels per video, 1 video with none" in done.out
    )
    assert rows_of(tmp_path / "check" / "problems.csv") == [
        ("train.txt", "3", "duplicate"), ("train.txt", "", "empty_class"), ("val.txt", "1", "label"),
        ("val.txt", "", "empty_class"),
    ]  # fmt: skip
    assert (tmp_path / "check" / "train.clean.txt").read_text() == "a.mp4 8 0,2\nb.mp4 8 -\n"
    lists = json.loads((tmp_path / "check" / "report.json").read_text())["lists"]
    assert lists["train"]["labels"] == 3 and lists["train"]["videos_per_number_of_labels"] == [1, 1, 1]


@pytest.mark.parametrize(
    ("path", "plain"),
    [("a/b", "a/b"), ("./a//b/", "a/b"), ("/a/./b", "/a/b"), ("a/../b", "a/../b"), ("-a ;#'/x y", "-a ;#'/x y")],
)
def test_spellings_of_a_path_are_normalised(path: str, plain: str) -> None:
    assert plain_path(path) == plain


def test_equal_entries_are_found_within_and_between_lists() -> None:
    hashes = np.array([hash_of(text) for text in "abcadeafgd"], np.uint64)  # three lists: abca, dea, fgd
    bounds = [0, 4, 7, 10]
    assert earlier_in_list(hashes, bounds).tolist() == [-1, -1, -1, 0, -1, -1, -1, -1, -1, -1]
    assert in_later_list(hashes, bounds).tolist() == [6, -1, -1, 6, 9, -1, -1, -1, -1, -1]
    assert not names_tell(hashes, np.arange(10, dtype=np.uint64), bounds), "other files of the same name"
    assert names_tell(hashes, hashes, bounds), "the same file twice says nothing about names"
    assert in_several_lists(hashes, bounds).tolist() == [0, 3, 4, 6, 9]
    nothing = np.empty(0, np.uint64)
    assert in_several_lists(nothing, [0, 0]).size == in_several_lists(nothing, [0]).size == 0
    assert in_later_list(nothing, [0, 0]).size == earlier_in_list(nothing, [0, 0]).size == 0


def test_class_balance_ignores_invalid_labels() -> None:
    assert class_balance(np.array([0, 0, 2, 9, -1], np.int32), 4) == {
        "min": 0,
        "median": 0.5,
        "max": 2,
        "empty": [1, 3],
    }


@pytest.mark.parametrize(
    ("names", "pattern", "first", "there"),
    [
        (["img_00001.jpg", "img_00002.jpg", "img_00004.jpg"], "img_{index:05d}.jpg", 1, {0, 1, 3}),
        (["00000.png", "00001.jpg", "0002.png", "00003.png.bak", "100000.png"], "{index:05d}.png", 0, {0, 100000}),
        (["flow_x_00001.jpg", "flow_y_00001.jpg", "flow_x_00002.jpg"], "flow_{axis}_{index:05d}.jpg", 1, {0}),
        (["000007-x_00001.jpg", "000007-y_00001.jpg"], "{video:06d}-{axis}_{index:05d}.jpg", 1, {0}),
        (["000008-x_00001.jpg", "000007-y_00001.jpg"], "{video:06d}-{axis}_{index:05d}.jpg", 1, set()),
    ],
)
def test_frames_of_a_folder_by_their_names(names: list[str], pattern: str, first: int, there: set[int]) -> None:
    assert frame_indices(names, "some/7", FrameTemplate(pattern, first)) == there


def test_a_video_is_looked_at_as_closely_as_asked(tmp_path: Path) -> None:
    whole = str(media.write_video(tmp_path / "whole.mp4", count=30))
    for decode in ("none", "ends", "full"):
        found = check_video(whole, "", decode)
        assert (found["frames"], found["claimed"], found["broken"], found.get("decoded", 30)) == (30, 30, "", 30)
    cut = str(media.truncate(media.write_video(tmp_path / "cut.mp4", count=30), 0.6))
    assert check_video(cut, "", "none")["frames"] == 30, "the header says so"
    assert check_video(cut, "", "ends")["frames"] < 30
    assert check_video(cut, "", "full")["decoded"] < 30
    hurt = media.write_video(tmp_path / "hurt.mkv", count=30, gop=30)
    media.corrupt(hurt, 0.9, 0.97)
    found = check_video(str(hurt), "", "full")
    assert found["broken"] or found["decoded"] == found["frames"] < 30 or found["claimed"] == 0
    no_header = str(media.write_video(tmp_path / "no_header.mkv", count=12))
    assert check_video(no_header, "", "none")["frames"] == 12, "a header that says nothing is not enough"


@pytest.mark.parametrize("name", ["empty.mp4", "page.mp4", "list.m3u8", "no_moov.mp4", "audio.mp4", "folder", "absent"])
@pytest.mark.parametrize("decode", ["none", "full"])
def test_files_that_are_no_videos_are_errors_with_a_reason(name: str, decode: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name == "folder":
        path.mkdir()
    elif name == "audio.mp4":
        media.write_audio(path)
    elif name == "no_moov.mp4":
        data = media.write_video(tmp_path / "whole.mp4").read_bytes()
        path.write_bytes(data.replace(b"moov", b"none"))
    elif name == "list.m3u8":
        media.write_video(tmp_path / "real.ts")
        path.write_text("#EXTM3U\n#EXTINF:1,\nreal.ts\n#EXT-X-ENDLIST\n")
    elif name != "absent":
        path.write_text("<html>not found</html>" if name == "page.mp4" else "")
    with pytest.raises(MediaError):
        check_video(str(path), "", decode)


def test_a_frame_folder_is_looked_at_as_closely_as_asked(tmp_path: Path) -> None:
    folder = media.write_frames(tmp_path / "a", 6, "img_{index:05d}.jpg")
    how = {"pattern": "{index:06d}.jpg", "flow": False}
    whole = check_folder(str(folder), "", "full", **how)  # type: ignore[arg-type]
    assert {key: whole[key] for key in FOLDER} == FOLDER | {"frames": 6}
    (folder / "img_00003.jpg").write_text("no image")
    (folder / "img_00006.jpg").write_bytes((folder / "img_00005.jpg").read_bytes()[:-300])
    assert check_folder(str(folder), "", "none", **how)["broken"] == ""  # type: ignore[arg-type]
    assert check_folder(str(folder), "", "ends", **how)["broken"].startswith("img_00006.jpg is not")  # type: ignore[arg-type]
    broken = check_folder(str(folder), "", "full", **how)["broken"]  # type: ignore[arg-type]
    assert broken.startswith("img_00003.jpg is not") and broken.endswith("; and 1 more")
    (folder / "img_00004.jpg").unlink()
    gap = check_folder(str(folder), "", "none", **how)  # type: ignore[arg-type]
    assert (gap["frames"], gap["beyond"]) == (3, 2)
    flow = check_folder(str(media.write_flow(tmp_path / "7")), "", "full", "flow_{axis}_{index:05d}.jpg", True)
    assert (flow["frames"], flow["pattern"], flow["broken"]) == (12, "flow_{axis}_{index:05d}.png", "")
    (tmp_path / "nothing").mkdir()
    for path in ("nothing", "absent", "7/flow_x_00001.png"):
        with pytest.raises(MediaError) as error:
            check_folder(str(tmp_path / path), "", "none", "img_{index:05d}.jpg", False)
        assert not error.value.reason.startswith(str(tmp_path))


VAL = b"\xef\xbb\xbfclips/--Q u's;#.mp4 20 0\r\n\nclips/\xc3\xbc.mp4 20 1\n"
TRAIN = b"""clips/b.mp4 20 0
./clips//b.mp4 20 0
clips/hard.mp4 20 1
clips/--Q u's;#.mp4 20 0
other/\xc3\xbc.mp4 20 1

clips/c.mp4 24 1
clips/c2.mp4 18 2
clips/cut.mp4 20 1
clips/page.mp4 20 0
gone.mp4 20 0
clips 20 0
clips/d.mp4   20\t1"""

FOUND = [
    ("train.txt", "2", "duplicate"),
    ("train.txt", "3", "duplicate"),
    ("train.txt", "4", "leak"),
    ("train.txt", "5", "copy"),
    ("train.txt", "7", "too_few"),
    ("train.txt", "8", "label"),
    ("train.txt", "8", "too_many"),
    ("train.txt", "9", "too_few"),
    ("train.txt", "9", "damaged"),
    ("train.txt", "9", "cut_short"),
    ("train.txt", "10", "unreadable"),
    ("train.txt", "11", "missing"),
    ("train.txt", "12", "unreadable"),
]


def write_clips(folder: Path) -> tuple[object, ...]:
    """Write videos and lists with every kind of problem, and return the arguments of the tool."""
    clips = folder / "clips"
    clips.mkdir()
    (folder / "other").mkdir()
    for seed, name in enumerate(("b", "c", "c2", "d", "--Q u's;#", "ü", "cut")):
        media.write_video(clips / f"{name}.mp4", count=20, size=(32, 48), seed=seed)
    media.truncate(clips / "cut.mp4", 0.7)
    os.link(clips / "b.mp4", clips / "hard.mp4")
    (folder / "other" / "ü.mp4").write_bytes((clips / "ü.mp4").read_bytes())
    (clips / "page.mp4").write_text("<html>")
    (folder / "train.txt").write_bytes(TRAIN)
    (folder / "val.txt").write_bytes(VAL)
    return ("custom", "--train_list", "train.txt", "--val_list", "val.txt", "--root_path", folder, "--num_class", 2)


def test_videos_of_one_name_and_size_are_no_copies_if_they_differ(call: Call, tmp_path: Path) -> None:
    """Only equal bytes make a copy; a video and its reverse may have the same name and size."""
    for name in ("grow", "shrink", "same"):
        (tmp_path / name).mkdir()
    content = media.write_video(tmp_path / "grow" / "1.mp4", 8).read_bytes()
    (tmp_path / "same" / "1.mp4").write_bytes(content)
    at = content.index(b"mdat") + 40
    (tmp_path / "shrink" / "1.mp4").write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    (tmp_path / "val.txt").write_text("grow/1.mp4 8 0\n")
    for train, status in (("shrink/1.mp4 8 1", 0), ("same/1.mp4 8 1", 1)):
        (tmp_path / "train.txt").write_text(train + "\n")
        lists = ("--train_list", "train.txt", "--val_list", "val.txt", "--root_path", ".", "--num_class", 2)
        done = call(TOOL, "custom", *lists, "-j", 1, status=status)
        assert ("same content as an entry of another list" in done.out) == bool(status)


@pytest.mark.parametrize(
    ("train", "val", "leaks"),
    [
        ("v.mp4", "v copy.mp4", True),
        ("v.mp4", "other/w.mkv", True),
        ("v.mp4", "reversed.mp4", False),  # the same size with one different byte
        ("v.mp4", "longer.mp4", False),
        ("frames/v", "frames/v copy", True),
        ("frames/v", "frames/renamed", True),
        ("frames/v", "frames/middle", False),  # only an image in the middle differs
        ("frames/v", "frames/longer", False),
    ],
)
def test_the_same_bytes_under_another_name_are_a_leak(
    train: str, val: str, leaks: bool, call: Call, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    content = media.write_video(tmp_path / "v.mp4", 8, (64, 96), gop=1).read_bytes()
    for name in ("v copy.mp4", "other/w.mkv"):
        (tmp_path / name).write_bytes(content)
    at = len(content) // 2
    (tmp_path / "reversed.mp4").write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    media.write_video(tmp_path / "longer.mp4", 9, (64, 96), gop=1)
    for name, count, template in (("v", 8, "img_{index:05d}.png"), ("v copy", 8, "img_{index:05d}.png"),
                                  ("renamed", 8, "frame{index:d}.PNG"), ("middle", 8, "img_{index:05d}.png"),
                                  ("longer", 9, "img_{index:05d}.png")):  # fmt: skip
        media.write_frames(tmp_path / "frames" / name, count, template, (16, 16))
    media.write_frames(tmp_path / "frames" / "middle", 6, first=2, size=(16, 16), seed=1)
    frames = 9 if "longer" in val else 8
    (tmp_path / "train.txt").write_text(f"{train} 8 0\n")
    (tmp_path / "val.txt").write_text(f"{val} {frames} 0\n")
    lists = ("--train_list", "train.txt", "--val_list", "val.txt", "--root_path", ".", "--num_class", 1)
    call(TOOL, "custom", *lists, "-j", 1, "--decode", "none", status=int(leaks))
    assert [row for row in rows_of(tmp_path / "check" / "problems.csv") if row[2] == "copy"] == (
        [("train.txt", "1", "copy")] if leaks else []
    )


def test_every_bad_line_of_video_lists_is_found_and_nothing_is_changed(call: Call, tmp_path: Path) -> None:
    arguments = write_clips(tmp_path)
    before = state_of(tmp_path)
    ended = call(TOOL, *arguments, "--write_clean", "-j", 2, status=1)
    indexes = {str(tmp_path / f"{name}.txt.index") for name in ("train", "val")}
    there = {path: state for path, state in state_of(tmp_path).items() if "/check/" not in path}
    assert there.keys() - before.keys() == indexes
    assert {path: state for path, state in there.items() if path not in indexes} == before
    assert rows_of(tmp_path / "check" / "problems.csv") == FOUND
    report = json.loads((tmp_path / "check" / "report.json").read_text())
    assert (report["errors"], report["warnings"], report["settings"]["kind"]) == (11, 2, "videos")
    assert report["lists"]["train"]["good"] == 2 and report["lists"]["val"]["good"] == 2
    assert report["problems"]["leak"]["counts"] == {"train": 1, "val": 0}
    assert "see val.txt:1" in ended.out and "11 errors, 2 warnings; all listed in check" in ended.out
    assert (tmp_path / "check" / "val.clean.txt").read_bytes() == VAL.replace(b"\n\n", b"\n")
    lines = TRAIN.split(b"\n")
    assert (tmp_path / "check" / "train.clean.txt").read_bytes() == lines[0] + b"\n" + lines[12]

    written = state_of(tmp_path / "check")
    call(TOOL, *arguments, "--write_clean", "-j", 1, status=1)
    first, _ = (
        call(TOOL, *arguments, "--output", "shared", "--shard", "2/2"),
        call(TOOL, *arguments, "--output", "shared", "--shard", "1/2", status=1),
    )
    assert "but others are not" in first.out
    for name in ("problems.csv", "report.json"):
        assert written[str(tmp_path / "check" / name)][1] == (tmp_path / "check" / name).read_bytes()
        assert written[str(tmp_path / "check" / name)][1] == (tmp_path / "shared" / name).read_bytes()

    lists = ("--train_list", "check/train.clean.txt", "--val_list", "check/val.clean.txt", "--output", "again")
    ended = call(TOOL, "custom", *lists, "--root_path", tmp_path, "--num_class", 2, "--dense_sample")
    assert "0 errors, 4 warnings" in ended.out, "too short for dense sampling"


def test_frame_folders_of_a_dataset_are_found_and_checked_anew_each_time(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAM_DATASETS", str(tmp_path))
    root = tmp_path / "UCF101"
    for name, count, template, first in (
        ("a", 12, "image_{index:05d}.jpg", 1),
        ("b b", 12, "image_{index:05d}.jpg", 1),
        ("zero", 12, "image_{index:05d}.jpg", 0),
        ("other", 12, "{index:06d}.png", 1),
    ):
        media.write_frames(root / name, count, template, first=first)
    (root / "annotations").mkdir()
    (root / "annotations" / "class_names.txt").write_text("one\ntwo\nthree\n")
    train = root / "annotations" / "train.txt"
    train.write_text("a 12 0\nb b 13 1\nzero 12 0\nother 12 0\n")
    (root / "b b" / "image_00007.jpg").write_text("no image")
    flags = ("ucf101", "--num_class", 3, "--decode", "full", "--output", "out", "-j", 2)
    ended = call(TOOL, *flags, status=1)
    assert rows_of(tmp_path / "out" / "problems.csv") == [
        ("train.txt", "2", "too_few"),
        ("train.txt", "2", "damaged"),
        ("train.txt", "3", "naming"),  # readable with its own names, but reported
        ("train.txt", "4", "naming"),
        ("train.txt", "", "empty_class"),
    ]
    assert "class 2 (three)" in ended.out
    media.write_frames(root / "b b", 13, "image_{index:05d}.jpg")  # this repair does not change the time of the folder
    train.write_text("a 12 0\nb b 13 1\na 12 2\n")
    call(TOOL, *flags, status=1)
    assert rows_of(tmp_path / "out" / "problems.csv") == [("train.txt", "3", "duplicate")]
    (root / "ucf101_val_list.txt").write_text("a.mp4 12 0\n")
    assert "choose with --kind frames" in call(TOOL, *flags, status=2).err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("custom",), "no list of frames by default: give --train_list"),
        (("ucf101",), "no list of frames under datasets/UCF101"),
        (("nonsense",), "unknown dataset nonsense"),
        (("custom", "--train_list", "none.txt"), "none.txt: cannot read the list"),
        (("custom", "--train_list", "list.txt", "--root_path", "nowhere"), "--root_path nowhere: no such folder"),
        (("custom", "--train_list", "list.txt", "--root_path", "."), "list.txt: none of its 1 path exists"),
        (("custom", "Flow", "--kind", "videos", "--train_list", "list.txt"), "videos contain only RGB"),
        (("kinetics", "--num_segments", "65"), "--num_segments (65) must be at most 64"),
        (("custom", "--train_list", "list.txt", "--decode", "some"), "--decode"),
        (("custom", "--train_list", "list.txt", "--shard", "3/2"), "--shard"),
    ],
)
def test_bad_input_is_one_line(flags: tuple[str, ...], said: str, call: Call, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("a.mp4 3 0\n")
    ended = call(TOOL, *flags, status=2)
    assert said in ended.err and len(ended.err.splitlines()) == 1 and ended.err.startswith("error: ")
    assert os.listdir(tmp_path) == ["list.txt"]


def test_training_points_to_the_tool_where_videos_are_bad() -> None:
    batch = ClipBatch(torch.empty(0), torch.empty(0, dtype=torch.int64), [], 1, [Failure(0, "a.mp4", "cannot be read")])
    assert TOOL in engine._hopeless(batch) and (ROOT / TOOL).is_file()
