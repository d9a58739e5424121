"""Class name files are read in all supported formats, and class counts that do not match are refused."""

from pathlib import Path

import pytest

from ops.common.errors import InputError
from ops.data.class_names import check_class_count, read_class_names
from ops.data.dataset_configs import dataset_config
from ops.data.open_lists import find_class_names


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (b"a\nb c\n", ["a", "b c"]),
        (b"a\nb c", ["a", "b c"]),
        (b"a\r\nb c\r\n", ["a", "b c"]),
        (b"\xef\xbb\xbfa\n  b c  \n\n\n", ["a", "b c"]),
        ("走る\nü, (x)\n".encode(), ["走る", "ü, (x)"]),
        (b"one", ["one"]),
        (b"step 1\nstep 2\n", ["step 1", "step 2"]),
        (b"dance 2\njump\n", ["dance 2", "jump"]),
        (b"[a] b\nc\n", ["[a] b", "c"]),
        # UCF101's classInd.txt, Jester's categories.txt, and files numbered from 0 or in another order
        (b"1 ApplyEyeMakeup\r\n2 ApplyLipstick\r\n", ["ApplyEyeMakeup", "ApplyLipstick"]),
        (b"0 a b\n1 c\n", ["a b", "c"]),
        (b"2\tb\n1\ta\n", ["a", "b"]),
        (b"0,a\n1,b c\n", ["a", "b c"]),
        (b"b,1\na,0\n", ["a", "b"]),
        (b"abseiling 0\nair drumming 1\n", ["abseiling", "air drumming"]),
        # csv with a header
        (b"id,name\n0,abseiling\n1,air drumming\n", ["abseiling", "air drumming"]),
        (b'"name","id"\n"a, ""b""",1\nc,0\n', ["c", 'a, "b"']),
        (b"label;class\n1;a\n2;b\n", ["a", "b"]),
        # JSON: Something-Something's labels.json, class lists of PyTorchVideo and others, Diving48_vocab.json
        (b'{"Holding something": "1", "Bending something": "0"}', ["Bending something", "Holding something"]),
        (b'{"\\"air drumming\\"": 1,\n\n "abseiling": 0}', ["abseiling", "air drumming"]),
        (b'{"0": "abseiling", "1": "air drumming"}', ["abseiling", "air drumming"]),
        (b'["1 hand", "2 hands"]', ["1 hand", "2 hands"]),
        (b'[["Back", "15som", "FREE"], ["Inward", "25som", "PIKE"]]', ["Back 15som FREE", "Inward 25som PIKE"]),
    ],
)
def test_class_names_are_the_lines_of_a_file(tmp_path: Path, content: bytes, names: list[str]) -> None:
    path = tmp_path / "names.txt"
    path.write_bytes(content)
    assert read_class_names(path) == names


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, ": cannot read the class names (No such file or directory)"),
        (b"caf\xe9\n", ": cannot read the class names (not UTF-8 text)"),
        (b"", ":1: empty line in the class names"),
        (b"\n\n", ":1: empty line in the class names"),
        (b"a\n\nb\n", ":2: empty line in the class names"),
        (b"a\nb\na\n", ": the class name 'a' occurs more than once"),
        (b"a\n a \n", ": the class name 'a' occurs more than once"),
        (
            b"3 a\n7 b\n",
            ":1: every line begins with a number, but they do not count from 0 or 1 without gaps: '3 a'; "
            "if the numbers belong to the class names, use a JSON list",
        ),
        (b"id,name\n0,a\nb\n", ":3: expected a number and a name as in the header, got 'b'"),
        (b"id,name\n0,a\n0,b\n", ": the numbers of the 2 classes must count from 0 or 1, each occurring once"),
        (b"id,name\n", ": the numbers of the 0 classes must count from 0 or 1, each occurring once"),
        (
            b"label,youtube_id,time_start\na,b,1\n",
            ":1: annotations of videos (label,youtube_id,time_start), not class names",
        ),
        (b'{"a": 1, "b": 3}', ": the numbers of the 2 classes must count from 0 or 1, each occurring once"),
        (b'{"a": 1,', ": begins like JSON, but is not valid JSON"),
        (b'{"a": 0.5}', ": expected a JSON list of class names, or an object from each name to its number"),
        (
            b'{"a": true, "b": false}',
            ": expected a JSON list of class names, or an object from each name to its number",
        ),
        (b"[1, 2]", ": expected a JSON list of class names, or an object from each name to its number"),
        (b"[]", ": expected a JSON list of class names, or an object from each name to its number"),
    ],
)
def test_a_bad_class_name_file_is_named(tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "names.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as error:
        read_class_names(path)
    assert str(error.value) == f"{path}{says}"


def test_a_directory_holds_no_class_names(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the class names"):
        read_class_names(tmp_path)


@pytest.mark.parametrize(
    ("count", "num_class", "says"),
    [
        (51, None, None),
        (50, 50, None),
        (
            50,
            None,
            "names.txt: 50 classes, but hmdb51 has 51; is a file missing?; if 50 is correct, give --num_class 50",
        ),
        (401, None, "names.txt: 401 classes, but hmdb51 has 51"),
        (50, 51, "names.txt: 50 classes, but --num_class is 51"),
        (51, 50, "names.txt: 51 classes, but --num_class is 50"),
    ],
)
def test_a_class_count_that_does_not_fit_is_an_error(count: int, num_class: int | None, says: str | None) -> None:
    names = [f"class {number}" for number in range(count)]
    if says is None:
        check_class_count("names.txt", names, "hmdb51", 51, num_class, "is a file missing?")
    else:
        with pytest.raises(InputError) as error:
            check_class_count("names.txt", names, "hmdb51", 51, num_class, "is a file missing?")
        assert str(error.value).startswith(says)
    check_class_count("names.txt", names, "custom", None, None)


def test_names_beside_the_lists_of_a_dataset_are_as_many_as_its_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """50 names beside the lists of HMDB51 mean that a file was missing when the lists were made."""
    monkeypatch.setenv("TAM_DATASETS", str(tmp_path))
    config, beside = dataset_config("hmdb51"), tmp_path / "HMDB51" / "annotations" / "class_names.txt"
    beside.parent.mkdir(parents=True)
    beside.write_text("".join(f"class {number}\n" for number in range(50)))
    with pytest.raises(InputError, match=r"class_names\.txt: 50 classes, but hmdb51 has 51; if 50 is"):
        find_class_names(config, None, 51)
    assert len(find_class_names(config, None, 50) or ()) == 50, "as --num_class 50 says"
    assert find_class_names(config, None, 10) is None, "of a model with other classes nothing is said here"
