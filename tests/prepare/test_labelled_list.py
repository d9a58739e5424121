"""The columns for paths, labels and splits are found in lists and CSV files."""

from pathlib import Path

import pytest

from ops.common.errors import InputError
from ops.prepare.labelled_list import Entry, class_order, read_labelled


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("a.mp4 3\n\n# a comment\nb c.mp4 4\n", [Entry("a.mp4", "3"), Entry("b c.mp4", "4")]),
        ("a.mp4 120 3\n", [Entry("a.mp4", "3")]),
        ("jump/a b.MKV arm wrestling\n", [Entry("jump/a b.MKV", "arm wrestling")]),
        ("clips/0001 120 run\nclips/0002 80 jump\n", [Entry("clips/0001", "run"), Entry("clips/0002", "jump")]),
        ("clips/0001 run\n", [Entry("clips/0001", "run")]),
        ('a.mp4,jump\n"b, c.mp4",run\n', [Entry("a.mp4", "jump"), Entry("b, c.mp4", "run")]),
        ("a.mp4;12;jump\n", [Entry("a.mp4", "jump")]),
        ("a.mp4\tarm wrestling\ttest\n", [Entry("a.mp4", "arm wrestling", "test")]),
        ("\ufefflabel,video_path,subset\nx,a.mp4,Training\n", [Entry("a.mp4", "x", "train")]),
        ("path label\na.mp4 7\n", [Entry("a.mp4", "7")]),
    ],
)
def test_columns(text: str, entries: list[Entry], tmp_path: Path) -> None:
    (tmp_path / "l").write_text(text, "utf-8")
    assert read_labelled(str(tmp_path / "l")) == entries


@pytest.mark.parametrize("line", ["a.mp4 3,17", "a.mp4 120 3;17", 'path,label\na.mp4,"3,17"'])
def test_several_labels_are_refused_in_one_line(line: str, tmp_path: Path) -> None:
    (tmp_path / "l").write_text(f"{line}\n", "utf-8")
    with pytest.raises(InputError, match=r":\d: several labels; lists with one label per video are made here"):
        read_labelled(str(tmp_path / "l"))


def test_numbers_are_ordered_by_value() -> None:
    assert class_order({"10", "9", "2"}) == ["2", "9", "10"] and class_order({"10", "b", "2"}) == ["10", "2", "b"]
