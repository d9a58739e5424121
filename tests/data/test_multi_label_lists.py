"""Lists with several labels per video are read as they are meant, or refused with one line."""

from pathlib import Path

import numpy as np
import pytest

from ops.common.errors import InputError
from ops.data.lists import Records, read_records

FRAMES, VIDEOS = True, False


def read(folder: Path, text: str, frames: bool = VIDEOS) -> Records:
    (folder / "l.txt").write_text(text)
    return read_records(folder / "l.txt", frames, ["jump", "run"], multi_label=True)


@pytest.mark.parametrize(
    ("line", "frames", "record"),
    [
        ("a b.mp4 3,17,42", VIDEOS, ("a b.mp4", -1, (3, 17, 42))),
        ("a b.mp4 120 3,17,42", VIDEOS, ("a b.mp4", 120, (3, 17, 42))),
        ("a b.mp4 120 42;3;3", VIDEOS, ("a b.mp4", 120, (3, 42))),
        ("a.mp4 7", VIDEOS, ("a.mp4", -1, (7,))),
        ("a.mp4 120 7", VIDEOS, ("a.mp4", 120, (7,))),
        ("a.mp4 run", VIDEOS, ("a.mp4", -1, (1,))),
        ("a.mp4 -", VIDEOS, ("a.mp4", -1, ())),
        ("a.mp4 120 -", VIDEOS, ("a.mp4", 120, ())),
        ("a.mp4,-", VIDEOS, ("a.mp4", -1, ())),
        ("a.mp4", VIDEOS, ("a.mp4", -1, None)),
        ("a.mp4 -1", VIDEOS, ("a.mp4", -1, None)),
        ("a 1.mp4 3,17", VIDEOS, ("a 1.mp4", -1, (3, 17))),
        ('a.mp4,"3,17"', VIDEOS, ("a.mp4", -1, (3, 17))),
        ('"a, b.mp4",120,"3, 17"', VIDEOS, ("a, b.mp4", 120, (3, 17))),
        ("a.mp4,120,3;17", VIDEOS, ("a.mp4", 120, (3, 17))),
        ("a.mp4;3,17", VIDEOS, ("a.mp4", -1, (3, 17))),
        ("a.mp4\t3,17", VIDEOS, ("a.mp4", -1, (3, 17))),
        ("a b 120 3,17", FRAMES, ("a b", 120, (3, 17))),
        ("a b 120 3 17 42", FRAMES, ("a b", 120, (3, 17, 42))),  # MMAction2
        ("a 120 3", FRAMES, ("a", 120, (3,))),
        ("a 120 -", FRAMES, ("a", 120, ())),
        ("a 120", FRAMES, ("a", 120, None)),
        ("a,120,3,17", FRAMES, ("a", 120, (3, 17))),
        ('path,labels\na.mp4,"3,17"', VIDEOS, ("a.mp4", -1, (3, 17))),
        ("path num_frames labels\na 120 3,17", FRAMES, ("a", 120, (3, 17))),
    ],
)
def test_a_line_has_a_path_perhaps_a_frame_count_and_labels(
    line: str, frames: bool, record: tuple[str, int, tuple[int, ...] | None], tmp_path: Path
) -> None:
    found = read(tmp_path, f"{line}\n", frames)
    assert (found.path(0), int(found.num_frames[0]), found.labels_of(0)) == record
    assert found[0].label == (record[2] or (-1,))[0]


@pytest.mark.parametrize(
    ("text", "frames", "says"),
    [
        ("a.mp4 3 17 42", VIDEOS, ":1: several numbers, of which the first may be a frame count: write labels as"),
        ("a.mp4,3,17,42", VIDEOS, ":1: several numbers"),
        ("a.mp4 3, 17", VIDEOS, ":1: several labels, or unknown columns; separate labels by commas, without spaces"),
        ("a.mp4 [3, 17]", VIDEOS, ":1: several labels"),
        ("a.mp4 0 3,17", VIDEOS, ":1: 0 frames, or is this a label?"),
        ("a.mp4 5 120 3,17", VIDEOS, ":1: labels with different separators"),
        ("a.mp4 3,17\nb.mp4 120 3,17", VIDEOS, ":2: 3 columns, but earlier lines have 2"),
        ("a 3,17", FRAMES, ":1: no frame count; expected 'path num_frames 3,17,42', got 'a 3,17'"),
        ("a.mp4 1,99999999999", VIDEOS, ":1: label (99999999999) is too large"),
        ("path,num_frames,labels\na.mp4,\"3,17\"", VIDEOS, ":2: 2 columns, but the header has 3"),
        ("a.mp4 jump,run", VIDEOS, ":1: the label 'jump,run' is neither a number nor a known class name"),
    ],
)  # fmt: skip
def test_a_line_with_more_than_one_meaning_is_refused(text: str, frames: bool, says: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        read(tmp_path, text, frames)
    assert says in str(refused.value)


def test_labels_are_targets(tmp_path: Path) -> None:
    found = read(tmp_path, "a.mp4 0,2\nb.mp4 -\nc.mp4 1\nd.mp4\n")
    assert found.label_sets and found.labels.tolist() == [0, -1, 1, -1] and found.all_labels.tolist() == [0, 2, 1]
    assert found.label_sets.known.tolist() == [True, True, True, False]
    expected = np.array([[1, 0, 1], [0, 0, 0], [0, 1, 0], [0, 0, 0]], bool)
    assert (found.label_sets.targets(3) == expected).all()
    head = found.head(2)
    assert head.label_sets and (head.label_sets.targets(3) == expected[:2]).all() and head.labels_of(1) == ()
    assert found.label_sets.of(0).tolist() == [0, 2] and found.label_sets.of(3).size == 0


@pytest.mark.parametrize(
    ("text", "required", "says"),
    [
        ("a.mp4 0,2\nb.mp4 -\n", True, ""),
        ("a.mp4 0,2\nb.mp4\n", False, ""),
        ("a.mp4 0,2\nb.mp4\n", True, r":2: no label, .* 'path num_frames 3,17,42' or 'path 3,17,42', got 'b.mp4'"),
        ("a.mp4 0,2\nb.mp4 -\nc.mp4 1,3,9", True, r":3: label 3 is outside 0…2 \(2 such lines\); check --num_class"),
        ("a.mp4 1,2\nb.mp4 3", True, r":2: label 3 is outside 0…2 .* labels seem to count from 1 instead of 0"),
    ],
)  # fmt: skip
def test_labels_are_checked(text: str, required: bool, says: str, tmp_path: Path) -> None:
    found = read(tmp_path, text)
    if not says:
        found.check_labels(3, required)
        return
    with pytest.raises(InputError, match=says):
        found.check_labels(3, required)
