"""Datasets turn records into clips reproducibly, from the right frames, and report failures."""

import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from media import draw, truncate, write_flow, write_frames, write_video
from PIL import Image
from torch import Tensor

from ops.common.errors import MediaError, TruncatedMediaError
from ops.data.collate import collate_clips
from ops.data.datasets import SUBSTITUTES, ClipDataset, Failure, Stream, ViewsDataset
from ops.data.frame_source import FrameSource, Reader
from ops.data.frames import FrameReader, FrameTemplate
from ops.data.lists import Records, read_records
from ops.data.pipelines import ClipShape, choose_views, test_plan_for, training_pipeline, validation_pipeline
from ops.data.pyav_videos import VideoReader
from ops.data.sampling import Indices, Sample
from ops.data.transforms import Box, FramePlan
from ops.data.views import Views, load_views

RGB = FrameReader("img_{index:05d}.png", template=FrameTemplate("img_{index:05d}.png"))
FLOW = FrameReader("flow_{axis}_{index:05d}.png", True, FrameTemplate("flow_{axis}_{index:05d}.png"))
SHAPE, FLOW_SHAPE = ClipShape(4, "RGB", 16), ClipShape(2, "Flow", 16)
CLASSES = 4


def records_of(folder: Path, *lines: str, kind: Reader = RGB) -> Records:
    path = folder / "list.txt"
    path.write_text("\n".join(lines))
    return read_records(path, kind.counts_in_pairs)


def whole(height: int, width: int) -> FramePlan:
    """A plan that leaves frames unchanged."""
    return FramePlan((height, width), None, (height, width), (Box(0, 0, height, width),), (False,))


def at(*clips: Sequence[int]) -> list[Indices]:
    """The frame indices of the clips of one model."""
    return [np.array(clips)]


def drawn(indices: Sequence[int], seed: int = 0) -> Tensor:
    return torch.from_numpy(np.stack([draw(index, seed=seed) for index in indices])).permute(0, 3, 1, 2)


def training(records: Records, root: Path, partners: Sequence[int] = range(CLASSES), seed: int = 0) -> ClipDataset:
    recipe = training_pipeline(SHAPE, dense=False, mirror=True, partners=np.array(partners))
    return ClipDataset(records, str(root), RGB, recipe, seed, substitute=True)


def validation(records: Records, root: Path) -> ClipDataset:
    return ClipDataset(records, str(root), RGB, validation_pipeline(SHAPE, False, CLASSES), 0, substitute=False)


def views_of(records: Records, root: Path, reader: Reader = RGB, segments: Sequence[int] = (4,)) -> ViewsDataset:
    choose = partial(choose_views, segments=segments, sample=Sample("uniform", 2), new_length=1)
    return ViewsDataset([Stream(records, str(root), reader, choose, test_plan_for(SHAPE, 3, False))])


def pixels_of(dataset: ClipDataset, epoch: int, index: int) -> Tensor:
    pixels = dataset[epoch, index].pixels
    assert pixels is not None
    return pixels


class CountingReader(FrameReader):
    """A reader of frame folders that records which frames are requested in each read."""

    def __init__(self) -> None:
        super().__init__(RGB.pattern, template=RGB.template)
        self.asked: list[list[int]] = []

    @contextmanager
    def open(self, path: str, num_frames: int) -> Iterator[FrameSource]:
        with super().open(path, num_frames) as source:
            frames = source.frames

            def counted(indices: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
                self.asked.append(list(indices))
                return frames(indices)

            source.frames = counted  # type: ignore[method-assign]
            yield source


@pytest.fixture
def four(tmp_path: Path) -> Path:
    """Make folders a, b, c and d with 12 frames each."""
    for seed, name in enumerate("abcd"):
        write_frames(tmp_path / name, 12, seed=seed)
    return tmp_path


def test_views_hold_each_frame_once_and_say_which_clip_it_is_in(four: Path) -> None:
    views = load_views(RGB, str(four / "a"), 12, lambda n: at([0, 3, 11], [3, 3, 5]), whole)
    assert views.frames.shape == (4, 3, 48, 64)
    assert views.frames.dtype == torch.uint8
    assert views.clips[0].shape == (2, 3, 1)
    assert torch.equal(views.clip(0, views.clips[0]), torch.stack([drawn([0, 3, 11]), drawn([3, 3, 5])]))
    assert (views.plan.mirrored, views.truncated) == ((False,), "")


@pytest.mark.parametrize("listed", [1, 5, 12])
def test_frames_are_chosen_among_those_the_list_counts_in_folders(four: Path, listed: int) -> None:
    views = load_views(RGB, str(four / "a"), listed, lambda n: at(range(n)), whole)
    assert torch.equal(views.clip(0, views.clips[0])[0], drawn(range(listed)))
    assert views.truncated == ""


@pytest.mark.parametrize(("listed", "says"), [(-1, ""), (5, ""), (12, ""), (99, "12 frames, but the list says 99")])
def test_frames_are_chosen_among_those_a_video_has(tmp_path: Path, listed: int, says: str) -> None:
    path = write_video(tmp_path / "x.mp4", 12)
    views = load_views(VideoReader(), str(path), listed, lambda n: at(range(n)), whole)
    assert views.frames.shape == (12, 3, 48, 64)
    assert views.truncated == says


def test_a_truncated_folder_is_sampled_again_and_reported(four: Path) -> None:
    views = load_views(RGB, str(four / "a"), 24, lambda n: at([0, n - 1]), whole)
    assert torch.equal(views.clip(0, views.clips[0])[0], drawn([0, 11]))
    assert views.truncated == "only 12 of 24 frames could be read"


def test_a_truncated_video_is_sampled_again_and_reported(tmp_path: Path) -> None:
    path = write_video(tmp_path / "x.mp4", 40, gop=10)
    intact = load_views(VideoReader(), str(path), -1, lambda n: at([0, n - 1]), whole)
    assert intact.truncated == ""
    truncate(path, 0.6)
    cut = load_views(VideoReader(), str(path), -1, lambda n: at([0, n - 1]), whole)
    assert "frames could be read" in cut.truncated
    assert torch.equal(cut.frames[0], intact.frames[0])
    assert cut.frames.shape == intact.frames.shape


def test_a_folder_of_which_nothing_is_there_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(TruncatedMediaError, match="only 0 of 12"):
        load_views(RGB, str(tmp_path / "empty"), 12, lambda n: at([0]), whole)


def test_frames_of_another_size_are_brought_to_that_of_the_first(four: Path) -> None:
    Image.fromarray(draw(5, (20, 30))).save(four / "a" / "img_00006.png")
    views = load_views(RGB, str(four / "a"), 12, lambda n: at([0, 5]), whole)
    assert views.frames.shape == (2, 3, 48, 64)


@pytest.mark.parametrize("num_frames", [12, 9, 5, 2])
def test_flow_stacks_are_x1_y1_x2_y2_and_end_with_the_video(tmp_path: Path, num_frames: int) -> None:
    write_flow(tmp_path / "x", num_frames)
    last = num_frames - 1
    views = load_views(FLOW, str(tmp_path / "x"), num_frames, lambda n: at([0, last]), whole, new_length=5)
    clip = views.clip(0, views.clips[0])[0]
    assert clip.shape == (2, 10, 48, 64)
    for start, stack in zip((0, last), clip, strict=True):
        for step in range(5):
            assert torch.equal(stack[2 * step : 2 * step + 2], drawn([min(start + step, last)])[0, :2])


def test_a_flow_clip_of_training_has_ten_channels(tmp_path: Path) -> None:
    write_flow(tmp_path / "x", 12)
    recipe = training_pipeline(FLOW_SHAPE, dense=False, mirror=True, partners=np.arange(CLASSES))
    records = records_of(tmp_path, "x 12 1", kind=FLOW)
    clip = ClipDataset(records, str(tmp_path), FLOW, recipe, 0, True)[0, 0]
    assert clip.pixels is not None
    assert clip.pixels.shape == (2, 10, 16, 16)
    assert (clip.label, clip.failures, clip.warnings) == (1, (), ())


def test_the_same_epoch_and_index_give_the_same_clip(four: Path) -> None:
    records = records_of(four, "a 12 0", "b 12 1", "c 12 2", "d 12 3")
    dataset = training(records, four)
    again = pickle.loads(pickle.dumps(training(records, four)))
    keys = [(epoch, index) for epoch in (0, 1, 7) for index in range(4)]
    first = {key: dataset[key] for key in keys}
    for key in reversed(keys):
        pixels = pixels_of(dataset, *key)
        assert pixels.shape == (4, 3, 16, 16) and pixels.dtype == torch.uint8
        assert torch.equal(pixels_of(again, *key), pixels)
        assert (first[key].index, first[key].label) == (key[1], key[1])


@pytest.mark.parametrize(("seed", "epoch"), [(0, 1), (1, 0)])
def test_another_epoch_or_seed_gives_other_clips(four: Path, seed: int, epoch: int) -> None:
    records = records_of(four, "a 12 0", "b 12 1", "c 12 2", "d 12 3")
    pixels = [pixels_of(training(records, four), 0, index) for index in range(4)]
    others = [pixels_of(training(records, four, seed=seed), epoch, index) for index in range(4)]
    assert sum(torch.equal(a, b) for a, b in zip(pixels, others, strict=True)) <= 1


def test_the_global_random_state_has_no_part_in_it(four: Path) -> None:
    dataset = training(records_of(four, "a 12 0"), four)
    np.random.seed(1)
    torch.manual_seed(1)
    pixels = pixels_of(dataset, 0, 0)
    np.random.seed(2)
    torch.manual_seed(2)
    assert torch.equal(pixels_of(dataset, 0, 0), pixels)


def test_validation_looks_at_the_same_frames_in_every_epoch(four: Path) -> None:
    dataset = validation(records_of(four, "a 12 0"), four)
    assert torch.equal(pixels_of(dataset, 0, 0), pixels_of(dataset, 5, 0))


def test_training_puts_another_video_in_a_broken_ones_place_and_says_so(four: Path) -> None:
    records = records_of(four, "a 12 0", "gone 12 1", "c 12 2", "d 12 3")
    dataset = training(records, four)
    stand_ins = set()
    for epoch in range(12):
        clip, again = dataset[epoch, 1], dataset[epoch, 1]
        assert clip.pixels is not None
        assert clip.index != 1
        assert clip.label == records[clip.index].label
        assert set(clip.failures) == {Failure(1, "gone", "no such folder")}
        assert again.pixels is not None and torch.equal(again.pixels, clip.pixels)
        assert (again.index, again.failures) == (clip.index, clip.failures)
        stand_ins.add(clip.index)
    assert stand_ins == {0, 2, 3}
    assert dataset[0, 0].failures == ()


def test_training_gives_up_after_so_many_broken_videos(tmp_path: Path) -> None:
    clip = training(records_of(tmp_path, "gone 12 3", "lost 12 1"), tmp_path)[0, 0]
    assert clip.pixels is None
    assert clip.label == 3
    assert len(clip.failures) == SUBSTITUTES
    assert clip.failures[0] == Failure(0, "gone", "no such folder")


def test_a_clip_without_pixels_has_the_index_of_its_label(tmp_path: Path) -> None:
    records = records_of(tmp_path, *(f"gone{label} 12 {label}" for label in range(CLASSES)))
    clips = [training(records, tmp_path)[0, index] for index in range(CLASSES)]
    assert [clip.index for clip in clips] == [clip.label for clip in clips]


def test_validation_puts_nothing_in_a_broken_videos_place(four: Path) -> None:
    dataset = validation(records_of(four, "a 12 0", "gone 12 1"), four)
    clip = dataset[0, 1]
    assert clip.pixels is None
    assert (clip.index, clip.label, clip.failures) == (1, 1, (Failure(1, "gone", "no such folder"),))
    there = dataset[0, 0]
    assert there.pixels is not None
    assert (there.label, there.failures) == (0, ())


def test_testing_puts_nothing_in_a_broken_videos_place(four: Path) -> None:
    (four / "c" / "img_00006.png").write_bytes(b"broken")
    records = records_of(four, "a 12 0", "gone 12 1", "c 12 2", "d 0 3")
    items = [views_of(records, four)[index] for index in range(4)]
    assert [item.index for item in items] == [0, 1, 2, 3]
    assert [len(item.streams) for item in items] == [1, 0, 0, 0]
    assert items[0].failure is None
    assert items[1].failure == Failure(1, "gone", "no such folder")
    broken, empty = items[2].failure, items[3].failure
    assert broken is not None and "img_00006.png is not a readable image" in broken.reason
    assert empty is not None and "0 frames" in empty.reason


@pytest.mark.parametrize("make", [training, validation])
def test_a_truncated_folder_is_a_warning_not_a_failure(four: Path, make: type) -> None:
    clip = make(records_of(four, "a 30 0"), four)[0, 0]
    assert clip.pixels is not None
    assert clip.failures == ()
    assert clip.warnings == (Failure(0, "a", "only 12 of 30 frames could be read"),)


def test_a_truncated_folder_is_reported_with_its_views(four: Path) -> None:
    item = views_of(records_of(four, "a 30 0", "b 12 1"), four)[0]
    assert item.failure is None
    assert "only 12 of 30" in item.streams[0].truncated


def bright_on_the_left(pixels: Tensor) -> bool:
    half = pixels.shape[-1] // 2
    return bool(pixels[..., :half].float().mean() > pixels[..., half:].float().mean())


@pytest.fixture
def ramps(tmp_path: Path) -> Records:
    """Frame folders with the labels 0 to 3, whose images get brighter from left to right."""
    ramp = Image.linear_gradient("L").rotate(90).resize((64, 48)).convert("RGB")
    assert not bright_on_the_left(torch.from_numpy(np.array(ramp)).permute(2, 0, 1))
    for name in "abcd":
        (tmp_path / name).mkdir()
        for index in range(4):
            ramp.save(tmp_path / name / f"img_{index + 1:05d}.png")
    return records_of(tmp_path, "a 4 0", "b 4 1", "c 4 2", "d 4 3")


def test_a_mirrored_clip_has_the_label_of_its_mirror_image(ramps: Records, tmp_path: Path) -> None:
    partners = [1, 0, 2, -1]
    dataset = training(ramps, tmp_path, partners)
    seen = set()
    for epoch in range(24):
        for label in range(CLASSES):
            clip = dataset[epoch, label]
            assert clip.pixels is not None
            mirrored = bright_on_the_left(clip.pixels)
            assert clip.label == (partners[label] if mirrored else label)
            seen.add((label, mirrored))
    assert seen == {(0, False), (0, True), (1, False), (1, True), (2, False), (2, True), (3, False)}


def test_a_clip_with_several_labels_is_mirrored_if_all_of_them_have_a_mirror_image(
    ramps: Records, tmp_path: Path
) -> None:
    partners, labels = [1, 0, 2, -1], [[0, 2], [], [1, 3], [3]]
    lines = [f"{name} 4 {','.join(map(str, of)) or '-'}" for name, of in zip("abcd", labels, strict=True)]
    (tmp_path / "several.txt").write_text("\n".join(lines))
    dataset = training(read_records(tmp_path / "several.txt", True, multi_label=True), tmp_path, partners)
    seen = set()
    for epoch in range(24):
        clips = [dataset[epoch, index] for index in range(4)]
        for index, clip in enumerate(clips):
            assert clip.pixels is not None and not isinstance(clip.label, int)
            mirrored = bright_on_the_left(clip.pixels)
            assert np.flatnonzero(clip.label).tolist() == sorted(partners[k] if mirrored else k for k in labels[index])
            seen.add((index, mirrored))
        batch = collate_clips(clips)
        assert batch.labels.shape == (4, CLASSES) and batch.labels.dtype == torch.float32
    assert seen == {(0, False), (0, True), (1, False), (1, True), (2, False), (3, False)}


def test_all_frames_of_a_clip_are_cut_and_mirrored_alike(ramps: Records, tmp_path: Path) -> None:
    dataset = training(ramps, tmp_path)
    for epoch in range(6):
        pixels = pixels_of(dataset, epoch, 0)
        assert all(torch.equal(frame, pixels[0]) for frame in pixels)


def test_validation_never_mirrors(ramps: Records, tmp_path: Path) -> None:
    dataset = validation(ramps, tmp_path)
    for label in range(CLASSES):
        clip = dataset[0, label]
        assert clip.pixels is not None
        assert clip.label == label
        assert not bright_on_the_left(clip.pixels)


def test_several_models_share_one_decode(four: Path) -> None:
    reader = CountingReader()
    records = records_of(four, "a 12 0")
    (views,) = views_of(records, four, reader, segments=(4, 3))[0].streams
    assert len(reader.asked) == 1
    assert reader.asked[0] == sorted(set(reader.asked[0]))
    assert [tuple(clips.shape) for clips in views.clips] == [(2, 4, 1), (2, 3, 1)]
    assert views.frames.shape[:2] == (len(reader.asked[0]), 3) and views.crops == 3
    for model, segments in enumerate((4, 3)):
        (alone,) = views_of(records, four, segments=(segments,))[0].streams
        assert clips_of(views, model).equal(clips_of(alone, 0))


def clips_of(views: Views, model: int) -> Tensor:
    """The clips of all crops for one model: `[crops, V, T, C, H, W]`."""
    return torch.stack([views.clip(crop, views.clips[model]) for crop in range(views.crops)])


def test_a_truncated_video_is_decoded_twice_and_no_more(four: Path) -> None:
    reader = CountingReader()
    views_of(records_of(four, "a 30 0"), four, reader)[0]
    assert len(reader.asked) == 2


def test_streams_of_a_test_come_together_or_not_at_all(four: Path) -> None:
    write_flow(four / "a", 12)
    records = records_of(four, "a 12 0", "b 12 1")
    rgb = views_of(records, four).streams[0]
    choose = partial(choose_views, segments=[2], sample=Sample("uniform", 1), new_length=5)
    flow = Stream(records, str(four), FLOW, choose, test_plan_for(FLOW_SHAPE, 3, False), new_length=5)
    dataset = ViewsDataset([rgb, flow])
    assert [views.frames.shape[1] for views in dataset[0].streams] == [3, 2]
    views = dataset[0].streams[1]
    assert views.clip(0, views.clips[0]).shape == (1, 2, 10, 16, 16)
    missing = dataset[1]
    assert missing.streams == []
    assert missing.failure is not None and "only 0 of 12" in missing.failure.reason


def test_a_batch_leaves_out_what_could_not_be_read_and_counts_it(four: Path) -> None:
    dataset = validation(records_of(four, "a 12 0", "gone 12 1", "c 30 2"), four)
    batch = collate_clips([dataset[0, index] for index in range(3)])
    assert batch.pixels.shape == (2, 4, 3, 16, 16)
    assert (batch.labels.tolist(), batch.indices, batch.asked) == ([0, 2], [0, 2], 3)
    assert [failure.path for failure in batch.failures] == ["gone"]
    assert [warning.path for warning in batch.warnings] == ["c"]


def test_a_batch_of_nothing_is_empty(tmp_path: Path) -> None:
    batch = collate_clips([validation(records_of(tmp_path, "gone 12 1"), tmp_path)[0, 0]])
    assert (len(batch.pixels), len(batch.labels), batch.indices, batch.asked) == (0, 0, [], 1)


def test_errors_of_media_survive_the_way_from_a_worker(tmp_path: Path) -> None:
    for error in (MediaError("x.mp4", "broken"), TruncatedMediaError("x.mp4", 12, 5)):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again)) == (type(error), str(error))
