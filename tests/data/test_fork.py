"""Workers are forked from a process with threads, none of which may hold a lock that a worker needs.

In a training, these are the OpenMP threads of torch, OpenCV's threads, tensorboardX's event writer, tqdm's
monitor, and the threads that feed older workers. A worker uses one thread of each library and writes nothing.
"""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from media import write_video
from tensorboardX import SummaryWriter
from torch.utils.data import Dataset
from tqdm import tqdm

from ops.data.dataloaders import make_loader, workers_of
from ops.data.videos import open_video

STARTS = int(os.environ.get("FORK_STARTS", "1000"))


class Frames(Dataset[float]):
    """The mean of a video's last frame, computed with all libraries that a worker uses."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> float:
        with open_video(self.path) as source:
            frame = source.read([len(source) - 1])[0]
        image = cv2.resize(frame.permute(1, 2, 0).numpy(), (256, 256), interpolation=cv2.INTER_AREA)
        return float(torch.from_numpy(image).float().mean())


@contextmanager
def busy_threads(folder: Path) -> Iterator[None]:
    """Keep all kinds of threads busy that a training process may have."""
    writer, over = SummaryWriter(str(folder), flush_secs=1), threading.Event()
    bar = tqdm(range(10**9), mininterval=0.001, file=(folder / "bar.txt").open("w"))
    log = logging.getLogger("fork")
    log.addHandler(logging.FileHandler(folder / "log.txt"))

    def work() -> None:
        for step in bar:
            if over.is_set():
                return
            writer.add_scalar("loss", step, step)
            log.warning("step %d", step)
            np.zeros(100_000).sum()

    def compute() -> None:
        image = np.zeros((512, 512, 3), np.uint8)
        while not over.is_set():
            torch.ones(256, 256) @ torch.ones(256, 256)
            cv2.GaussianBlur(cv2.resize(image, (300, 300)), (9, 9), 2)

    threads = [threading.Thread(target=work), threading.Thread(target=compute)]
    with ExitStack() as stack:
        stack.callback(torch.set_num_threads, torch.get_num_threads())
        torch.set_num_threads(2)
        for thread in threads:
            thread.start()
        stack.callback(lambda: [thread.join() for thread in threads])
        stack.callback(over.set)
        yield
    writer.close()
    bar.close()


@pytest.mark.parametrize("starts", [10, pytest.param(STARTS, marks=pytest.mark.soak)])
def test_workers_start_beside_busy_threads(starts: int, tmp_path: Path) -> None:
    frames = Frames(write_video(tmp_path / "v.mp4", 6))
    wanted = [frames[0]] * 4
    assert wanted[0] > 0
    with busy_threads(tmp_path):
        for number in range(starts):
            older = make_loader(frames, 1, list, torch.device("cpu"), patience=60)
            newer = make_loader(frames, 1, list, torch.device("cpu"), patience=60)
            with workers_of(older, newer):
                for loader in (older, newer):
                    assert [mean for batch in loader for mean in batch] == wanted, f"start {number}"
