"""Lists of Kinetics have every clip in the right list, for any layout of CSV files and folders."""

import logging
import os
import re
import runpy
import shutil
from pathlib import Path

import media
import pytest
from conftest import ROOT, Call, NewFolder
from torchvision.models.video import R3D_18_Weights

from ops.common.console import start_logging
from ops.common.errors import InputError
from ops.common.string_array import StringArray
from ops.data.class_names import read_class_names
from ops.data.dataset_configs import DATASETS
from ops.data.file_search import find_frame_folders, find_videos
from ops.data.lists import Record, format_line, read_records
from ops.prepare.annotations import annotation_files, pick
from ops.prepare.kinetics_csv import read_clips
from ops.prepare.kinetics_lists import RULES, kinetics_plans, read_kinetics
from ops.prepare.match_names import match

TOOL = "online_label_tools/gen_online_label_kinetics.py"
HEADER = "label,youtube_id,time_start,time_end,split,is_cc\n"
NAMES = list(R3D_18_Weights.KINETICS400_V1.meta["categories"])
MASSAGE = "massaging person's head"
TRAIN_CSV = """\ufeff"youtube_id","is_cc","label","time_end","time_start"\r
two_files--,0,"arm wrestling","11.0","1.0"\r
--QUuC4vJs,0,abseiling,95,84\r
\r
prefixed-_0,0,"massaging person's head",10,0\r
cut60percen,0,zumba,11,1\r
emptyempty1,0,zumba,11,1\r
errorpage-1,0,zumba,11,1\r
playlistplx,0,zumba,11,1\r
audioaudio1,0,zumba,11,1\r
newlineline,0,zumba,11,1\r
not-there--,0,zumba,11,1\r
--QUuC4vJs,0,abseiling,95,84\r
"""


@pytest.fixture(scope="module")
def kinetics(new_folder: NewFolder) -> Path:
    """Good and broken videos in part folders, in class folders and flat, with their CSV files."""
    root = new_folder("data") / "Kinetics 400"
    train, part = root / "train", root / "train" / "part_1"
    for folder in (train / "part_0" / "deep", part, root / "val" / "zumba", root / "test"):
        folder.mkdir(parents=True)
    media.write_video(train / "part_0" / "--QUuC4vJs_000084_000095.mp4", 12)
    media.write_video(train / "part_0" / "deep" / "é\udce9 #;' massage_prefixed-_0_000000_000010 (1).mkv", 8)
    media.write_video(part / "two_files--_000001_000011.avi", 9, codec="mpeg4")
    media.write_video(part / "two_files--_000001_000011.mp4", 7)
    media.truncate(media.write_video(train / "cut60percen_000001_000011.mp4", 30), 0.6)
    (part / "emptyempty1_000001_000011.mp4").write_bytes(b"")
    (part / "errorpage-1_000001_000011.mp4").write_text("<html>404</html>")
    (part / "playlistplx_000001_000011.mp4").write_text("#EXTM3U\n#EXTINF:1,\n--QUuC4vJs_000084_000095.mp4\n")
    media.write_audio(part / "audioaudio1_000001_000011.mp4")
    stray = media.write_video(part / "in no row.mp4", 2)
    shutil.copy(stray, train / "a line\nnewlineline_000001_000011.mp4")
    shutil.copy(stray, part / "._not-there--_000001_000011.mp4")
    shutil.copy(stray, root / "test" / "test-clip-1_000000_000010.mp4")
    media.write_video(root / "val" / "zumba" / "onlyTheId_1.mp4", 5)
    (root / "train.csv").write_text(TRAIN_CSV, newline="")
    (root / "validate.csv").write_text(HEADER + "zumba,onlyTheId_1,3,13,val,0\n")
    (root / "test.csv").write_text("youtube_id,time_start,time_end,split\ntest-clip-1,0,10,test\n")
    return root


def lists_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.txt")}


def with_csv_files(kinetics: Path, folder: Path) -> Path:
    folder.mkdir()
    for path in kinetics.glob("*.csv"):
        shutil.copy(path, folder)
    return folder


def test_every_clip_ends_in_the_right_list_however_the_work_is_shared(
    kinetics: Path, call: Call, tmp_path: Path
) -> None:
    whole, shared = (with_csv_files(kinetics, tmp_path / name) for name in ("whole", "shared"))
    before = sorted(kinetics.rglob("*"))
    run = [TOOL, "--video_path", kinetics, "-j", "2", "--label_path"]
    done = call(*run, whole, status=1)
    written = lists_in(whole)
    text = {name: data.decode(errors="surrogateescape") for name, data in written.items()}
    assert text.pop("k400_class_names.txt").splitlines() == NAMES
    missing = text.pop("missing_k400_train_list.txt").splitlines()
    assert text == {
        "k400_train_list.txt": f"train/part_1/two_files--_000001_000011.avi 9 {NAMES.index('arm wrestling')}\n"
        "train/part_0/--QUuC4vJs_000084_000095.mp4 12 0\n"
        "train/part_0/deep/é\udce9 #;' massage_prefixed-_0_000000_000010 (1).mkv 8 "
        f"{NAMES.index(MASSAGE)}\n"
        "train/cut60percen_000001_000011.mp4 15 399\n",
        "k400_val_list.txt": "val/zumba/onlyTheId_1.mp4 5 399\n",
        "missing_k400_val_list.txt": "",
        "damaged_k400_train_list.txt": "train/cut60percen_000001_000011.mp4 kept: 15 of 30 frames\n",
    }
    reasons = {
        "emptyempty1": "not a readable video", "errorpage-1": "not a readable video",
        "playlistplx": "not a readable video", "audioaudio1": "has no video stream",
        "newlineline": "cannot be written to a list", "not-there--": "no such video", "--QUuC4vJs": "is listed twice",
    }  # fmt: skip
    for line, (name, reason) in zip(missing[:-1], reasons.items(), strict=True):
        assert line.startswith(name) and reason in line
    assert missing[-1].startswith("train/part_1/two_files--_000001_000011.mp4 is a duplicate: train/part_1/two_files--")
    assert "test: the CSV file has no labels" in done.out and "videos not in the annotations, left out: 1" in done.out
    assert len(read_records(whole / "k400_train_list.txt", False)) == 4

    assert call(*run, shared, "--shard", "1/2").out.endswith("the lists are written when all shards are done\n")
    assert not lists_in(shared).keys() & text.keys()
    call(*run, shared, "--shard", "2/2", "-j", "1", status=1)
    assert lists_in(shared) == written
    (shared / "k400_train_list.txt").unlink()
    call(*run, shared, status=1)  # a job without shards finds everything done
    assert lists_in(shared) == written and sorted(kinetics.rglob("*")) == before


def test_the_two_variables_at_the_top_of_the_script_are_enough() -> None:
    make_parser = runpy.run_path(str(ROOT / TOOL))["make_parser"]
    make_parser.__globals__.update(VIDEO_PATH="videos", label_path="labels")
    args = make_parser().parse_args([])
    assert (args.video_path, args.label_path) == ("videos", "labels")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "error: where are the videos and csv files? Give --video_path and --label_path, or set VIDEO_PATH"),
        (["--video_path", ".", "--label_path", "nowhere"], "error: nowhere: cannot be read (No such file"),
        (["--video_path", "nowhere", "--label_path", "."], "error: nowhere: cannot be listed (No such file"),
        (
            ["--video_path", ".", "--label_path", ".", "--splits", "val"],
            "error: --splits val: there is no CSV file of this split",
        ),
        (["--video_path", ".", "--label_path", ".", "--dataset", "k500"], "error: argument --dataset: invalid choice"),
        (["--video_path", ".", "--label_path", "."], "error: .: none of its 0 videos has a name from the annotations"),
    ],
)
def test_bad_input_ends_in_one_line(arguments: list[str], said: str, call: Call, tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(HEADER + "zumba,abc,1,11,train,0\n")
    ended = call(TOOL, *arguments, status=2)
    assert ended.err.startswith(said) and len(ended.err.splitlines()) == 1, ended.err
    assert [path.name for path in tmp_path.iterdir()] == ["train.csv"]


@pytest.mark.parametrize(
    ("text", "names", "labels"),
    [
        (HEADER + "a b,id1,1,11,train,0\n", ["id1_000001_000011"], [0]),
        ("time_end,label,youtube_id,time_start\n12.0,x,--i,2.0\n12,y,_i,2\n12,x,j,2\n",
         ["--i_000002_000012", "_i_000002_000012", "j_000002_000012"], [0, 1, 0]),
        ('label,youtube_id,time_start,time_end\n"a, ""b""",i,0,10\n', ["i_000000_000010"], [0]),
        ("youtube_id,time_start,time_end\ni,0,10\n", ["i_000000_000010"], [-1]),
        ("label,youtube_id,time_start,time_end\n,i,0,10\n", ["i_000000_000010"], [-1]),
        ("YouTube_ID , Label\ni,x\n", ["i"], [0]),
    ],
)  # fmt: skip
def test_csv_files_are_read_by_their_header(text: str, names: list[str], labels: list[int], tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(text)
    clips = read_clips(tmp_path / "train.csv")
    assert list(clips.names) == names and clips.labels.tolist() == labels


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "train.csv:1: the header has no column youtube_id"),
        ("zumba,abc,1,11\n", "train.csv:1: the header has no column youtube_id: 'zumba, abc"),
        (HEADER, "train.csv: contains no clips"),
        (HEADER + "zumba,abc,1\n", "train.csv:2: 3 columns, but the header has 6"),
        (
            HEADER + "zumba,abc,one,11,train,0\n",
            "train.csv:2: time_start and time_end (one, 11) must be numbers of seconds",
        ),
        (HEADER + "zumba,,1,11,train,0\n", "train.csv:2: no youtube_id"),
        (HEADER + "zumba,abc,1,11,train,0\n,abd,1,11,train,0\n", "train.csv:3: no label"),
        (HEADER + ",abc,1,11,train,0\nzumba,abd,1,11,train,0\n", "train.csv:3: a label, but earlier lines have"),
    ],
)
def test_wrong_csv_files_are_named_with_the_line(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(text)
    with pytest.raises(InputError, match=re.escape(said)):
        read_clips(tmp_path / "train.csv")


def write_csv(folder: Path, labels: list[str], name: str = "train.csv") -> list[Path]:
    rows = [f'"{label}",id{number},0,10,,0\n' for number, label in enumerate(labels)]
    (folder / name).write_text(HEADER + "".join(rows))
    return annotation_files([str(folder)])


def test_class_ids_are_places_in_the_published_order(tmp_path: Path) -> None:
    files = write_csv(tmp_path, ["zumba", "petting_animal_(not_cat)", "Massaging persons head", "abseiling"])
    dataset, annotations = read_kinetics(files, None, None)
    ids = [NAMES.index(name) for name in ("zumba", "petting animal (not cat)", "massaging person's head", "abseiling")]
    assert dataset == "k400" and annotations.splits[0].labels.tolist() == ids and annotations.classes == NAMES


def test_other_kinetics_are_alphabetical_over_all_csv_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="1 class, not all of Kinetics-400: give the dataset, --dataset"):
        read_kinetics(write_csv(tmp_path, ["zydeco"]), None, None)
    files = write_csv(tmp_path, ["aaa", "archery"], "kinetics-600_val.csv")
    with pytest.raises(InputError, match=r"3 classes, but k600 has 600; are CSV files missing\?; if 3 is"):
        read_kinetics(files, "k600", None)
    annotations = read_kinetics(files, "k600", None, 3)[1]
    assert annotations.classes == ["aaa", "archery", "zydeco"]
    assert [split.labels.tolist() for split in annotations.splits] == [[2], [0, 1]]
    labels = [f"class {number:03d}" for number in range(700)]
    assert read_kinetics(write_csv(tmp_path, labels)[-1:], None, None)[0] == "k700"


def test_a_class_name_file_overrides_the_order(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("zumba\nabseiling\n")
    files = write_csv(tmp_path, ["abseiling", "zumba"])
    assert read_kinetics(files, "k400", str(tmp_path / "names.txt"), 2)[1].splits[0].labels.tolist() == [1, 0]
    (tmp_path / "names.txt").write_text("zumba\n")
    with pytest.raises(InputError, match=r"train.csv:2: the label 'abseiling' is not in the list of 1 class"):
        read_kinetics(files, "k400", str(tmp_path / "names.txt"), 1)
    with pytest.raises(InputError, match=r"names\.txt: 1 class, but k400 has 400"):
        read_kinetics(files, "k400", str(tmp_path / "names.txt"))


def test_folders_of_splits_go_by_several_names(tmp_path: Path) -> None:
    annotations = read_kinetics(write_csv(tmp_path, ["zumba"]), "k400", None)[1]

    def places() -> list[str]:
        return [plan.under for plan in kinetics_plans(annotations, str(tmp_path), "", None, Path)]

    assert places() == [""]  # without such folders, all videos are used
    (tmp_path / "val").mkdir()
    with pytest.raises(InputError, match="no split has both a CSV file with labels and a folder of videos"):
        places()
    (tmp_path / "train_256").mkdir()
    assert places() == ["train_256"]
    (tmp_path / "k400_train").mkdir()
    with pytest.raises(InputError, match=r"the folder of train could be k400_train or train_256\. Link the"):
        places()
    (tmp_path / "train").mkdir()
    assert places() == ["train"]
    assert pick([tmp_path / "trainer.csv", tmp_path / "restrain.csv"], ["train"], "it") is None


CLIP = "abcdefghijk_000000_000010.mp4"


def write_clips(root: Path, *names: str) -> None:
    """Write videos of 8 frames; names that begin with `broken` give empty files, and `cut` truncated ones."""
    whole = media.write_video(root / "whole.mp4", 8, (32, 32))
    for name in names:
        path = root / name.split()[-1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"" if name.startswith("broken ") else whole.read_bytes())
        if name.startswith("cut "):
            media.truncate(path, 0.8)
    whole.unlink()


@pytest.mark.parametrize(
    ("files", "listed", "said"),
    [
        (["broken train/a/", "train/b/"], "train/b/", "train/a/{} cannot be read"),
        (["train/a/", "broken train/b/"], "train/a/", "train/b/{} cannot be read"),
        (["cut train/a/", "train/b/"], "train/b/", "train/a/{} is a duplicate: train/b/{} is used"),
        (["broken train/", "replacement/for_corrupted/"], "replacement/for_corrupted/", "train/{} cannot be read"),
        (["train/", "replacement_for_corrupted_k400/"], "replacement_for_corrupted_k400/", "train/{} is a duplicate"),
        (["train/", "broken replacement_for_corrupted_k400/"], "train/", "replacement_for_corrupted_k400/{} cannot be"),
        (["broken x/", "replacement/"], "replacement/", "x/{} cannot be read"),
        (["replacement/", "train/other/"], "replacement/", "train/other/{} is a duplicate"),
        (["broken train/", "broken replacement/"], None, "train/{} is unusable too"),
    ],
)
def test_if_a_clip_has_several_files_the_readable_one_is_listed(
    files: list[str], listed: str | None, said: str, call: Call, tmp_path: Path
) -> None:
    write_clips(tmp_path, *(folder + CLIP for folder in files))
    (tmp_path / "train.csv").write_text(HEADER + f"zumba,{CLIP[:11]},0,10,train,0\n")
    call(TOOL, "--video_path", ".", "--label_path", ".", "-j", 1, status=0 if listed else 1)
    wanted = f"{listed}{CLIP} 8 399\n" if listed else ""
    assert (tmp_path / "k400_train_list.txt").read_text() == wanted
    assert said.replace("{}", CLIP) in (tmp_path / "missing_k400_train_list.txt").read_text()


def test_a_preview_is_not_listed_for_the_video(call: Call, tmp_path: Path) -> None:
    write_clips(tmp_path, "train/" + CLIP)
    media.write_video(tmp_path / "train" / CLIP.replace(".mp4", ".gif"), 3, (32, 32), codec="gif", pix_fmt="rgb8")
    (tmp_path / "train.csv").write_text(HEADER + f"zumba,{CLIP[:11]},0,10,train,0\n")
    call(TOOL, "--video_path", ".", "--label_path", ".", "-j", 1)
    assert (tmp_path / "k400_train_list.txt").read_text() == f"train/{CLIP} 8 399\n"
    call(TOOL, "--video_path", ".", "--label_path", ".", "-j", 1, "-e", "gif")
    assert (tmp_path / "k400_train_list.txt").read_text() == f"train/{CLIP[:-4]}.gif 3 399\n"


def splits_of(folder: Path, **files: str) -> dict[str, list[str]]:
    """The clips of each split according to CSV files with the given rows `id,split`."""
    for name, rows in files.items():
        (folder / f"{name}.csv").write_text(
            "label,youtube_id,split\n" + "".join(f"zumba,{row}\n" for row in rows.split())
        )
    annotations = read_kinetics(annotation_files([str(folder)]), None, None)[1]
    return {split.name: list(split.names) for split in annotations.splits}


@pytest.mark.parametrize(
    ("files", "splits"),
    [
        (
            {"kinetics400": "a,train b,val c,validate d,test e,train"},
            {"train": ["a", "e"], "val": ["b", "c"], "test": ["d"]},
        ),
        ({"k400_train_val": "a,train b,val"}, {"train": ["a"], "val": ["b"]}),
        ({"train": "a,train", "val": "b,validate"}, {"train": ["a"], "val": ["b"]}),
        ({"train": "a,", "val": "b,holdout"}, {"train": ["a"], "val": ["b"]}),
    ],
)
def test_the_column_split_says_which_clips_are_of_a_split(
    files: dict[str, str], splits: dict[str, list[str]], tmp_path: Path
) -> None:
    assert splits_of(tmp_path, **files) == splits


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"train": "a,train b,val"}, "train.csv:3: its split is 'val' in the CSV file of train"),
        ({"all": "a,train b,holdout"}, "all.csv:3: the column split does not name one of the splits: "
         "'holdout'"),
        ({"one": "a,train", "two": "b,val"}, "the CSV file of all splits could be one.csv or two.csv. Give the right "
         "files: --annotations"),
        ({"a_train": "a,train", "b_train": "b,train"}, "the CSV file of train could be a_train.csv or b_train.csv. "
         "Give the right files: --annotations"),
    ],
)  # fmt: skip
def test_splits_that_cannot_be_told_are_refused(files: dict[str, str], said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        splits_of(tmp_path, **files)


def test_only_the_named_annotation_files_are_used(call: Call, tmp_path: Path) -> None:
    write_clips(tmp_path, "train/" + CLIP)
    for name, label in (("a_train.csv", "zumba"), ("b_train.csv", "abseiling")):
        (tmp_path / name).write_text(HEADER + f"{label},{CLIP[:11]},0,10,train,0\n")
    run = [TOOL, "--video_path", ".", "--label_path", ".", "-j", 1]
    assert "a_train.csv or b_train.csv. Give the right files: --annotations" in call(*run, status=2).err
    call(*run, "--annotations", "b_train.csv")
    assert (tmp_path / "k400_train_list.txt").read_text() == f"train/{CLIP} 8 0\n"


def test_one_wrong_label_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        read_kinetics(write_csv(tmp_path, [*NAMES[:20], "abseilin"]), None, None)
    assert str(error.value).startswith(f"{tmp_path / 'train.csv'}:22: the label 'abseilin' is not a class of Kin")
    labels = [label for number in range(600) for label in [f"class {number:03d}"] * 2]
    with pytest.raises(InputError) as error:
        read_kinetics(write_csv(tmp_path, [*labels, "clas 000"]), "k600", None)
    assert "601 classes, but k600 has 600; the one with the fewest clips is 'clas 000', " in str(error.value)
    assert "train.csv:1202; if 601 is correct, give --num_class 601" in str(error.value)


def test_annotations_that_are_compressed_or_lack_labels_are_named(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(HEADER + "zumba,abc,1,11,train,0\n")
    (tmp_path / "val.csv.gz").write_bytes(b"")
    with pytest.raises(InputError, match=r"val\.csv\.gz: is compressed, and there is no val\.csv: unpack it"):
        read_kinetics(annotation_files([str(tmp_path)]), None, None)
    (tmp_path / "val.csv").write_text("youtube_id\nabd\n")
    annotations = read_kinetics(annotation_files([str(tmp_path)]), None, None)[1]
    with pytest.raises(InputError, match=r"val\.csv: its clips have no labels, but val needs them"):
        kinetics_plans(annotations, str(tmp_path), "", None, Path)
    assert len(kinetics_plans(annotations, str(tmp_path), "", ["train"], Path)) == 1


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("train/a/--QUuC4vJs_000084_000095.mp4", 0),
        ("--QUuC4vJs_000084_000095 (1).mp4", 0),
        ("abseiling_abcdefghijk_000001_000011_small.mp4", 1),
        ("abcdefghijk.mp4", None),  # two clips have this id
        ("_id_of_one_.mp4", 3),
        ("QUuC4vJs_000084_000095.mp4", None),
        ("--QUuC4vJs_000084_000096.mp4", None),
    ],
)
def test_files_of_clips_are_known_by_their_names(path: str, found: int | None) -> None:
    names = ["--QUuC4vJs_000084_000095", "abcdefghijk_000001_000011", "abcdefghijk_000002_000012",
             "_id_of_one__000000_000010"]  # fmt: skip
    matches = match(names, [path], RULES, lambda path: os.path.splitext(path)[0])
    assert matches.files.tolist() == [0 if number == found else -1 for number in range(4)]


def test_the_exact_name_comes_first_then_the_first_path() -> None:
    names = ["abcdefghijk_000001_000011", "abcdefghijk_000001_000011"]
    paths = ["a/x_abcdefghijk_000001_000011", "b/abcdefghijk_000001_000011", "c/abcdefghijk_000001_000011"]
    matches = match(names, paths, RULES, str)
    assert matches.files.tolist() == [1, -1] and matches.again.tolist() == [False, True]
    assert sorted(matches.spare) == [(0, 0), (2, 0)]


def test_trees_are_walked_in_order_and_not_in_circles(tmp_path: Path) -> None:
    for name in ("b/x.MP4", "b/é \udce9.webm", "a.mp4", "b/c/1.jpg", "d/.hidden.mp4", "d/text.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "b" / "back").symlink_to(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "b" / "c")
    (tmp_path / "broken.mp4").symlink_to(tmp_path / "nothing")
    assert list(find_videos(tmp_path)) == ["a.mp4", "b/x.MP4", "b/é \udce9.webm", "broken.mp4"]
    assert list(find_videos(tmp_path, under="b")) == ["b/back/a.mp4", "b/back/broken.mp4", "b/x.MP4", "b/é \udce9.webm"]
    assert list(find_frame_folders(tmp_path)) == ["b/c", "d", "link"]
    with pytest.raises(InputError, match="nowhere: cannot be listed"):
        find_videos(tmp_path / "nowhere")


def test_the_log_takes_any_file_name(capsys: pytest.CaptureFixture[str]) -> None:
    start_logging()
    logging.getLogger("ops.prepare").warning("%s is odd", "é\udce9")
    assert capsys.readouterr().err == "warning: é\\udce9 is odd\n"


def test_string_arrays_take_little_memory() -> None:
    texts = StringArray(["a", "", "é\udce9", "d"])
    assert list(texts) == ["a", "", "é\udce9", "d"] and texts[2] == "é\udce9" and len(texts) == 4
    with pytest.raises(IndexError):
        texts[4]
    assert list(StringArray([])) == []


@pytest.mark.parametrize("path", ["a 3", "a b.mp4", "--x.mp4", "#;'\".mp4", "é\udce9", "a\tb", "a: b"])
def test_a_line_that_is_written_can_be_read(path: str, tmp_path: Path) -> None:
    line = format_line(Record(path, 5, -1))
    (tmp_path / "list.txt").write_text(line, "utf-8", "surrogateescape")
    assert list(read_records(tmp_path / "list.txt", False)) == [Record(path, 5, -1)]


@pytest.mark.parametrize("path", ["a\nb", " a", "a ", "a\rb", "http://x/a.mp4", "concat:a|b", "a\0b", ""])
def test_a_path_that_could_not_be_read_back_is_not_written(path: str) -> None:
    with pytest.raises(ValueError):
        format_line(Record(path, 5, 0))


def test_class_names_beside_the_lists_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ops.data.open_lists import find_class_names

    monkeypatch.setenv("TAM_DATASETS", str(tmp_path))
    (tmp_path / "Kinetics600").mkdir()
    (tmp_path / "Kinetics600" / "k600_class_names.txt").write_text("one\ntwo\n")
    assert find_class_names(DATASETS["kinetics600"], None, None) == ["one", "two"]
    assert read_class_names(tmp_path / "Kinetics600" / "k600_class_names.txt") == ["one", "two"]
