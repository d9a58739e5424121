"""A decoder that hangs is detected, its video reported, and the next run continues without it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import media
import pytest
import torch
from small_runs import save_weights

from ops.common.errors import EXIT_DONE, EXIT_WITH_FAILURES, MediaError, RunStoppedError
from ops.data.dataloaders import make_loader, workers_of
from ops.data.dataset_configs import DatasetConfig
from ops.data.datasets import SECOND_TRY, ClipDataset, Stream, ViewsDataset
from ops.data.decoders import DECODERS
from ops.data.frame_source import FrameSource
from ops.data.hang_detection import Board, HungError, Suspects, videos_that_hung
from ops.data.lists import read_records
from ops.data.pipelines import ClipShape, choose_views, test_plan_for, training_pipeline
from ops.data.pyav_videos import VideoReader
from ops.data.sampling import Sample
from ops.testing.evaluate import run_evaluation
from ops.testing.options import test_parser as make_test_parser
from ops.training.options import train_parser
from ops.training.train import run_training

DATA = ["--num_class", "2", "--root_path", ".", "--input_size", "32", "--device", "cpu", "--decode_timeout", "2"]


class HangingReader(VideoReader):
    """Reads videos, but hangs on those with `stuck` in their path."""

    @contextmanager
    def open(self, path: str, num_frames: int) -> Iterator[FrameSource]:
        if "stuck" in path:
            time.sleep(1000)
        with super().open(path, num_frames) as source:
            yield source


def hanging(config: DatasetConfig, modality: str) -> VideoReader:
    return HangingReader()


@pytest.fixture
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b", "stuck"):
        media.write_video(tmp_path / f"{name}.mp4", 8)
    (tmp_path / "l.txt").write_text("a.mp4 8 0\nb.mp4 8 1\nstuck.mp4 8 0\na.mp4 8 0\n")
    (tmp_path / "v.txt").write_text("a.mp4 8 0\n")
    return tmp_path


def test_training_names_the_video_and_goes_on_without_it(clips: Path) -> None:
    flags = ["custom", "RGB", "--train_list", "l.txt", "--val_list", "v.txt", *DATA, "--arch", "resnet18", "--tam"]
    flags += ["--pretrain", "none", "--num_segments", "3", "-b", "2", "--epochs", "1", "--store_name", "run", "-j", "2"]
    args = train_parser(None, tuple(DECODERS)).parse_args([*flags, "--resume", "auto", "--max_bad_fraction", "0.5"])
    began = time.monotonic()
    with pytest.raises(HungError, match=r"^/.*/stuck.mp4: not read within 2 s \(--decode_timeout\)"):
        run_training(args, hanging)
    assert time.monotonic() - began < 60
    assert (clips / "checkpoints/run/hung.txt").read_text() == f"{clips}/stuck.mp4\n"
    assert run_training(args, hanging) == EXIT_DONE
    bad = (clips / "checkpoints/run/bad_samples.csv").read_text()
    assert 'stuck.mp4,was replaced in training,"skipped, because a decoder hung on it before (hung.txt)"' in bad


def test_a_test_names_the_video_and_counts_it_as_failed_the_next_time(clips: Path) -> None:
    save_weights(Path("w.pth.tar"))
    flags = ["custom", "--weights", "w.pth.tar", "--test_list", "l.txt", *DATA, "-j", "1"]
    args = make_test_parser(None, tuple(DECODERS)).parse_args(flags)
    with pytest.raises(HungError, match=r"^/.*/stuck.mp4: not read within 2 s"):
        run_evaluation(args, hanging)
    assert run_evaluation(args, hanging) == EXIT_WITH_FAILURES
    lines = (clips / "test/predictions.csv").read_text().splitlines()
    assert [("skipped" in line, line.split(",")[0]) for line in lines[1:]] == [
        (False, "a.mp4"), (False, "b.mp4"), (True, "stuck.mp4"), (False, "a.mp4"),
    ]  # fmt: skip


class Slow(torch.utils.data.Dataset[int]):
    """A dataset of eight items, each of which takes `seconds`."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.board = seconds, Board(0)

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> int:
        with self.board.reading(index):
            time.sleep(self.seconds)
        return index

    def path_of(self, index: int) -> str:
        return f"video {index}"


def test_a_slow_batch_of_normal_videos_is_not_taken_for_a_hang() -> None:
    loader = make_loader(Slow(0.3), 1, list, torch.device("cpu"), batch_size=8, patience=1.0)
    with workers_of(loader):
        assert list(loader) == [list(range(8))]


def test_a_video_that_takes_longer_than_is_allowed_is_named() -> None:
    loader = make_loader(Slow(2.0), 2, list, torch.device("cpu"), batch_size=1, patience=0.5)
    with pytest.raises(HungError, match="video 0"), workers_of(loader):
        list(loader)


def test_videos_that_hung_are_read_from_the_run_folder(tmp_path: Path) -> None:
    assert videos_that_hung(tmp_path / "none") == frozenset()
    (tmp_path / "hung.txt").write_bytes("a b.mp4\nu\u2028\x0c.mp4\n".encode() + b"\xff.mp4\n")
    assert videos_that_hung(tmp_path) == {"a b.mp4", "u\u2028\x0c.mp4", "\udcff.mp4"}


def test_a_video_counts_as_hanging_when_it_is_found_slow_twice() -> None:
    """A run that was suspended sees every video exceed its time once, so only the second time counts."""
    board, suspects = Board(2), Suspects()
    board._entries[0] = torch.tensor([7.0, time.monotonic() - 10])
    board._entries[1] = torch.tensor([8.0, time.monotonic() - 10])
    assert suspects.confirmed(board, 5) == [] and suspects.idle == 0
    board._entries[1] = torch.tensor([9.0, time.monotonic() - 10])  # this worker continued with another video
    assert suspects.confirmed(board, 5) == [7]
    board._entries[:, 0] = -1
    assert suspects.confirmed(board, 5) == [] and suspects.idle == 1


def lose(items: list[int]) -> None:
    """A collate function that never returns."""
    time.sleep(1000)


def test_workers_that_deliver_nothing_stop_the_run() -> None:
    loader = make_loader(Slow(0.0), 1, lose, torch.device("cpu"), batch_size=1, patience=1.0)
    with pytest.raises(RunStoppedError, match="delivered nothing for 1 s"), workers_of(loader):
        list(loader)


class Flaky(VideoReader):
    """Fails at the first `failures` attempts."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.left = failures

    @contextmanager
    def open(self, path: str, num_frames: int) -> Iterator[FrameSource]:
        if self.left:
            self.left -= 1
            raise MediaError(path, "the disc is busy")
        with super().open(path, num_frames) as source:
            yield source


@pytest.mark.parametrize(("failures", "reads"), [(0, True), (1, True), (2, False)])
def test_videos_are_read_a_second_time_and_no_third(failures: int, reads: bool, clips: Path) -> None:
    shape, records = ClipShape(3, "RGB", 32), read_records(Path("v.txt"), counts_in_pairs=False)
    recipe = training_pipeline(shape, False, True, torch.arange(2).numpy())
    calm = ClipDataset(records, ".", VideoReader(), recipe, 0, True)[1, 0]
    clip = ClipDataset(records, ".", Flaky(failures), recipe, 0, True)[1, 0]
    assert (not clip.failures) == reads and clip.pixels is not None and calm.pixels is not None
    assert torch.equal(clip.pixels, calm.pixels) == reads  # the second attempt draws the same random numbers
    notes = [warning.reason for warning in clip.warnings]
    assert notes == ([f"{SECOND_TRY}: the disc is busy"] if failures == 1 else [])
    choose = partial(choose_views, segments=[3], sample=Sample("uniform", 1), new_length=1)
    item = ViewsDataset([Stream(records, ".", Flaky(failures), choose, test_plan_for(shape, 1, False))])[0]
    assert (item.failure is None) == reads
