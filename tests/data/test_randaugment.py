"""RandAugment changes all frames of a clip in the same way, with the clip's own random numbers."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Call
from media import write_video
from torch import Tensor
from torch.utils.data import DataLoader

from ops.data.collate import collate_clips
from ops.data.datasets import ClipDataset
from ops.data.lists import read_records
from ops.data.pipelines import ClipShape, training_pipeline
from ops.data.pyav_videos import VideoReader
from ops.data.randaugment import RandAugment

CLASSES = 2


@pytest.fixture(scope="module")
def augment() -> RandAugment:
    return RandAugment()


def clip(frames: int = 3) -> Tensor:
    """A clip that repeats one frame."""
    frame = torch.randint(256, (1, 3, 24, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return frame.expand(frames, -1, -1, -1).contiguous(memory_format=torch.channels_last)


def test_all_frames_are_changed_alike_and_every_clip_differently(augment: RandAugment) -> None:
    own, results = clip(), []
    for seed in range(40):  # enough seeds for all 14 operations to occur
        found = augment(own, np.random.default_rng(seed))
        assert found.dtype == torch.uint8 and found.shape == own.shape and found.stride() == own.stride()
        assert all(torch.equal(found[0], frame) for frame in found), seed
        results.append(found)
    assert torch.equal(own, clip())
    assert len({result.numpy().tobytes() for result in results}) > 30


def test_the_operations_equal_those_of_torchvision(augment: RandAugment) -> None:
    v2 = pytest.importorskip("torchvision.transforms.v2")
    for seed in range(5):
        found = augment(clip(), np.random.default_rng(seed))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(np.random.default_rng(seed).integers(2**62)))
            assert torch.equal(found, v2.RandAugment()(clip()))


def test_the_global_random_state_is_neither_used_nor_changed(augment: RandAugment) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = augment(clip(), np.random.default_rng(3))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(augment(clip(), np.random.default_rng(3)), first)


def dataset(folder: Path, kind: str) -> ClipDataset:
    pipeline = training_pipeline(ClipShape(2, "RGB", 32), False, True, np.arange(CLASSES), augment=kind)
    return ClipDataset(read_records(folder / "l.txt", False), str(folder), VideoReader(), pipeline, 5, substitute=True)


def test_clips_do_not_depend_on_workers_and_published_ones_are_unchanged(tmp_path: Path) -> None:
    for number in range(4):
        write_video(tmp_path / f"{number}.mp4", 8, seed=number)
    (tmp_path / "l.txt").write_text("".join(f"{number}.mp4 8 {number % CLASSES}\n" for number in range(4)))
    keys = [[(epoch, index) for index in range(4)] for epoch in (0, 1)]
    batches = {
        (kind, workers): [
            batch.pixels
            for batch in DataLoader(
                dataset(tmp_path, kind), batch_sampler=keys, num_workers=workers, collate_fn=collate_clips
            )
        ]
        for kind in ("published", "randaugment")
        for workers in (0, 2)
    }
    for kind in ("published", "randaugment"):
        assert all(map(torch.equal, batches[kind, 0], batches[kind, 2]))
    recipe, augment = dataset(tmp_path, "published").pipeline, RandAugment()
    for epoch, index in ((0, 1), (1, 2)):  # frames and crop are drawn first and stay as published
        rng = np.random.default_rng([5, epoch, index, 0])
        recipe.choose(8, rng)
        recipe.plan(48, 64, index % CLASSES, rng)
        plain = batches["published", 0][epoch][index]
        assert torch.equal(batches["randaugment", 0][epoch][index], augment(plain, rng))
        assert not torch.equal(batches["randaugment", 0][epoch][index], plain)


def test_flow_is_refused(tmp_path: Path, call: Call) -> None:
    (tmp_path / "l.txt").write_text("a 8 0\n")
    lists = ["--train_list", "l.txt", "--val_list", "l.txt", "--root_path", ".", "--num_class", "2"]
    refused = call("main.py", "custom", "Flow", "--device", "cpu", *lists, "--augment", "randaugment", status=2).err
    assert "--augment randaugment changes colours" in refused
