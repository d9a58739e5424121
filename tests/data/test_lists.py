"""List files: lines that are read as records, lines that are refused, and the memory that records take."""

import contextlib
import hashlib
import os
import pickle
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from ops.common.errors import InputError
from ops.data.list_lines import UNKNOWN
from ops.data.lists import Record, Records, read_records

FRAMES, VIDEOS = True, False  # values of counts_in_pairs


def read(folder: Path, text: str | bytes, counts_in_pairs: bool = FRAMES) -> Records:
    path = folder / "list.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_records(path, counts_in_pairs)


@pytest.mark.parametrize("kind", [FRAMES, VIDEOS])
@pytest.mark.parametrize(
    ("line", "record"),
    [
        ("abseiling/x 300 0", ("abseiling/x", 300, 0)),
        ("abseiling/x.mp4\t300\t0", ("abseiling/x.mp4", 300, 0)),
        ("  playing  the guitar 2/x y.mp4   300   17  ", ("playing  the guitar 2/x y.mp4", 300, 17)),
        ("7 300 0", ("7", 300, 0)),
        ("7 8 300 0", ("7 8", 300, 0)),
        ("/absolute/x.mp4 300 0", ("/absolute/x.mp4", 300, 0)),
        ("../x.mp4 300 0", ("../x.mp4", 300, 0)),
        ("-x.mp4 300 0", ("-x.mp4", 300, 0)),
        ("a#b;c,d.mp4 300 0", ("a#b;c,d.mp4", 300, 0)),
        ("a: b.mp4 300 0", ("a: b.mp4", 300, 0)),
        ("file/http/data.mp4 300 0", ("file/http/data.mp4", 300, 0)),
        ("走る/ü🏃.mp4 300 0", ("走る/ü🏃.mp4", 300, 0)),
        ("x 300 -1", ("x", 300, UNKNOWN)),
        ("x 2147483647 2147483647", ("x", 2147483647, 2147483647)),
    ],
)
def test_three_columns_are_path_frame_count_and_label(
    tmp_path: Path, line: str, record: tuple[str, int, int], kind: bool
) -> None:
    assert list(read(tmp_path, line + "\n", kind)) == [Record(*record)]


@pytest.mark.parametrize(
    ("line", "kind", "record"),
    [
        ("a b 30", FRAMES, ("a b", 30, UNKNOWN)),
        ("a b.mp4 30", VIDEOS, ("a b.mp4", UNKNOWN, 30)),
        ("12345 30", FRAMES, ("12345", 30, UNKNOWN)),
        ("12345 30", VIDEOS, ("12345", UNKNOWN, 30)),
        ("12345", VIDEOS, ("12345", UNKNOWN, UNKNOWN)),
        ("a b.mp4", VIDEOS, ("a b.mp4", UNKNOWN, UNKNOWN)),
    ],
)
def test_fewer_columns_mean_what_the_reader_says(
    tmp_path: Path, line: str, kind: bool, record: tuple[str, int, int]
) -> None:
    assert list(read(tmp_path, line, kind)) == [Record(*record)]


@pytest.mark.parametrize(
    "text",
    [
        b"a 3 0\nb 4 1\n",
        b"a 3 0\nb 4 1",
        b"a 3 0\r\nb 4 1\r\n",
        b"\xef\xbb\xbfa 3 0\nb 4 1\n",
        b"\n  \na 3 0\n\r\n\t\nb 4 1\n\n",
    ],
    ids=["plain", "no last newline", "CRLF", "BOM", "blank lines"],
)
def test_line_ends_byte_order_marks_and_blank_lines_do_not_matter(tmp_path: Path, text: bytes) -> None:
    assert list(read(tmp_path, text)) == [Record("a", 3, 0), Record("b", 4, 1)]


FORM = {FRAMES: "expected 'path num_frames label'", VIDEOS: "expected 'path label' or 'path num_frames label'"}

DIALECTS = [
    # SlowFast, VideoMAE, UniFormer, InternVideo: csv files with spaces or commas
    ("a/x.mp4 5\na/y z.mp4 0\n", VIDEOS, [("a/x.mp4", -1, 5), ("a/y z.mp4", -1, 0)]),
    ("a/x.mp4,5\na/y z.mp4,0\n", VIDEOS, [("a/x.mp4", -1, 5), ("a/y z.mp4", -1, 0)]),
    ("a/x.mp4, 5\n", VIDEOS, [("a/x.mp4", -1, 5)]),
    ("a/x.mp4;5\n", VIDEOS, [("a/x.mp4", -1, 5)]),
    ("a/x.mp4,300,5\n", VIDEOS, [("a/x.mp4", 300, 5)]),
    ("a/x,300,5\n", FRAMES, [("a/x", 300, 5)]),
    ('"a/x, y ""z"".mp4",5\n', VIDEOS, [('a/x, y "z".mp4', -1, 5)]),
    # MMAction2 and TSN: frames and videos, with spaces or tabs
    ("a/x 300 5\n", FRAMES, [("a/x", 300, 5)]),
    ("a/x.mp4\t5\n", VIDEOS, [("a/x.mp4", -1, 5)]),
    # UCF101's own lists: one column, or labels counted from 1, which are recognised by the class count
    ("Archery/v_Archery_g01_c01.avi\n", VIDEOS, [("Archery/v_Archery_g01_c01.avi", -1, -1)]),
    # header lines
    ("path,label\na.mp4,5\n", VIDEOS, [("a.mp4", -1, 5)]),
    ("\ufeff\nvideo_path num_frames label\na 300 5\n", FRAMES, [("a", 300, 5)]),
    ('"filename","class_id"\n"a.mp4",5\n', VIDEOS, [("a.mp4", -1, 5)]),
    ("path num_frames\na 300\n", FRAMES, [("a", 300, -1)]),
    ("path num_frames\na.mp4 300\n", VIDEOS, [("a.mp4", 300, -1)]),
    # comments
    ("# made by hand\n#\n####\n## path label\na.mp4 5\n  # end\n", VIDEOS, [("a.mp4", -1, 5)]),
    ("#1 fan.mp4 300 5\n", VIDEOS, [("#1 fan.mp4", 300, 5)]),
    ("./#1.mp4\n", VIDEOS, [("./#1.mp4", -1, -1)]),
    # whole numbers written as floats, as NumPy and pandas do
    ("a.mp4 5.0\nb.mp4,6.\n", VIDEOS, [("a.mp4", -1, 5), ("b.mp4", -1, 6)]),
    ("a 300.0 5.0\n", FRAMES, [("a", 300, 5)]),
    ("take 2.0\n", VIDEOS, [("take 2.0", -1, -1)]),
    # labels as names of known classes
    ("a.mp4 jump\nb c.mp4,run away\n", VIDEOS, [("a.mp4", -1, 0), ("b c.mp4", -1, 1)]),
    ('a.mp4,"throw, far"\n', VIDEOS, [("a.mp4", -1, 2)]),
    ("a b 300 run away\nc,30,jump\n", FRAMES, [("a b", 300, 1), ("c", 30, 0)]),
    ("a.mp4 300 jump\n", VIDEOS, [("a.mp4", 300, 0)]),
    # paths that look like something else
    ("my.mp4 frames/a 300 5\n", FRAMES, [("my.mp4 frames/a", 300, 5)]),
    ("x,5 3\n", VIDEOS, [("x,5", -1, 3)]),
    ("a 0 5\n", FRAMES, [("a", 0, 5)]),
]


@pytest.mark.parametrize(("text", "kind", "records"), DIALECTS)
def test_lists_of_other_programs_are_read(
    tmp_path: Path, text: str, kind: bool, records: list[tuple[str, int, int]]
) -> None:
    path = tmp_path / "list.txt"
    path.write_text(text, "utf-8")
    found = read_records(path, kind, ["jump", "run away", "throw, far"])
    assert [(record.path, record.num_frames, record.label) for record in found] == records


@pytest.mark.parametrize(
    ("text", "kind", "number", "says"),
    [
        # several labels, or possibly so: MMAction2's multi-label lists, VideoMAE's lists for pretraining
        ("x.mp4 0 1", VIDEOS, 1, "0 frames, or are these two labels?"),
        ("x.mp4 0 1", FRAMES, 1, "0 frames, or are these two labels?"),
        ("x.mp4 0 -1", VIDEOS, 1, "0 frames, or are these two labels?"),
        ("x 0 1", VIDEOS, 1, "0 frames, or are these two labels?"),
        ("x.mp4 3 1 5", VIDEOS, 1, "several labels"),
        ("x.mp4 1,2", VIDEOS, 1, "several labels"),
        ("x.mp4,3,1,5", VIDEOS, 1, "several labels"),
        ("x.mp4 [1, 2]", VIDEOS, 1, "several labels"),
        ("x.mp4 1|2", VIDEOS, 1, "several labels"),
        ("x.mp4,300 5", VIDEOS, 1, "several labels"),
        ("x.mp4 300 5 1", FRAMES, 1, "several labels"),
        ("x.mp4 5\ny.mp4 3 7", VIDEOS, 2, "3 columns, but earlier lines have 2"),
        ("x.mp4 300 5\ny.mp4 7", VIDEOS, 2, "2 columns, but earlier lines have 3"),
        # labels that are not whole numbers
        ("x.mp4 ApplyEyeMakeup", VIDEOS, 1, "the label 'ApplyEyeMakeup' is neither a number"),
        ("x.mp4,run away", VIDEOS, 1, "the label 'run away' is neither a number"),
        ("x.mp4 0.5", VIDEOS, 1, "the label '0.5' is neither a number"),
        ("x.mp4 run 5", VIDEOS, 1, "an unknown column, 'run'"),
        ("x 300 jump", FRAMES, 1, "no frame count"),
        # comments, headers
        ("#x.mp4", VIDEOS, 1, "this could be a comment or a path"),
        ("label,path\n5,x.mp4", VIDEOS, 1, "a header with other columns"),
        (",path,label\n0,x.mp4,5", VIDEOS, 1, "a header with other columns"),
        ("path,label\nx,5", FRAMES, 1, "a header without a column of frame counts"),
        ("path,label\nx.mp4,300,5", VIDEOS, 2, "3 columns, but the header has 2"),
        (
            "label,youtube_id,time_start,time_end,split\na,b,1,2,train",
            VIDEOS,
            1,
            "make a list from them with tools/gen_labels.py",
        ),
        ("video_id,label,frames\n1,a,37", FRAMES, 1, "make a list from them with tools/gen_labels.py"),
        ('[\n{"id": "1"}]', VIDEOS, 1, "this looks like JSON"),
        ('{"a.mp4": 1}', VIDEOS, 1, "this looks like JSON"),
        ("34870;Drumming Fingers", FRAMES, 1, "no frame count"),
    ],
)
def test_lists_that_may_mean_something_else_are_refused(
    tmp_path: Path, text: str, kind: bool, number: int, says: str
) -> None:
    with pytest.raises(InputError) as error:
        read(tmp_path, text + "\n", kind)
    message, line = str(error.value), text.splitlines()[number - 1]
    assert message.startswith(f"{tmp_path / 'list.txt'}:{number}: ") and says in message
    assert f"; {FORM[kind]}, got '{line}'" in message and "\n" not in message


def test_a_hostile_line_does_not_take_long(tmp_path: Path) -> None:
    began = time.perf_counter()
    long = ["x" + " " * 200_000 + "y,", "1," * 100_000, ".mp4 " * 40_000, "9 " * 100_000 + "x", "," * 200_000 + "1"]
    for line in long:
        with contextlib.suppress(InputError):
            read_records(_written(tmp_path, line), VIDEOS, ["jump"])
    assert time.perf_counter() - began < 5


def _written(folder: Path, text: str) -> Path:
    path = folder / "long.txt"
    path.write_text(text)
    return path


def test_undecodable_bytes_reach_the_file_system_unchanged(tmp_path: Path) -> None:
    records = read(tmp_path, b"caf\xe9/\xff.mp4 3 0\n")
    assert os.fsencode(records.path(0)) == b"caf\xe9/\xff.mp4"


@pytest.mark.parametrize(
    ("line", "kind", "says"),
    [
        ("x", FRAMES, "expected 'path num_frames label', got 'x'"),
        ("x 300 5.5", FRAMES, "expected 'path num_frames label'"),
        ("x 300 five", FRAMES, "expected 'path num_frames label'"),
        ("300", FRAMES, "expected 'path num_frames label'"),
        ("x -300 5", FRAMES, "num_frames (-300)"),
        ("x 300 -2", VIDEOS, "label (-2)"),
        ("x 2147483648 0", FRAMES, "too large"),
        ("x 99999999999999999999", VIDEOS, "too large"),
        ("x -99999999999999999999 0", FRAMES, "must not be negative"),
        ("x " + "9" * 5000 + " 0", FRAMES, ""),
        ("http://host/x.mp4 300 0", VIDEOS, "not a plain file path"),
        ("RTSP://host/x 0", VIDEOS, "not a plain file path"),
        ("concat:a.mp4|b.mp4 0", VIDEOS, "not a plain file path"),
        ("subfile,,start,0,end,9,,:x.mp4 0", VIDEOS, "not a plain file path"),
        ("pipe:0", VIDEOS, "not a plain file path"),
        ("data:video/mp4;base64,AAAA 0", VIDEOS, "not a plain file path"),
        ("file:///x.mp4 0", VIDEOS, "not a plain file path"),
        ("a 300 0\rb 300 0", FRAMES, "not a plain file path"),
    ],
)
def test_a_bad_line_is_named_by_file_and_number(tmp_path: Path, line: str, kind: bool, says: str) -> None:
    with pytest.raises(InputError) as error:
        read(tmp_path, f"good 3 0\n\n{line}\nx 3 0\n", kind)
    assert str(error.value).startswith(f"{tmp_path / 'list.txt'}:3: ")
    assert says in str(error.value)
    assert len(str(error.value)) < 400 + len(str(tmp_path))


@pytest.mark.parametrize("kind", [FRAMES, VIDEOS])
def test_a_lone_number_far_below_zero_is_an_input_error(tmp_path: Path, kind: bool) -> None:
    with pytest.raises(InputError, match=r"list\.txt:1: "):
        read(tmp_path, "x -99999999999", kind)


def test_a_negative_frame_count_is_refused_in_two_columns_too(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"list\.txt:1: num_frames \(-5\)"):
        read(tmp_path, "x -5", FRAMES)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (None, ": cannot read the list (No such file or directory)"),
        (b"", ": the list is empty"),
        (b"\n \r\n", ": the list is empty"),
        (b"\xef\xbb\xbf", ": the list is empty"),
        (b"a 3 0\nb\0 3 0\n", ":2: contains a NUL byte"),
        ("a 3 0\n".encode("utf-16"), ":1: contains a NUL byte"),
    ],
    ids=["missing", "no bytes", "blank", "only a BOM", "NUL", "UTF-16"],
)
def test_files_that_are_no_lists_are_refused_by_name(tmp_path: Path, data: bytes | None, says: str) -> None:
    path = tmp_path / "list.txt"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(InputError) as error:
        read_records(path, FRAMES)
    assert str(error.value).startswith(f"{path}{says}")


def test_a_directory_is_no_list(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a directory"):
        read_records(tmp_path, FRAMES)


def test_records_are_a_sequence_with_columns(tmp_path: Path) -> None:
    text = "a b 3 0\n\nc 4 2\nü 5 1\n"
    records = read(tmp_path, text)
    assert len(records) == 3
    assert records[0] == records[-3] == Record("a b", 3, 0)
    assert records[-1] == records[2] == Record("ü", 5, 1)
    assert [record.path for record in reversed(records)] == ["ü", "c", "a b"]
    np.testing.assert_array_equal(records.num_frames, [3, 4, 5])
    np.testing.assert_array_equal(records.labels, [0, 2, 1])
    np.testing.assert_array_equal(records.lines, [1, 3, 4])
    assert records.where(1) == f"{tmp_path / 'list.txt'}:3"
    assert records.sha256 == hashlib.sha256(text.encode()).hexdigest()
    for index in (3, -4):
        with pytest.raises(IndexError):
            records[index]


@pytest.mark.parametrize(
    ("labels", "required", "says"),
    [
        ("0 1 2", True, None),
        ("0 -1 2", False, None),
        ("0 -1 2", True, ":2: no label"),
        ("0 3 9", True, r":2: label 3 is outside 0…2 \(2 such lines\)"),
        ("0 1 3", False, r":3: label 3 is outside 0…2 \(1 such lines\); check --num_class and the list"),
        ("1 2 3", True, r":3: label 3 is outside 0…2 \(1 such lines\); labels seem to count from 1 instead of 0"),
    ],
)
def test_labels_are_checked_against_the_class_count(
    tmp_path: Path, labels: str, required: bool, says: str | None
) -> None:
    records = read(tmp_path, "\n".join(f"x 3 {label}" for label in labels.split()))
    if says is None:
        records.check_labels(3, required)
    else:
        with pytest.raises(InputError, match=r"list\.txt" + says):
            records.check_labels(3, required)


def test_a_label_below_minus_one_is_never_a_class(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"label \(-7\)"):
        read(tmp_path, "x.mp4 -7", VIDEOS).check_labels(3, required=False)


def test_one_path_that_exists_is_enough(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    read(tmp_path, "missing 3 0\nthere 3 0\n").check_some_exist(tmp_path)
    read(tmp_path, f"missing 3 0\n{tmp_path}/there 3 0\n").check_some_exist("elsewhere")


def test_a_root_with_none_of_the_paths_is_refused_with_the_first_place_looked_at(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        read(tmp_path, "one 3 0\ntwo 3 0\n").check_some_exist(tmp_path / "wrong")
    assert "none of its 2 paths exists;" in str(error.value)
    assert str(tmp_path / "wrong" / "one") in str(error.value)


def test_absolute_paths_and_columns_too_many_are_not_blamed_on_the_root(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        read(tmp_path, "/nowhere/one 3 0\n").check_some_exist(tmp_path)
    assert "the first is /nowhere/one; --root_path does not apply to absolute paths" in str(error.value)
    (tmp_path / "one").mkdir()
    with pytest.raises(InputError) as error:
        read(tmp_path, "one 12 30 0\n").check_some_exist(tmp_path)  # with a first frame, or with two labels
    assert "but one does: " in str(error.value) and "list.txt:1 has too many columns, expected" in str(error.value)


@pytest.mark.parametrize(
    ("entry", "kind", "says"),
    [
        ("folder", "videos", "but videos are needed; for frame folders use main.py and test_models.py"),
        ("x.mp4", "frames", "but frame folders are needed; for videos use online_main.py"),
        ("folder", "frames", None),
        ("x.mp4", "videos", None),
        ("folder", None, None),
    ],
)
def test_lists_of_the_other_kind_are_refused(tmp_path: Path, entry: str, kind: str | None, says: str | None) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "x.mp4").touch()
    records = read(tmp_path, f"gone 3 0\n{entry} 3 0\n")
    if says is None:
        records.check_some_exist(tmp_path, kind)
    else:
        with pytest.raises(InputError, match=says):
            records.check_some_exist(tmp_path, kind)


def test_a_missing_label_is_shown_with_the_form_that_is_expected(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r":1: no label, but .*; expected 'path num_frames label', got 'x 30'"):
        read(tmp_path, "x 30", FRAMES).check_labels(3, required=True)
    with pytest.raises(InputError, match=r":1: no label, but .*; expected 'path label' or .*, got 'x y.mp4'"):
        read(tmp_path, "x y.mp4", VIDEOS).check_labels(3, required=True)


@pytest.mark.parametrize(("count", "paths"), [(1, ["a"]), (2, ["a", "b c"]), (99, ["a", "b c", "d"]), (0, [])])
def test_head_keeps_the_first_records_and_where_they_come_from(tmp_path: Path, count: int, paths: list[str]) -> None:
    records = read(tmp_path, "a 3 0\n\nb c 4 1\nd 5 2\n")
    head = records.head(count)
    assert [record.path for record in head] == paths
    assert list(head) == list(records)[:count]
    assert head.sha256 == records.sha256
    assert all(head.where(index) == records.where(index) for index in range(len(head)))


def test_records_survive_pickling(tmp_path: Path) -> None:
    records = read(tmp_path, b"a b 3 0\ncaf\xe9 4 1\n")
    again = pickle.loads(pickle.dumps(records))
    assert list(again) == list(records)
    assert (again.source, again.sha256, again.where(1)) == (records.source, records.sha256, records.where(1))


def test_records_are_held_in_columns_not_in_objects(tmp_path: Path) -> None:
    lines = [f"some_class/video_{number:06d}.mp4 300 {number % 400}" for number in range(20_000)]
    path = tmp_path / "list.txt"
    path.write_text("\n".join(lines))
    tracemalloc.start()
    try:
        records = read_records(path, FRAMES)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(records) == len(lines)
    assert held < path.stat().st_size + 24 * len(lines), "three int32 columns, an int64 offset and the text"
