"""Training and testing check their lists first and refuse columns that mean something else."""

from pathlib import Path

import media
import pytest

from ops.common.errors import InputError
from ops.data.dataset_configs import dataset_config
from ops.data.frames import FrameReader, frame_reader
from ops.data.open_lists import open_list


def open_frames(folder: Path, text: str) -> int:
    """The number of records in the test list `text`, for frame folders below `folder`."""
    (folder / "list.txt").write_text(text)
    config = dataset_config("jester")
    reader: FrameReader = frame_reader(config, "RGB")
    return len(open_list(config, reader, "test", str(folder / "list.txt"), str(folder), "RGB", 27, None)[0])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("9 12\n107 12\n", None),
        ("9 11\n107 13\n", None),
        ("9 3\n107 12\ngone 4\n", None),
        ("9 3 -1\n107 4 -1\n", None),
        ("9 12 3\n107 12 4\n", None),
        ("9 3\n107 7\ngone 4\n", "these seem to be labels (write 'path num_frames -1' if not)"),
        ("9 1 12\n107 1 12\n", "these seem to be start frames"),
        ("9 1 12\n107 0 12\n", "these seem to be start frames"),
    ],
)
def test_labels_and_offsets_are_not_taken_for_frame_counts(tmp_path: Path, text: str, says: str | None) -> None:
    """Two-column lists for 3D networks hold a label, and three-column lists for pretraining hold a first frame."""
    for name in ("9", "107"):
        media.write_frames(tmp_path / name, 12, "{index:05d}.jpg", (16, 16))
    if says is None:
        assert open_frames(tmp_path, text) == len(text.splitlines())
    else:
        with pytest.raises(InputError) as error:
            open_frames(tmp_path, text)
        assert str(error.value).startswith(f"{tmp_path / 'list.txt'}:1: ") and says in str(error.value)
