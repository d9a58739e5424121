"""Loaders: seeded batches for training, exact shards for validation and testing, and the set-up of workers."""

import signal
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar, cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

from ops.common import distributed
from ops.common.errors import RunStoppedError
from ops.common.stop_signals import SIGNALS
from ops.data.hang_detection import LOOKS, Board, HungError, Suspects
from ops.data.worker_failures import end_on_undelivered_batches, hold_back_deaths, noticing_deaths, why_workers_failed

T_co = TypeVar("T_co", covariant=True)


class TrainSampler(Sampler[list[tuple[int, ...]]]):
    """The batches of this process, as lists of `(epoch, index)`, or `(epoch, index, repeat)` for a repeated clip.

    The order of an epoch is a permutation drawn from (seed, epoch). Step s takes positions [s·B, (s+1)·B) of it, where
    B is the batch size over all processes, and each process takes its slice: the clips of a step do not depend on the
    number of processes. An incomplete last batch is dropped, as published, unless `keep_last` is set. Before iterating,
    set `epoch`, and `first_step` and `last_step` (exclusive) for a part of an epoch; `len()` is that of a whole epoch.

    The processes share an incomplete batch as evenly as possible, the first ones with the larger shares. A process for
    which no clip is left gets the last one, and `weight` 0.

    With `labels [length]` the order is that of `balanced_order`: each class is drawn equally often.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        seed: int,
        rank: int,
        world_size: int,
        keep_last: bool = False,
        labels: NDArray[np.int32] | None = None,
    ) -> None:
        self.length, self.batch_size, self.seed, self.keep_last = length, batch_size, seed, keep_last
        self.rank, self.world_size, self.labels = rank, world_size, labels
        self.epoch = self.first_step = 0
        self.last_step = len(self)

    def __len__(self) -> int:
        return steps_per_epoch(self.length, self.batch_size, self.keep_last)

    def __iter__(self) -> Iterator[list[tuple[int, ...]]]:
        order = self._order()
        for step in range(self.first_step, self.last_step):
            first, last = self._share(step)
            yield [(self.epoch, *clip) for clip in (order[first:last] if last > first else order[-1:])]

    def _order(self) -> list[tuple[int, ...]]:
        """The clips of the epoch, as `(index,)` or `(index, repeat)`."""
        rng, repeats = np.random.default_rng([self.seed, self.epoch]), Counter[int]()
        if self.labels is None:
            return [(index,) for index in rng.permutation(self.length).tolist()]
        order: list[tuple[int, ...]] = []
        for index in balanced_order(self.labels, rng).tolist():
            order.append((index, repeats[index]) if repeats[index] else (index,))
            repeats[index] += 1
        return order

    def weight(self, step: int) -> float:
        """The factor on this process's mean loss that makes the mean over processes the mean over all clips of a step.

        1 for a complete batch.
        """
        first, last = self._share(step)
        return (last - first) * self.world_size / self.clips(step)

    def clips(self, step: int) -> int:
        """The number of clips of a step, in all processes."""
        return min(self.batch_size, self.length - step * self.batch_size)

    def _share(self, step: int) -> tuple[int, int]:
        """The positions [first, last) of this process's clips of `step` in the order of the epoch."""
        start = step * self.batch_size
        share, more = divmod(self.clips(step), self.world_size)
        first = start + self.rank * share + min(self.rank, more)
        return first, first + share + (self.rank < more)


def balanced_order(labels: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.int64]:
    """N indices in random order for `labels [N]`, in which each class that occurs has the same share (± 1).

    Within a class, the numbers of draws of two clips differ by at most one.
    """
    classes = np.unique(labels)
    share, more = divmod(len(labels), len(classes))
    counts = share + (rng.permutation(len(classes)) < more)  # other classes have one more in each epoch
    drawn = []
    for label, count in zip(classes, counts, strict=True):
        own = np.flatnonzero(labels == label)
        rounds = [rng.permutation(own) for _ in range(-(-int(count) // len(own)))]
        drawn.append(np.concatenate([*rounds, own[:0]])[:count])
    return rng.permutation(np.concatenate(drawn))


def steps_per_epoch(length: int, batch_size: int, keep_last: bool) -> int:
    """The number of batches of `length` clips, with the incomplete last one if `keep_last` is set."""
    return -(-length // batch_size) if keep_last else length // batch_size


class ShardSampler(Sampler[Any]):
    """Every `world_size`-th index from `rank` on: over all processes each video exactly once, without padding.

    With `epoch`, yields `(epoch, index)`, as `ClipDataset` expects; indices in `skip` are left out.
    """

    def __init__(
        self, length: int, rank: int, world_size: int, epoch: int | None = None, skip: Collection[int] = ()
    ) -> None:
        left = [index for index in range(length) if index not in skip] if skip else range(length)
        self.indices = left[rank::world_size]
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[Any]:
        for index in self.indices:
            yield index if self.epoch is None else (self.epoch, index)


class WatchedDataset(Protocol):
    """What a `WatchedLoader` needs from its dataset."""

    board: Board

    def path_of(self, index: int) -> str:
        """The name of a video, for messages."""
        ...


class WatchedLoader(DataLoader[T_co]):
    """A loader that raises HungError if reading a video takes longer than `patience` seconds (0: no limit).

    It watches its worker processes; without workers there is no limit.
    """

    def __init__(self, dataset: Dataset[T_co], patience: float, workers: int, **options: Any) -> None:
        super().__init__(dataset, num_workers=workers, timeout=patience / LOOKS if workers else 0, **options)
        self.patience = patience
        if self.timeout and hasattr(dataset, "board"):
            dataset.board = Board(workers)

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        suspects, batches = Suspects(), None
        while True:
            try:
                with noticing_deaths():
                    if batches is None:
                        batches = super().__iter__()
                        hold_back_deaths()
                    batch = next(batches)
            except StopIteration:
                return
            except Exception as error:
                if not self.num_workers:
                    raise
                if not (isinstance(error, RuntimeError) and "timed out" in str(error)):
                    raise why_workers_failed(error, self._iterator) or error from None
                self._look_for_hangs(suspects)
            else:
                suspects = Suspects()
                yield batch

    def _look_for_hangs(self, suspects: Suspects) -> None:
        dataset = cast(WatchedDataset, self.dataset)
        stuck = suspects.confirmed(dataset.board, self.patience)
        if stuck:
            raise HungError([dataset.path_of(index) for index in stuck], self.patience)
        if suspects.idle > LOOKS:
            raise RunStoppedError(
                f"the loader processes have delivered nothing for {self.patience:g} s and are not reading: check that "
                "/dev/shm has free space and that the limits on files (ulimit -n, ulimit -f) are high enough"
            )


def make_loader(
    dataset: Dataset[T_co],
    workers: int,
    collate: Callable[[list[T_co]], Any],
    device: torch.device,
    batch_sampler: Sampler[list[Any]] | None = None,
    sampler: Sampler[Any] | None = None,
    batch_size: int = 1,
    patience: float = 0,
) -> DataLoader[T_co]:
    """A loader with `workers` persistent processes of one thread each, and page-locked memory if `device` is a GPU.

    On Linux workers are forked, because fresh processes take seconds for their imports. For `patience` see
    `WatchedLoader`.
    """
    how: dict[str, Any] = {"batch_sampler": batch_sampler} if batch_sampler is not None else {
        "sampler": sampler, "batch_size": batch_size
    }  # fmt: skip
    return WatchedLoader(
        dataset,
        patience,
        workers,
        collate_fn=collate,
        pin_memory=device.type == "cuda",
        persistent_workers=workers > 0,
        multiprocessing_context="fork" if workers and sys.platform == "linux" else None,
        worker_init_fn=_start_worker,
        **how,
    )


@contextmanager
def workers_of(*loaders: "DataLoader[Any]") -> Iterator[None]:
    """End the workers of `loaders` when the block ends, even after an error; a worker that hangs is killed.

    Workers ignore SIGTERM, which Python sends to remaining processes at exit, so Python would wait for ever.
    """
    try:
        yield
    finally:
        for loader in loaders:
            iterator: Any = loader._iterator
            if hasattr(iterator, "_shutdown_workers"):  # absent if the loader has no workers
                iterator._shutdown_workers()
                for worker in iterator._workers:
                    worker.kill()
            loader._iterator = None


def shard_sampler(length: int, epoch: int | None = None, skip: Collection[int] = ()) -> ShardSampler:
    """This process's share of `length` videos, without those in `skip`."""
    return ShardSampler(length, distributed.rank(), distributed.world_size(), epoch, skip)


def _start_worker(worker: int) -> None:
    """Use one thread per worker, and ignore signals: the main process decides when a run ends."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    end_on_undelivered_batches()
