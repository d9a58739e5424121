"""The built-in dataset of orders: without their order, neither all frames nor the sampled ones reveal the class."""

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from conftest import NewFolder

from ops.data import motion_order
from ops.data.class_names import read_class_names
from ops.data.dataset_configs import dataset_config
from ops.data.lists import read_records
from ops.data.mirror import mirror_partners
from ops.data.motion_order import CLASSES, LENGTHS, NUM_FRAMES, ORDERS, TICK, draw_film
from ops.data.sampling import view_indices
from ops.data.videos import open_video


@pytest.fixture(scope="module")
def root(new_folder: NewFolder) -> Path:
    patch = pytest.MonkeyPatch()
    patch.setattr(motion_order, "FILMS", {"train": 2, "val": 1})
    folder = new_folder("data") / "MotionOrder"
    motion_order.make(folder, "frames", shown=False)
    patch.undo()
    return folder


def test_every_film_is_there_in_both_orders_with_the_same_decoded_pictures(root: Path) -> None:
    pictures: dict[str, list[Counter[bytes]]] = {}
    sizes: dict[str, set[int]] = {}
    for record in read_records(root / "motion_order_train_list.txt", counts_in_pairs=False):
        with open_video(root / record.path) as source:
            frames = source.read(range(len(source)))
        assert len(frames) == NUM_FRAMES and Path(record.path).parts[-2] == CLASSES[record.label]
        name = Path(record.path).name
        pictures.setdefault(name, []).append(Counter(frame.numpy().tobytes() for frame in frames))
        sizes.setdefault(name, set()).add((root / record.path).stat().st_size // 100)
    assert len(pictures) == 2
    for orders in pictures.values():
        assert len(orders) == 2 and orders[0] == orders[1]
    assert all(max(group) - min(group) <= 1 for group in sizes.values()), "the size of a file tells nothing"


def test_the_two_orders_of_a_pair_are_adjacent_and_named_correctly() -> None:
    assert len(CLASSES) == len(set(CLASSES)) == 12
    for first, second in zip(ORDERS[::2], ORDERS[1::2], strict=True):
        assert first == second[::-1]
    assert CLASSES[:2] == ("slide-lift", "lift-slide")
    film = draw_film(ORDERS[2], np.random.default_rng(3))
    assert film.events[0].away[0] and film.events[1].scale > 1, "slide-grow"
    parts = film.parts()
    for order in ((0, 1), (1, 0)):
        frames = film.ordered(order)
        assert len(frames) == NUM_FRAMES
        at = 0
        for pause, event in zip(film.pauses, order, strict=True):
            assert all(np.array_equal(frame, film.still()) for frame in frames[at : at + pause])
            at += pause
            assert np.array_equal(frames[at], parts[event][0])
            at += len(parts[event])
        assert all(np.array_equal(frame, film.still()) for frame in frames[at:])


def sampled(pauses: tuple[int, ...], lengths: tuple[int, ...], order: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """For each event, the frames that an 8-frame clip samples from it, counted from the start of the event."""
    indices = view_indices(NUM_FRAMES, 8, "uniform-1")[0].tolist()
    found: dict[int, tuple[int, ...]] = {}
    at = 0
    for pause, event in zip(pauses, order, strict=True):
        at += pause
        found[event] = tuple(index - at for index in indices if at <= index < at + lengths[event])
        at += lengths[event]
    return tuple(found[event] for event in sorted(found))


@pytest.mark.parametrize("lengths", [(14, 28), (20, 20), (17, 23)])
def test_sampled_frames_are_equally_likely_in_both_orders(lengths: tuple[int, ...]) -> None:
    """Over all pauses, every combination of sampled frames of the two events occurs equally often in both orders."""
    pauses = list(itertools.product(range(TICK), repeat=2))
    one, other = (Counter(sampled(pause, lengths, order) for pause in pauses) for order in ((0, 1), (1, 0)))
    assert len(one) == TICK**2 and one == other


def test_films_fit_and_pauses_and_speeds_differ() -> None:
    assert 2 * (TICK - 1 + LENGTHS[1]) <= NUM_FRAMES and TICK * 8 == NUM_FRAMES
    films = [film for _, film in motion_order.films("train")]
    assert {event.length for film in films for event in film.events} == set(range(LENGTHS[0], LENGTHS[1] + 1))
    assert {pause for film in films for pause in film.pauses} == set(range(TICK))


def test_the_camera_moves() -> None:
    film = draw_film(ORDERS[0], np.random.default_rng(5))
    corner = [frame[:8, :8].astype(int) for frame in film.parts()[0]]
    assert np.abs(corner[0] - corner[len(corner) // 2]).mean() > 0.5  # 1.0, and 0 with a still camera


def test_lists_classes_and_frames(root: Path) -> None:
    assert read_class_names(root / "annotations" / "class_names.txt") == list(CLASSES)
    assert len(read_records(root / "motion_order_val_list.txt", counts_in_pairs=False)) == 2
    first = read_records(root / "annotations" / "train.txt", counts_in_pairs=False)[0]
    assert len(list((root / first.path).glob("img_*.jpg"))) == NUM_FRAMES


def test_a_mirror_image_keeps_its_class() -> None:
    config = dataset_config("motion_order")
    assert config.mirror and mirror_partners(config, 12, CLASSES).tolist() == list(range(12))


def test_splits_share_no_film_and_films_come_from_their_seed() -> None:
    one, again, other = (next(motion_order.films(split))[1].still() for split in ("train", "train", "val"))
    assert np.array_equal(one, again) and not np.array_equal(one, other)
