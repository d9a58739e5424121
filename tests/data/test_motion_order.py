"""The built-in dataset of orders: frames without their order tell nothing, neither all of them nor the sampled ones."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from ops.data import motion_order
from ops.data.class_names import read_class_names
from ops.data.dataset_configs import dataset_config
from ops.data.lists import read_records
from ops.data.mirror import mirror_partners
from ops.data.motion_order import CLASSES, NUM_FRAMES, ORDERS, SHORTEST, TICK, draw_film
from ops.data.sampling import view_indices
from ops.data.videos import open_video


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    patch = pytest.MonkeyPatch()
    patch.setattr(motion_order, "FILMS", {"train": 2, "val": 1})
    folder = tmp_path_factory.mktemp("data") / "MotionOrder"
    motion_order.make(folder, "frames", shown=False)
    patch.undo()
    return folder


def test_every_film_is_there_in_all_orders_with_the_same_decoded_pictures(root: Path) -> None:
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
        assert len(orders) == len(ORDERS) and all(one == orders[0] for one in orders)
    assert all(max(group) - min(group) <= 1 for group in sizes.values()), "the size of a file tells nothing"


def test_the_orders_differ_and_are_what_they_are_called() -> None:
    film = draw_film(np.random.default_rng(3))
    parts = film.parts()
    for name, order in zip(CLASSES, ORDERS, strict=True):
        frames = film.ordered(order)
        assert len(frames) == NUM_FRAMES
        at, places = film.rest, []
        for event in order:
            places.append(at)
            assert np.array_equal(frames[at], parts[event][0])
            at += len(parts[event])
        assert name.split("-") == [motion_order.EVENTS[event] for event in order]
        assert all(np.array_equal(frame, film.still()) for frame in frames[at:])


def phases(rest: int, lengths: tuple[int, ...], order: tuple[int, ...]) -> dict[int, int]:
    """For each event the phase at which an 8-frame clip samples it: its first sampled frame, counted from its start."""
    indices = view_indices(NUM_FRAMES, 8, "uniform-1")[0]
    found, at = {}, rest
    for event in order:
        inside = [int(index) - at for index in indices if at <= index < at + lengths[event]]
        found[event] = inside[0]
        at += lengths[event]
    return found


def test_what_an_8_frame_clip_samples_is_equally_likely_in_every_order() -> None:
    """Over all rests and lengths, the phases and lengths of the events occur equally often, whatever their order."""
    values = range(SHORTEST, SHORTEST + TICK)
    counts: list[Counter[tuple[int, ...]]] = []
    for order in ORDERS:
        seen: Counter[tuple[int, ...]] = Counter()
        for rest in range(TICK):
            for one in values:
                for two in values:
                    for three in values:
                        found = phases(rest, (one, two, three), order)
                        seen[found[0], found[1], found[2]] += 1
        counts.append(seen)
    assert len(counts[0]) == TICK**3 and len(set(counts[0].values())) == 1
    assert all(count == counts[0] for count in counts)


def test_films_fit_and_speeds_differ() -> None:
    assert TICK - 1 + 3 * (SHORTEST + TICK - 1) <= NUM_FRAMES
    lengths = {event.length for film in motion_order.films("val") for event in film.events}
    assert lengths == set(range(SHORTEST, SHORTEST + TICK))


def test_the_camera_moves() -> None:
    film = draw_film(np.random.default_rng(5))
    corner = [frame[:8, :8].astype(int) for frame in film.parts()[0]]
    assert np.abs(corner[0] - corner[len(corner) // 2]).mean() > 1


def test_lists_classes_and_frames(root: Path) -> None:
    assert read_class_names(root / "annotations" / "class_names.txt") == list(CLASSES)
    assert len(read_records(root / "motion_order_val_list.txt", counts_in_pairs=False)) == 6
    first = read_records(root / "annotations" / "train.txt", counts_in_pairs=False)[0]
    assert len(list((root / first.path).glob("img_*.jpg"))) == NUM_FRAMES


def test_a_mirror_image_keeps_its_class() -> None:
    config = dataset_config("motion_order")
    assert config.mirror and mirror_partners(config, 6, CLASSES).tolist() == list(range(6))


def test_splits_share_no_film_and_films_come_from_their_seed() -> None:
    one, again, other = (next(motion_order.films(split)).still() for split in ("train", "train", "val"))
    assert np.array_equal(one, again) and not np.array_equal(one, other)
