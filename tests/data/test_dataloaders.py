"""Samplers and loaders give every clip once and the same steps in any number of processes, and leave no worker."""

import multiprocessing
from pathlib import Path

import media
import numpy as np
import pytest
import torch

from ops.data.dataloaders import ShardSampler, TrainSampler, make_loader, workers_of
from ops.data.datasets import ClipDataset
from ops.data.lists import read_records
from ops.data.pipelines import ClipShape, training_pipeline
from ops.data.pyav_videos import VideoReader


@pytest.mark.parametrize("world", [1, 2, 4])
def test_a_training_step_has_the_same_clips_however_many_processes_share_it(world: int) -> None:
    samplers = [TrainSampler(22, 8, seed=3, rank=rank, world_size=world) for rank in range(world)]
    for sampler in samplers:
        sampler.epoch = 5
    steps = list(zip(*samplers, strict=True))
    whole = list(TrainSamplerAt(5))
    assert [[index for part in step for _, index in part] for step in steps] == whole
    assert all(epoch == 5 for step in steps for part in step for epoch, _ in part)
    assert len(whole) == 2 and len({index for step in whole for index in step}) == 16


@pytest.mark.parametrize("world", [1, 2, 4])
@pytest.mark.parametrize(("length", "sizes"), [(22, [8, 8, 6]), (17, [8, 8, 1]), (16, [8, 8]), (3, [3])])
def test_an_incomplete_last_batch_is_shared_among_the_processes(length: int, sizes: list[int], world: int) -> None:
    """The weighted means of the processes average to the mean over the clips of the step."""
    samplers = [TrainSampler(length, 8, 3, rank, world, keep_last=True) for rank in range(world)]
    assert {len(sampler) for sampler in samplers} == {len(sizes)}
    order: list[int] = []
    for step, parts in enumerate(zip(*samplers, strict=True)):
        weights = [sampler.weight(step) for sampler in samplers]
        clips = [index for part, weight in zip(parts, weights, strict=True) if weight for _, index in part]
        means = [weight * sum(i for _, i in part) / len(part) for part, weight in zip(parts, weights, strict=True)]
        assert len(clips) == sizes[step] and sum(means) / world == pytest.approx(sum(clips) / len(clips))
        assert len(clips) < 8 or set(weights) == {1.0}
        order += clips
    assert sorted(order) == list(range(length))
    dropped = [index for step in TrainSampler(length, 8, 3, 0, 1) for _, index in step]
    assert order[: len(dropped)] == dropped, "the complete batches are those of a run without the last one"


@pytest.mark.parametrize("counts", [[6, 3, 1], [1, 1], [20, 0, 3], [5], [1, 9]])
def test_balanced_epochs_draw_each_class_equally_often(counts: list[int]) -> None:
    labels = np.repeat(np.arange(len(counts)), counts).astype(np.int32)
    samplers = [TrainSampler(len(labels), 4, 3, rank, 2, keep_last=True, labels=labels) for rank in range(2)]
    orders = []
    for epoch in (0, 1, 0):
        for sampler in samplers:
            sampler.epoch = epoch
        steps = zip(*samplers, strict=True)
        weights = [[sampler.weight(step) for sampler in samplers] for step in range(len(samplers[0]))]
        taken = [zip(*step, strict=True) for step in zip(steps, weights, strict=True)]
        orders.append([clip for step in taken for part, weight in step if weight for clip in part])
    assert orders[0] == orders[2]
    for order in orders:
        assert len(order) == len(labels) and len(set(order)) == len(order), "a clip that is drawn again is another key"
        drawn = np.bincount([clip[1] for clip in order], minlength=len(labels))
        of_class = [drawn[labels == label] for label, count in enumerate(counts) if count]
        assert max(map(sum, of_class)) - min(map(sum, of_class)) <= 1
        assert all(own.max() - own.min() <= 1 for own in of_class)


def test_a_clip_that_is_drawn_again_is_cut_differently(tmp_path: Path) -> None:
    media.write_video(tmp_path / "0.mp4", 60, (64, 48))
    (tmp_path / "l.txt").write_text("0.mp4 60 0\n")
    shape, partners = ClipShape(3, "RGB", 32), np.array([-1])
    pipeline = training_pipeline(shape, False, False, partners)
    dataset = ClipDataset(read_records(tmp_path / "l.txt", False), str(tmp_path), VideoReader(), pipeline, 0, True)
    first, same, again = (dataset[key].pixels for key in ((0, 0), (0, 0), (0, 0, 1)))
    assert first is not None and same is not None and again is not None
    assert torch.equal(first, same) and not torch.equal(first, again)


class Numbers(torch.utils.data.Dataset[int]):
    """A dataset of four numbers."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> int:
        return index


def test_no_worker_outlives_its_loader() -> None:
    loader = make_loader(Numbers(), 2, list, torch.device("cpu"), sampler=ShardSampler(4, 0, 1))
    kept = loader  # a second reference to the loader must not keep its workers alive
    with pytest.raises(ValueError, match="stop"), workers_of(loader):
        assert sorted(number for batch in loader for number in batch) == [0, 1, 2, 3]
        assert len(multiprocessing.active_children()) >= 2
        raise ValueError("stop")
    assert not multiprocessing.active_children() and kept is loader


class TrainSamplerAt:
    """The steps of a single process in one epoch, as lists of indices."""

    def __init__(self, epoch: int) -> None:
        self.sampler = TrainSampler(22, 8, seed=3, rank=0, world_size=1)
        self.sampler.epoch = epoch

    def __iter__(self):  # type: ignore[no-untyped-def]
        return ([index for _, index in step] for step in self.sampler)


def test_epochs_differ_and_parts_of_one_continue_it() -> None:
    assert list(TrainSamplerAt(0)) != list(TrainSamplerAt(1))
    part = TrainSamplerAt(0)
    part.sampler.first_step = 1
    assert list(part) == list(TrainSamplerAt(0))[1:]


@pytest.mark.parametrize("n", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("world", [1, 2, 3])
def test_shards_hold_every_video_once(n: int, world: int) -> None:
    shards = [list(ShardSampler(n, rank, world)) for rank in range(world)]
    assert sorted(index for shard in shards for index in shard) == list(range(n))
    assert next(iter(ShardSampler(n, 0, world, epoch=4))) == (4, 0)
