"""List files: which lines are records, which are refused and how, and what the records cost."""

import hashlib
import os
import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from ops.errors import InputError
from ops.records import UNKNOWN, Record, Records, read_records

FRAMES, VIDEOS = True, False  # counts_in_pairs


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
        ("x 0 0", ("x", 0, 0)),
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


def test_undecodable_bytes_reach_the_file_system_unchanged(tmp_path: Path) -> None:
    records = read(tmp_path, b"caf\xe9/\xff.mp4 3 0\n")
    assert os.fsencode(records.path(0)) == b"caf\xe9/\xff.mp4"


@pytest.mark.parametrize(
    ("line", "kind", "says"),
    [
        ("x", FRAMES, "expected 'path num_frames label', got 'x'"),
        ("x 300 5.0", FRAMES, "expected 'path num_frames label'"),
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
        (b"a 3 0\nb\0 3 0\n", ":2: a NUL byte"),
        ("a 3 0\n".encode("utf-16"), ":1: a NUL byte"),
    ],
    ids=["missing", "no bytes", "blank", "only a BOM", "NUL", "UTF-16"],
)
def test_what_is_no_list_is_refused_by_name(tmp_path: Path, data: bytes | None, says: str) -> None:
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
        ("0 1 3", False, r":3: label 3 is outside 0…2 \(1 such lines\)"),
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
    assert "none of its 2 paths exists" in str(error.value)
    assert str(tmp_path / "wrong" / "one") in str(error.value)


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
