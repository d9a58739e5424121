"""Tools write index files beside lists of videos, and readers use them."""

import itertools
import os
from pathlib import Path

import media
import pytest
from conftest import Call

from ops.common.errors import MediaError
from ops.common.storage import stamp_of
from ops.data import video_index
from ops.data.index_file import index_file_of, is_index_file
from ops.data.lists import read_records
from ops.data.pyav_videos import VideoReader

CHECK = "tools/check_dataset.py"


def read_by_index(source: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The frame count of each video of a list, read only from the index file."""
    records = read_records(source, counts_in_pairs=False)
    reader, counts = VideoReader().prepare(records, root), []
    with monkeypatch.context() as patch:
        patch.setattr(video_index, "PacketScan", None)
        for record in records:
            with reader.open(os.path.join(root, record.path), -1) as video:
                counts.append(len(video))
                video.read([len(video) - 1])
    return counts


def write_videos(folder: Path) -> None:
    for number in range(6):
        path = folder / f"class {number % 2}" / f"{number}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        media.write_video(path, 12 + number, seed=number)


def test_gen_labels_writes_an_index_beside_each_list(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_videos(tmp_path / "videos")
    run = ["tools/gen_labels.py", "folder", "--data", "videos", "--out", "lists", "-j", 1]
    call(*run)
    lists = sorted((tmp_path / "lists").rglob("*.index"))
    counts = [read_by_index(path.with_suffix(""), tmp_path / "videos", monkeypatch) for path in lists]
    assert sorted(itertools.chain(*counts)) == [12, 13, 14, 15, 16, 17] and len(counts) == 2
    for path in lists:
        path.unlink()
    call(*run)  # the indexes come from the journal
    assert sorted((tmp_path / "lists").rglob("*.index")) == lists
    for path in lists:
        path.unlink()
    call(*run[:-2], "--verify", "header", "-j", 1)
    assert not list((tmp_path / "lists").rglob("*.index"))


def test_check_dataset_writes_an_index_for_lists_of_any_origin(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_videos(tmp_path)
    media.truncate(tmp_path / "class 1" / "5.mp4", 0.5)
    train, val = tmp_path / "train.txt", tmp_path / "val.txt"
    train.write_text("./class 0/0.mp4 0\nclass 1/1.mp4 1\nclass 1/none.mp4 1\n")
    val.write_text("class 0//2.mp4 0\nclass 1/5.mp4 1\n")
    arguments = ("custom", "--train_list", "train.txt", "--val_list", "val.txt", "--root_path", ".", "--num_class", 2)
    call(CHECK, *arguments, "-j", 1, "--write_clean", status=1)
    assert read_by_index(tmp_path / "check" / "train.clean.txt", tmp_path, monkeypatch) == [12, 13]
    assert read_by_index(tmp_path / "check" / "val.clean.txt", tmp_path, monkeypatch) == [14]
    with pytest.raises(MediaError, match="No such file"):  # the third video is missing
        read_by_index(train, tmp_path, monkeypatch)
    os.utime(tmp_path / "class 0" / "0.mp4", (1, 1))
    assert stamp_of(tmp_path / "class 0" / "0.mp4").endswith("-1000000000")
    with pytest.raises(TypeError):
        read_by_index(tmp_path / "check" / "train.clean.txt", tmp_path, monkeypatch)


def test_a_file_of_another_origin_is_not_overwritten(call: Call, tmp_path: Path) -> None:
    write_videos(tmp_path)
    (tmp_path / "train.txt").write_text("class 0/0.mp4 0\nclass 1/1.mp4 1\n")
    foreign = index_file_of(tmp_path / "train.txt")
    foreign.write_text("an index of mine\n")
    ended = call(CHECK, "custom", "--train_list", "train.txt", "--root_path", ".", "--num_class", 2, "-j", 1)
    assert "train.txt.index: was not written by this project and is not overwritten" in ended.err
    assert foreign.read_text() == "an index of mine\n" and not is_index_file(foreign)
