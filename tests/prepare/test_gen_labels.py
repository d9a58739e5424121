"""Lists are made from published annotations and from folders of videos, and training can start from them."""

import json
import re
import runpy
import shlex
from collections.abc import Callable
from pathlib import Path

import media
import pytest
import torch
from conftest import ROOT, Call

from ops.common.errors import InputError, MediaError
from ops.data.class_names import read_class_names
from ops.prepare.annotation_formats import FORMATS, reordered
from ops.prepare.annotations import Annotations, annotation_files
from ops.prepare.count_frames import count_frames
from ops.prepare.folder_lists import annotations_of, class_entries
from ops.prepare.match_names import match

TOOL = "tools/gen_labels.py"
TINY = ["--arch", "resnet18", "--pretrain", "none", "--num_segments", "2", "--input_size", "32", "--device", "cpu"]

FILES: dict[str, dict[str, str]] = {
    "ucf101": {
        "classInd.txt": "1 Basketball\r\n2 ApplyMakeup\r\n",
        "trainlist01.txt": "ApplyMakeup/v_A_g08_c01.avi 2\r\nBasketball/v_B_g08_c01.avi 1\r\n",
        "testlist01.txt": "ApplyMakeup/v_A_g01_c01.avi\r\n\r\n",
        "trainlist02.txt": "ApplyMakeup/v_A_g01_c01.avi 2\n",
        "testlist02.txt": "Basketball/v_B_g08_c01.avi\n",
    },
    "hmdb51": {
        "wave_test_split1.txt": "w (1)_#.avi 1 \nboth.avi 2 \nunused.avi 0 \n",
        "brush_hair_test_split1.txt": "b.avi 2 \nboth.avi 1 \n",
    },
    "jester": {
        "jester-v1-labels.csv": "Swiping Right\nSwiping Left\n",
        "jester-v1-train.csv": "34870;Swiping Right\n56557;Swiping Left\n",
        "jester-v1-validation.csv": "9223;Swiping Left\n",
        "jester-v1-test.csv": "1234\n",
    },
    "something": {
        "something-something-v1-labels.csv": "Opening something\nHolding something\n",
        "something-something-v1-train.csv": "100218;Holding something\n",
        "something-something-v1-validation.csv": "7;Opening something\n",
    },
    "somethingv2": {
        "labels.json": json.dumps({"Holding something": "1", "Putting number of something onto something": "0"}),
        "train.json": json.dumps([
            {"id": "78687", "label": "holding potato chicken", "template": "Holding [something]", "placeholders": []},
            {"id": "42326", "label": "…", "template": "Putting [number of] [something] onto [something]"},
        ]),
        "validation.json": json.dumps([{"id": 3, "template": "Holding [something]"}]),
        "test.json": json.dumps([{"id": "4"}, {"id": "5"}]),
        "test-answers.csv": "4;Holding something\n",
    },
    "diving48": {
        "Diving48_vocab.json": json.dumps([["Back", "15som", "05Twis", "FREE"], ["Inward", "25som", "NoTwis", "PIKE"]]),
        "Diving48_V2_train.json": json.dumps([{"vid_name": "a_1", "label": 1, "start_frame": 0, "end_frame": 9}]),
        "Diving48_V2_test.json": json.dumps([{"vid_name": "b_1", "label": 0, "start_frame": 0, "end_frame": 9}]),
    },
}  # fmt: skip

READ: dict[str, tuple[list[str], dict[str, list[tuple[str, int]]]]] = {
    "ucf101": (
        ["Basketball", "ApplyMakeup"],
        {
            "train": [("ApplyMakeup/v_A_g08_c01", 1), ("Basketball/v_B_g08_c01", 0)],
            "val": [("ApplyMakeup/v_A_g01_c01", 1)],
        },
    ),
    "hmdb51": (
        ["brush_hair", "wave"],
        {"train": [("brush_hair/both", 0), ("wave/w (1)_#", 1)], "val": [("brush_hair/b", 0), ("wave/both", 1)]},
    ),
    "jester": (
        ["Swiping Left", "Swiping Right"],
        {"train": [("34870", 1), ("56557", 0)], "val": [("9223", 0)], "test": [("1234", -1)]},
    ),
    "something": (["Holding something", "Opening something"], {"train": [("100218", 0)], "val": [("7", 1)]}),
    "somethingv2": (
        ["Putting number of something onto something", "Holding something"],
        {"train": [("78687", 1), ("42326", 0)], "val": [("3", 1)], "test": [("4", 1), ("5", -1)]},
    ),
    "diving48": (
        ["Back 15som 05Twis FREE", "Inward 25som NoTwis PIKE"],
        {"train": [("a_1", 1)], "val": [("b_1", 0)]},
    ),
}


def write_files(folder: Path, dataset: str, **changed: str) -> list[Path]:
    folder.mkdir(exist_ok=True)
    for name, text in {**FILES[dataset], **changed}.items():
        (folder / name).write_text(text, "utf-8")
    return annotation_files([str(folder)])


def pairs_of(annotations: Annotations) -> dict[str, list[tuple[str, int]]]:
    return {split.name: list(zip(split.names, split.labels.tolist(), strict=True)) for split in annotations.splits}


@pytest.mark.parametrize("dataset", FILES)
def test_annotations_are_read_as_published(dataset: str, tmp_path: Path) -> None:
    annotations = FORMATS[dataset].read(write_files(tmp_path, dataset), 1)
    assert (annotations.classes, pairs_of(annotations)) == READ[dataset]


def test_a_dataset_may_have_several_published_splits(tmp_path: Path) -> None:
    annotations = FORMATS["ucf101"].read(write_files(tmp_path, "ucf101"), 2)
    assert pairs_of(annotations) == {"train": [("ApplyMakeup/v_A_g01_c01", 1)], "val": [("Basketball/v_B_g08_c01", 0)]}
    with pytest.raises(InputError, match=r"trainlist03\.txt is missing"):
        FORMATS["ucf101"].read(write_files(tmp_path, "ucf101"), 3)


@pytest.mark.parametrize(
    ("dataset", "changed", "said"),
    [
        (
            "ucf101",
            {"trainlist01.txt": "Nowhere/v_x.avi 1\n"},
            "trainlist01.txt:1: 'Nowhere' is not in the list of 2 classes",
        ),
        ("hmdb51", {"wave_test_split1.txt": "\nw.avi\n"}, "split1.txt:2: expected 'video 0', 'video 1' or 'video 2'"),
        ("ucf101", {"trainlist01.txt": "Basketball/v_x.avi 2\n"}, "trainlist01.txt:1: Basketball has number 1 in cla"),
        ("hmdb51", {"jump_test_split2.txt": "j.avi 1\n"}, "--annotations: jump_test_split1.txt is missing"),
        (
            "jester",
            {"jester-v1-train.csv": "1;Swiping Up\n"},
            "train.csv:1: 'Swiping Up' is not in the list of 2 classes",
        ),
        (
            "jester",
            {"jester-v1-validation.csv": "9223\n"},
            "validation.csv:1: no label, which val needs; expected",
        ),
        ("jester", {"test-answers.csv": "1234;Up\n"}, "test-answers.csv:1: 'Up' is not in the list of 2 classes"),
        (
            "jester",
            {"new-train.csv": ""},
            "the file of train could be jester-v1-train.csv or new-train.csv. Give the right files: --annotations FILE",
        ),
        (
            "somethingv2",
            {"validation.json": '[{"id": 3}]'},
            "validation.json: video 3: no template, which gives the label in val",
        ),
        ("somethingv2", {"train.json": "[{"}, "train.json: not JSON"),
        ("somethingv2", {"train.json": "{}"}, "train.json: expected a JSON array"),
        ("somethingv2", {"train.json": '[{"template": "x"}]'}, "train.json: malformed entry"),
        (
            "somethingv2",
            {"train.json": '[{"id": "1", "template": "[x]"}]'},
            "train.json: video 1: 'x' is not in the list of",
        ),
        ("somethingv2", {"labels.json": '{"a": "1"}'}, "labels.json: the labels must be 0 to 0, each once"),
        ("diving48", {"Diving48_V2_test.json": '[{"vid_name": "x", "label": 2}]'}, "x has label 2, not 0 to 1"),
    ],
)
def test_wrong_annotation_files_are_named(dataset: str, changed: dict[str, str], said: str, tmp_path: Path) -> None:
    files = write_files(tmp_path, dataset, **changed)
    with pytest.raises(InputError, match=re.escape(said)):
        FORMATS[dataset].read(files, 1)


@pytest.mark.parametrize("dataset", FILES)
def test_missing_annotation_files_are_named(dataset: str) -> None:
    with pytest.raises(InputError, match=r"^--annotations: .* (is missing|found)$"):
        FORMATS[dataset].read([], 1)


def test_answers_label_the_test_videos_of_jester(tmp_path: Path) -> None:
    files = write_files(tmp_path, "jester", **{"test-answers.csv": "1234;Swiping Left\n77;Swiping Right\n"})
    assert pairs_of(FORMATS["jester"].read(files, 1))["test"] == [("1234", 0)]


KAGGLE = "label,frames,label_id,shape,format\n"


def write_kaggle(folder: Path, **changed: str) -> list[Path]:
    """Write Jester's files as on Kaggle: with headers, additional columns and quotes, and without a file of labels."""
    files = {
        "Train.csv": f'video_id,{KAGGLE}7,Swiping Right,37,0,"(37, 100, 132, 3)",jpg\n9,No gesture,37,2,,jpg\n',
        "Validation.csv": f"\ufeffVIDEO_ID,{KAGGLE}\n8,No gesture,36,2,,jpg\n",
        "Test.csv": f"id,{KAGGLE}5,,36,,,jpg\n6,Swiping Right,36,,,jpg\n",
    }
    folder.mkdir(exist_ok=True)
    for name, text in {**files, **changed}.items():
        (folder / name).write_text(text, "utf-8")
    return annotation_files([str(folder)])


def test_tables_with_a_header_are_read_by_its_columns(tmp_path: Path, call: Call) -> None:
    annotations = FORMATS["jester"].read(write_kaggle(tmp_path / "csv"), 1)
    assert annotations.classes == ["No gesture", "Swiping Right"]
    expected = {"train": [("7", 1), ("9", 0)], "val": [("8", 0)], "test": [("5", -1), ("6", 1)]}
    assert pairs_of(annotations) == expected
    for name in ("Train/7", "Train/9", "Validation/8", "Test/5", "Test/6"):
        media.write_frames(tmp_path / "data" / name, 2, "{index:05d}.png", (16, 16))
    run = [TOOL, "jester", "--annotations", "csv", "--data", "data", "--out", "lists", "-j", 1]
    assert "2 classes, but jester has 27" in call(*run, status=2).err
    call(*run, "--num_class", 2)
    lists = {name: (tmp_path / f"lists/annotations/{name}.txt").read_text() for name in ("train", "val", "test")}
    assert lists == {
        "train": "Train/7 2 1\nTrain/9 2 0\n", "val": "Validation/8 2 0\n", "test": "Test/5 2 -1\nTest/6 2 1\n",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"Train.csv": f"video_id,{KAGGLE}7,,37,0,,jpg\n"}, "Train.csv:2: no label, which train needs"),
        ({"Train.csv": f"video_id,{KAGGLE}7,No gesture\n"}, "Train.csv:2: 2 columns, but the header has 6"),
        ({"labels.csv": "Swiping Left\nNo gesture\n"}, "Train.csv:2: 'Swiping Right' is not in the list of 2 classes"),
        (
            dict.fromkeys(("Train.csv", "Validation.csv", "Test.csv"), "name,frames\n7,37\n"),
            "…-labels.csv is missing",
        ),
        ({"Validation.csv": "video_id,frames,label_id\n8,36,2\n"}, "Validation.csv:1: no label, which val needs"),
    ],
)
def test_a_header_that_does_not_say_it_all_is_refused(changed: dict[str, str], said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        FORMATS["jester"].read(write_kaggle(tmp_path, **changed), 1)


@pytest.mark.parametrize(
    ("dataset", "name"),
    [("jester", "jester-v1-train.csv"), ("jester", "jester-v1-labels.csv"), ("hmdb51", "wave_test_split1.txt"),
     ("ucf101", "testlist01.txt"), ("somethingv2", "validation.json"), ("diving48", "Diving48_V2_test.json")],
)  # fmt: skip
def test_a_file_that_is_there_compressed_is_named(dataset: str, name: str, tmp_path: Path) -> None:
    for file in write_files(tmp_path, dataset):
        if file.name == name or (dataset == "hmdb51" and "split1" in file.name):
            file.rename(file.with_name(file.name + ".gz"))
    with pytest.raises(InputError, match=r"\.gz.* unpack it$"):
        FORMATS[dataset].read(annotation_files([str(tmp_path)]), 1)


def test_class_names_can_be_given_in_another_order(tmp_path: Path) -> None:
    annotations = FORMATS["jester"].read(write_files(tmp_path, "jester"), 1)
    other = reordered(annotations, ["Swiping Right", "No gesture", "Swiping Left"], "names.txt")
    assert pairs_of(other) == {"train": [("34870", 0), ("56557", 2)], "val": [("9223", 2)], "test": [("1234", -1)]}
    with pytest.raises(InputError, match=r"names\.txt: 'Swiping Left' is not in the list of 1 class"):
        reordered(annotations, ["Swiping Right"], "names.txt")


@pytest.mark.parametrize(
    ("paths", "files"),
    [
        (["wave/both", "brush_hair/both"], [1, 0]),
        (["hmdb/wave/both"], [-1, 0]),
        (["both"], [-1, -1]),  # its class is unknown
    ],
)
def test_class_folders_tell_videos_of_one_name_apart(paths: list[str], files: list[int]) -> None:
    matches = match(["brush_hair/both", "wave/both"], paths, FORMATS["hmdb51"].rules, str)
    assert matches.files.tolist() == files


def test_flat_folders_are_enough_if_names_are_unique() -> None:
    matches = match(["brush_hair/a", "wave/b"], ["frames/b", "frames/a"], FORMATS["hmdb51"].rules, str)
    assert matches.files.tolist() == [1, 0]


def split_classes(paths: list[str], *division: object) -> Annotations:
    entries = list(class_entries(paths))
    return annotations_of(entries, sorted({entry.label for entry in entries}), *division)  # type: ignore[arg-type]


def paths_of(counts: dict[str, int]) -> list[str]:
    return [f"{name}/{number:03d}.mp4" for name, count in counts.items() for number in range(count)]


@pytest.mark.parametrize(
    ("count", "fraction", "val"), [(1, 0.2, 0), (2, 0.2, 1), (2, 0.99, 1), (10, 0.2, 2), (10, 0.0, 0), (3, 0.99, 2)]
)
def test_each_class_is_split_by_the_fraction(count: int, fraction: float, val: int) -> None:
    parts = pairs_of(split_classes((paths_of({"jump": count, "run": 5})), fraction, 0))
    of_jump = {name: [path for path, label in pairs if label == 0] for name, pairs in parts.items()}
    assert (len(of_jump["train"]), len(of_jump.get("val", []))) == (count - val, val)
    assert sorted(path for pairs in parts.values() for path, _ in pairs) == paths_of({"jump": count, "run": 5})


def test_the_split_is_a_function_of_seed_and_class() -> None:
    paths = paths_of({"jump": 30, "run": 30})
    one, same, other = (pairs_of(split_classes((paths), 0.3, seed)) for seed in (0, 0, 1))
    assert one == same and one["val"] != other["val"]
    alone = pairs_of(split_classes((["stray.mp4", *paths_of({"run": 30})]), 0.3, 0))
    assert [path for path, _ in alone["val"]] == [path for path, _ in one["val"] if path.startswith("run")]


@pytest.mark.parametrize("added", [{"jump": 1}, {"jump": 10, "run": 4}, {"swim": 3}, {}])
def test_new_videos_do_not_move_others_between_splits(added: dict[str, int]) -> None:
    first = pairs_of(split_classes((paths_of({"jump": 8, "run": 1})), 0.25, 0))
    sides = {path: name == "val" for name, pairs in first.items() for path, _ in pairs}
    counts = {name: {"jump": 8, "run": 1}.get(name, 0) + added.get(name, 0) for name in ("jump", "run", "swim")}
    paths = [f"{path[:-4]}a.mp4" if path not in sides else path for path in paths_of(counts)]
    second = pairs_of(split_classes((sorted(paths)), 0.25, 0, sides))
    now = {path: name == "val" for name, pairs in second.items() for path, _ in pairs}
    assert {path: now[path] for path in sides} == sides and sorted(now) == sorted(paths)
    for name, count in counts.items():
        share = min(max(round(count * 0.25), 1), count - 1) if count else 0
        assert sum(side for path, side in now.items() if path.startswith(name)) == share


def test_lists_are_renewed_unless_they_were_edited(tmp_path: Path, call: Call) -> None:
    for name in ("jump", "run"):
        (tmp_path / "clips" / name).mkdir(parents=True)
    for path in paths_of({"jump": 2, "run": 2}):
        media.write_video(tmp_path / "clips" / path, 4)
    make = ["tools/gen_labels.py", "folder", "--data", "clips", "--out", "lists", "-j", "1", "--keep_split"]
    call(*make)
    before = [(tmp_path / "lists" / name).read_text() for name in ("train.txt", "val.txt")]
    assert "the lists have the same 4 videos as before" in call(*make).out
    for number in range(3):
        media.write_video(tmp_path / f"clips/jump/new{number}.mp4", 4)
    (tmp_path / "clips/run/000.mp4").unlink()
    said = call(*make).out
    assert "added to training: 3 videos (jump/new0.mp4, jump/new1.mp4, jump/new2.mp4)" in said
    assert "no longer in the lists: 1 video" in said
    after = [(tmp_path / "lists" / name).read_text() for name in ("train.txt", "val.txt")]
    for old, new in zip(before, after, strict=True):
        assert set(old.splitlines()) - {"run/000.mp4 4 1"} <= set(new.splitlines())
    (tmp_path / "lists/val.txt").write_text("jump/new0.mp4 4 0\n")
    assert "was edited by hand, so the lists stay as they are" in call(*make).err
    assert (tmp_path / "lists/val.txt").read_text() == "jump/new0.mp4 4 0\n"


def test_frames_are_counted_up_to_the_first_gap(tmp_path: Path) -> None:
    folder = media.write_frames(tmp_path / "a", 4, "{index:06d}.jpg")
    (folder / "thumbs.jpg").touch()
    assert count_frames(str(folder), "a", "img_{index:05d}.jpg", False) == {"num_frames": 4, "claimed": 4}
    (folder / "000003.jpg").unlink()
    assert count_frames(str(folder), "a", "img_{index:05d}.jpg", False) == {"num_frames": 2, "claimed": 3}
    flow = media.write_flow(tmp_path / "b", 3)
    assert count_frames(str(flow), "b", "flow_{axis}_{index:05d}.jpg", True) == {"num_frames": 3, "claimed": 3}
    (tmp_path / "c").mkdir()
    with pytest.raises(MediaError, match="no frames named like"):
        count_frames(str(tmp_path / "c"), "c", "img_{index:05d}.jpg", False)


def test_lists_of_frames_are_written_where_training_expects_them(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAM_DATASETS", "datasets")
    write_files(tmp_path / "labels", "somethingv2")
    frames = tmp_path / "datasets" / "SomethingV2" / "frames"
    for name, count in {"78687": 5, "42326": 3, "3": 4, "5": 3}.items():
        media.write_frames(frames / name, count, "{index:06d}.png", (32, 32))
    (frames / "4").mkdir()
    (frames / "42326" / "000002.png").unlink()
    done = call(
        TOOL, "somethingv2", "--annotations", "labels", "--data", frames, "-j", "1", "--num_class", "2", status=1
    )
    lists = {path.name: path.read_text() for path in (frames.parent / "annotations").iterdir()}
    failed = lists.pop("missing_test.txt")
    assert lists == {
        "train.txt": "frames/78687 5 1\nframes/42326 1 0\n", "val.txt": "frames/3 4 1\n", "test.txt": "frames/5 3 -1\n",
        "missing_train.txt": "", "missing_val.txt": "", "damaged_train.txt": "frames/42326 kept: 1 of 2 frames\n",
        "class_names.txt": "Putting number of something onto something\nHolding something\n",
    }  # fmt: skip
    assert failed.startswith("4 frames/4: no frames named like") and "train with" not in done.out


def test_flow_is_listed_as_published_lists_count_it(call: Call, tmp_path: Path) -> None:
    write_files(tmp_path / "labels", "something")
    for name in ("100218", "7"):
        media.write_flow(tmp_path / "flow" / name, 3, size=(32, 32))
    call(TOOL, "something", "--annotations", "labels", "--data", "flow", "--out", ".", "--modality", "Flow", "-j", "1",
         "--num_class", "2")  # fmt: skip
    assert (tmp_path / "annotations" / "flow_train.txt").read_text() == "flow/100218 6 0\n"  # counts both axes


def test_frames_with_names_of_their_own_are_counted(call: Call, tmp_path: Path) -> None:
    for name in ("jump/a", "jump/b"):
        media.write_frames(tmp_path / "clips" / name, 3, "shot-{index:04d}.PNG", (16, 16))
    run = [TOOL, "folder", "--data", "clips", "--out", "lists", "--kind", "frames", "--val_fraction", "0", "-j", "1"]
    done = call(*run, status=1)
    assert "for other names give --frame_template" in (tmp_path / "lists" / "missing_train.txt").read_text(), done.out
    call(*run, "--frame_template", "shot-%04d.PNG")
    assert (tmp_path / "lists" / "train.txt").read_text() == "jump/a 3 0\njump/b 3 0\n"
    check = ["tools/check_dataset.py", "custom", "--train_list", "lists/train.txt", "--root_path", "clips", "-j", "1"]
    call(*check, "--frame_template", "shot-%04d.PNG", "--num_class", 1)
    assert "--frame_template" in call(*check, status=2).err


def test_extensions_of_videos_can_be_given_for_lists(call: Call, tmp_path: Path) -> None:
    for name in ("jump/a.mp4", "jump/b.MTS", "jump/c.video"):
        (tmp_path / "clips" / name).parent.mkdir(parents=True, exist_ok=True)
        media.write_video(tmp_path / "whole.mp4", 4, (32, 32)).rename(tmp_path / "clips" / name)
    run = [TOOL, "folder", "--data", "clips", "--out", "lists", "--val_fraction", "0", "-j", "1"]
    call(*run)
    assert (tmp_path / "lists" / "train.txt").read_text() == "jump/a.mp4 4 0\njump/b.MTS 4 0\n"
    call(*run, "-e", "video")
    assert (tmp_path / "lists" / "train.txt").read_text() == "jump/c.video 4 0\n"
    ended = call(*run, "-e", "xyz", status=2)
    assert "none of its folders contains videos (there are .mp4, .mts, .video)" in ended.err


def test_frames_of_kinetics_are_matched_by_clip(call: Call, tmp_path: Path) -> None:
    media.write_frames(tmp_path / "frames" / "val" / "--QUuC4vJs_000084_000095", 3, size=(32, 32))
    (tmp_path / "val.csv").write_text("label,youtube_id,time_start,time_end\nzumba,--QUuC4vJs,84,95\n")
    call(TOOL, "kinetics", "--annotations", "val.csv", "--data", "frames", "--out", ".", "-j", "1")
    assert (tmp_path / "annotations/val.txt").read_text() == "frames/val/--QUuC4vJs_000084_000095 3 399\n"
    assert read_class_names(tmp_path / "annotations" / "class_names.txt")[399] == "zumba"


def test_lists_of_videos_are_written(call: Call, tmp_path: Path) -> None:
    write_files(tmp_path / "labels", "ucf101")
    for name in ("ApplyMakeup/v_A_g08_c01.avi", "ApplyMakeup/v_A_g01_c01.mp4", "Basketball/v_other.avi"):
        path = tmp_path / "UCF-101" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        media.write_video(path, 6, codec="mpeg4")
    tool = [TOOL, "ucf101", "--annotations", "labels", "--data", "UCF-101", "--kind", "videos", "-j", "1"]
    done = call(*tool, "--num_class", "2", "--out", "lists")
    out = tmp_path / "lists"
    assert (out / "ucf101_train_list.txt").read_text() == "ApplyMakeup/v_A_g08_c01.avi 6 1\n"
    assert (out / "ucf101_val_list.txt").read_text() == "ApplyMakeup/v_A_g01_c01.mp4 6 1\n"
    assert (out / "missing_ucf101_train_list.txt").read_text() == "Basketball/v_B_g08_c01 no such video\n"
    assert "videos not in the annotations, left out: 1" in done.out and "--root_path UCF-101" in done.out


def test_custom_training_starts_from_a_folder_of_videos(call: Call, tmp_path: Path) -> None:
    clips = tmp_path / "my clips"
    classes = ["jump", "run away"]
    for name in classes:
        (clips / name).mkdir(parents=True)
        for number in range(3):
            media.write_video(clips / name / f"-{number} #.mp4", 8, (32, 32), seed=number)
    (clips / "jump" / "broken.mp4").write_bytes(b"")
    media.write_video(clips / "stray.mp4", 2)
    done = call(TOOL, "folder", "--data", clips, "--out", "lists", "--val_fraction", "0.3", "-j", "1", status=1)
    lists = {path.name: path.read_text() for path in (tmp_path / "lists").glob("*.txt")}
    assert lists["class_names.txt"].splitlines() == classes and "videos outside class folders, left out: 1" in done.err
    lines = (lists["train.txt"] + lists["val.txt"]).splitlines()
    wanted = [f"{name}/-{number} #.mp4 8 {label}" for label, name in enumerate(classes) for number in range(3)]
    assert sorted(lines) == sorted(wanted)
    assert "jump/broken.mp4: not a readable video" in lists["missing_train.txt"] + lists["missing_val.txt"]

    command = shlex.split(done.out.split("train with: python ")[1])
    call(*command, *TINY, "--tam", "-b", "2", "--max_steps", "1", "-j", "0", "--store_name", "run")
    checkpoint = torch.load(tmp_path / "checkpoints" / "run" / "ckpt.pth.tar", weights_only=True)
    assert (
        checkpoint["meta"]["class_names"]
        == ["jump", "run away"]
        == read_class_names(tmp_path / "lists/class_names.txt")
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["folder", "--data", "."], "error: --out, the folder for the lists, is required"),
        (["folder", "--data", ".", "--out", "o"], "error: .: none of its folders contains videos"),
        (["folder", "--data", "no", "--out", "o"], "error: --data no: no such folder"),
        (["jester", "--data", "."], "error: --annotations is required"),
        (
            ["jester", "--data", "labels", "--annotations", "labels", "--num_class", "2"],
            "error: labels: none of its 0 frame folders has a name",
        ),
        (["jester", "--data", ".", "--annotations", "no"], "error: no: cannot be read"),
        (
            ["something", "--data", ".", "--annotations", "labels"],  # these files are Jester's
            "error: --annotations: 2 classes, but something has 174; is a file missing, or from another dataset?",
        ),
        (
            ["jester", "--data", ".", "--annotations", "labels", "--kind", "videos", "--modality", "Flow"],
            "error: --mod",
        ),
        (["kinetics", "--data", ".", "--annotations", "labels"], "error: labels/jester-v1-train.csv:1: the header has"),
        (["imagenet", "--data", "."], "error: argument dataset: invalid choice: 'imagenet'"),
    ],
)
def test_bad_input_ends_in_one_line_and_leaves_nothing(
    arguments: list[str], said: str, call: Call, tmp_path: Path
) -> None:
    write_files(tmp_path / "labels", "jester")
    ended = call(TOOL, *arguments, status=2)
    assert ended.err.startswith(said) and len(ended.err.splitlines()) == 1, ended.err
    assert [path.name for path in tmp_path.iterdir()] == ["labels"]


FOLDER_CASES = {
    "train and val": ([], ["train/run/a.mp4", "train/jump/b.mp4", "val/jump/c.mp4"], {"train": "b0 a1", "val": "c0"}),
    "a test instead": ([], ["Train/run/a.mp4", "test/run/c.mp4"], {"train": "a0", "val": "c0"}),
    "all three": (
        [],
        ["train/x/a.mp4", "validation/x/c.mp4", "test/x/d.mp4"],
        {"train": "a0", "val": "c0", "test": "d0"},
    ),
    "frames": (
        ["--kind", "frames"],
        ["train/x/a/img_00001.jpg", "val/x/b/img_00001.jpg"],
        {"train": "a0", "val": "b0"},
    ),
    "a list": (["--annotations", "l.txt", "--val_fraction", "0"], ["a.mp4", "in/b c.mp4"], {"train": "a1 b0"}),
    "a csv file with splits": (["--annotations", "l.csv"], ["a.mp4", "in/b c.mp4"], {"train": "b1", "val": "a0"}),
}
LISTS = {
    "l.txt": "a.mp4 10\nin/b c.mp4 12 9\n",
    "l.csv": "label,path,x,split\n9,a.mp4,7,Valid\n10,in/b c.mp4,7,train\n",
}


@pytest.mark.parametrize("case", FOLDER_CASES)
def test_lists_of_split_folders_and_of_labelled_lists(case: str, call: Call, tmp_path: Path) -> None:
    flags, paths, wanted = FOLDER_CASES[case]
    for name, text in LISTS.items():
        (tmp_path / name).write_text(text)
    for path in paths:
        (tmp_path / "data" / path).parent.mkdir(parents=True, exist_ok=True)
        if path.endswith("jpg"):
            media.write_frames((tmp_path / "data" / path).parent, 2)
        else:
            media.write_video(tmp_path / "data" / path, 2)
    run = [TOOL, "folder", "--data", "data", "--out", "lists", "-j", "1", *flags]
    call(*run)
    made = {}
    for file in (tmp_path / "lists").glob("t*.txt"), (tmp_path / "lists").glob("val.txt"):
        for path in file:
            lines = [line.rsplit(" ", 2) for line in path.read_text().splitlines()]
            made[path.stem] = " ".join(sorted(f"{Path(line[0]).name[0]}{line[2]}" for line in lines))
    assert made == {name: " ".join(sorted(text.split())) for name, text in wanted.items()}
    assert "as before" in call(*run, "--keep_split").out or not (tmp_path / "lists/val.txt").exists()


@pytest.mark.parametrize(
    ("paths", "labels", "said"),
    [
        (["train/a.mp4", "val/b.mp4"], None, "data: contains splits (train, val) without a folder for each class in"),
        (["val/x/a.mp4", "valid/x/b.mp4"], None, "data: contains two folders of one split (val, valid); keep one"),
        (["val/x/a.mp4", "test/x/b.mp4"], None, "there are no videos for training"),
        (["a.mp4"], "b.mp4 1\n", "l: none of its 1 path exists; the first should be data/b.mp4"),
        (["a.mp4"], "a.mp4\n", "l:1: no label; expected 'path label' or CSV with path,label, got 'a.mp4'"),
        (["a.mp4"], "path,split\na.mp4,val\n", "l:1: a header without columns named path and label"),
        (["a.mp4"], "path,label,set\na.mp4,1,mine\n", "l:2: the split 'mine' must be train, val or test"),
        (["a.mp4"], "a.mp4,1,val\na.mp4,1\n", "l: only some of its lines tell the split"),
        (["a.mp4"], "a.mp4,1,2,3\n", "l:1: 4 columns: name them in a header"),
        (["a.mp4"], "http://a/b.mp4 1\n", "l:1: not a plain file path"),
        (["a.mp4"], "# nothing\n", "l: the list is empty"),
    ],
)
def test_folders_and_lists_without_classes_or_splits_are_refused(
    paths: list[str], labels: str | None, said: str, call: Call, tmp_path: Path
) -> None:
    for name in paths:
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).touch()
    (tmp_path / "l").write_text(labels or "")
    flags = [] if labels is None else ["--annotations", "l"]
    ended = call(TOOL, "folder", "--data", "data", "--out", "lists", "-j", "1", *flags, status=2)
    assert ended.err.startswith(f"error: {said}") and ended.err.count("\n") == 1
    assert not (tmp_path / "lists").exists()


def commands_of(document: str, script: str) -> list[list[str]]:
    """The arguments of all commands in `document` that call `script`."""
    text = re.sub(r"\\\n\s*", " ", (ROOT / document).read_text("utf-8")).replace("$SLURM_ARRAY_TASK_ID", "1")
    lines = [line.split(script, 1)[1] for line in text.splitlines() if re.match(rf"\s*python \S*{script} ", line)]
    return [shlex.split(line, comments=True) for line in lines]


@pytest.mark.parametrize("script", ["tools/gen_labels.py", "gen_online_label_kinetics.py"])
def test_documented_commands_parse(script: str) -> None:
    path = script if "/" in script else f"online_label_tools/{script}"
    make_parser: Callable[[], object] = runpy.run_path(str(ROOT / path))["make_parser"]
    commands = commands_of("docs/data.md", script) + commands_of(path, script)
    assert len(commands) > 2
    for command in commands:
        make_parser().parse_args(command)  # type: ignore[attr-defined]
