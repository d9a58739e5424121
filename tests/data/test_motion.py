"""The built-in dataset: without temporal order, the two classes of a pair cannot be distinguished."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import NewFolder

from ops.data import motion
from ops.data.class_names import read_class_names
from ops.data.dataset_configs import dataset_config
from ops.data.lists import Records, read_records
from ops.data.mirror import mirror_partners
from ops.data.sampling import view_indices
from ops.data.videos import open_video


@pytest.fixture(scope="module")
def root(new_folder: NewFolder) -> Path:
    patch = pytest.MonkeyPatch()
    patch.setattr(motion, "PAIRS", {"train": 8, "val": 4})
    folder = new_folder("data") / "Motion"
    motion.make(folder, "frames", shown=False)
    patch.undo()
    return folder


@pytest.fixture(scope="module")
def records(root: Path) -> Records:
    return read_records(root / "motion_train_list.txt", counts_in_pairs=False)


def pixels(path: Path) -> torch.Tensor:
    with open_video(path) as source:
        return source.read(range(len(source)))


def opposite(label: int) -> int:
    name = motion.CLASSES[label]
    both = {**motion.REVERSE, **{other: one for one, other in motion.REVERSE.items()}}
    return motion.CLASSES.index(both[name])


def test_every_clip_has_its_reverse_with_the_same_pictures_in_the_same_split(root: Path, records: Records) -> None:
    by_name: dict[str, list[tuple[int, torch.Tensor]]] = {}
    for record in records:
        by_name.setdefault(Path(record.path).name, []).append((record.label, pixels(root / record.path)))
    assert len(by_name) == 8
    for (one, forward), (other, backward) in by_name.values():
        assert opposite(one) == other and len(forward) == motion.NUM_FRAMES
        assert torch.equal(forward, backward.flip(0))


def test_uniform_sampling_takes_the_same_set_of_frames_from_both_directions() -> None:
    indices = view_indices(motion.NUM_FRAMES, 8, "uniform-1")[0]
    assert sorted(motion.NUM_FRAMES - 1 - indices) == indices.tolist()


def test_a_model_that_averages_single_frames_is_right_on_half_at_most(root: Path, records: Records) -> None:
    """Whatever the scores of single frames are, a clip and its reverse get the same average."""
    indices = view_indices(motion.NUM_FRAMES, 8, "uniform-1")[0]
    weights = torch.randn(8, 3 * motion.SIZE**2)
    right: dict[str, int] = {}
    scores: dict[str, torch.Tensor] = {}
    for record in records:
        clip = pixels(root / record.path)[torch.from_numpy(np.sort(indices))].flatten(1).float()
        score = (clip @ weights.T).double().sort(0).values.sum(0)  # sorted to make the sum independent of the order
        name = Path(record.path).name
        assert torch.allclose(scores.setdefault(name, score), score)
        right[name] = right.get(name, 0) + int(score.argmax() == record.label)
    assert max(right.values()) <= 1


def test_every_frame_is_a_key_frame(root: Path, records: Records) -> None:
    import av

    with av.open(str(root / records.path(0))) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    assert len(packets) == motion.NUM_FRAMES and all(packet.is_keyframe for packet in packets)


def test_classes_are_balanced_and_named(root: Path, records: Records) -> None:
    assert np.bincount(records.labels).tolist() == [2] * 8
    assert read_class_names(root / "annotations" / "class_names.txt") == list(motion.CLASSES)


def test_frames_on_disk_are_those_of_the_videos(root: Path) -> None:
    from PIL import Image

    frames = read_records(root / "annotations" / "val.txt", counts_in_pairs=True)
    record = frames[0]
    video = pixels(root / (record.path.replace("frames/", "videos/") + ".mp4"))
    assert len(list((root / record.path).iterdir())) == record.num_frames == 60
    picture = np.array(Image.open(root / record.path / "img_00031.jpg")).astype(int)
    assert np.abs(picture - video[30].permute(1, 2, 0).numpy()).mean() < 4


def test_films_are_the_same_from_the_same_seed_and_differ_between_splits() -> None:
    one, other, val = (next(motion.films(split))[2] for split in ("train", "train", "val"))
    assert np.array_equal(next(one.frames()), next(other.frames()))
    assert not np.array_equal(next(one.frames()), next(val.frames()))


def test_a_mirror_image_turns_left_into_right_and_clockwise_round() -> None:
    partners = mirror_partners(dataset_config("motion"), 8, motion.CLASSES)
    assert [motion.CLASSES[k] for k in partners] == [
        "right", "left", "up", "down", "grow", "shrink", "counter-clockwise", "clockwise"
    ]  # fmt: skip


def test_the_dataset_is_made_once_and_again_if_its_version_differs(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(motion, "PAIRS", {"train": 1, "val": 1})
    motion.make(tmp_path / "M", "videos", shown=False)
    video = next((tmp_path / "M" / "videos").rglob("*.mp4"))
    before = video.stat().st_mtime_ns
    motion.make(tmp_path / "M", "videos", shown=False)
    assert video.stat().st_mtime_ns == before
    (tmp_path / "M" / "videos" / "made").write_text("version 1, as it was before\n")
    motion.make(tmp_path / "M", "videos", shown=False)
    assert video.stat().st_mtime_ns != before
    assert sorted(path.name for path in (tmp_path / "M").iterdir()) == [
        "annotations", "motion_train_list.txt", "motion_val_list.txt", "videos"
    ]  # fmt: skip
