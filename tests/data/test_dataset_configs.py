"""What a dataset is: which classes a mirror image swaps, where its files are, what its classes are called."""

from pathlib import Path

import numpy as np
import pytest

from ops.common.errors import InputError
from ops.data.dataset_configs import DATASETS, DatasetConfig, dataset_config, mirror_partners

SOMETHING_PAIRS = {86: 87, 87: 86, 93: 94, 94: 93, 166: 167, 167: 166}


def test_something_v2_swaps_its_published_pairs_without_names() -> None:
    partners = mirror_partners(dataset_config("somethingv2"), 174, None)
    assert partners.tolist() == [SOMETHING_PAIRS.get(label, label) for label in range(174)]


@pytest.mark.parametrize(
    ("name", "num_classes", "partners"),
    [
        ("kinetics", 400, list(range(400))),
        ("ucf101", 101, list(range(101))),
        ("kinetics", 3, [0, 1, 2]),
        ("somethingv2", 10, [-1] * 10),
        ("something", 174, [-1] * 174),
        ("jester", 27, [-1] * 27),
        ("custom", 5, [-1] * 5),
    ],
)
def test_without_names_a_class_is_its_own_mirror_image_or_nothing_is_known(
    name: str, num_classes: int, partners: list[int]
) -> None:
    assert mirror_partners(dataset_config(name), num_classes, None).tolist() == partners


def partner(name: str, *others: str, config: str = "custom") -> str | None:
    """The name of the mirror image of the class `name` among `others`."""
    names = [*others, name]
    found = mirror_partners(dataset_config(config), len(names), names)
    assert found.dtype == np.int64
    return None if found[-1] < 0 else names[found[-1]]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Swiping Left", "Swiping Right"),
        ("swiping_left", "swiping_right"),
        ("LEFT", "Right"),
        ("Sliding Two Fingers Left", "Sliding two fingers right"),
        ("Pushing something from left to right", "Pushing something from right to left"),
        ("Pulling [something] from left to right", "Pulling [something] from right to left"),
        ("turn (left)", "turn (right)"),
        ("clockwise", "counterclockwise"),
        ("Turning Hand Clockwise", "Turning Hand Counterclockwise"),
        ("turning clockwise", "turning counter-clockwise"),
        ("turning clockwise", "turning counter clockwise"),
        ("turning clockwise", "Turning Counter-Clockwise"),
        ("turning_clockwise", "turning_counter_clockwise"),
        ("turning clockwise", "turning anticlockwise"),
        ("turning clockwise", "turning anti-clockwise"),
        ("left hand clockwise", "right hand counter-clockwise"),
    ],
)
@pytest.mark.parametrize("config", ["custom", "jester", "somethingv2"])
def test_left_and_right_and_both_ways_of_turning_are_swapped(one: str, other: str, config: str) -> None:
    assert partner(one, "something else", other, config=config) == other
    assert partner(other, "something else", one, config=config) == one


@pytest.mark.parametrize(
    "name",
    ["holding upright", "a bright light", "copyright", "leftover food", "unscrewing", "Swiping Up", "righteous", "走る",
     "clockwork", "counter", "+", "dance 2"],
)  # fmt: skip
def test_other_names_are_their_own_mirror_image(name: str) -> None:
    others = ["holding upleft", "a bleft light", "rightover food", "Swiping Down", "lefteous", "something"]
    assert partner(name, *others) == name


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("Swiping Left", "Swiping Up"),
        ("Swiping Left", "Sliding Right"),
        ("turning clockwise", "turning"),
        ("left clockwise", "right clockwise"),
    ],
)
def test_a_name_whose_counterpart_is_no_class_has_no_mirror_image(name: str, other: str) -> None:
    assert partner(name, other) is None


def test_names_rule_over_numbers() -> None:
    """The order of the classes may be another one than the published order."""
    names = [f"class {label}" for label in range(174)]
    names[3], names[170] = "moving left", "moving right"
    partners = mirror_partners(dataset_config("somethingv2"), 174, names)
    assert partners.tolist() == [{3: 170, 170: 3}.get(label, label) for label in range(174)]


def test_a_mirror_image_of_a_mirror_image_is_the_class_itself() -> None:
    names = ["a left", "b", "a right", "turn clockwise", "c upright", "turn counter-clockwise", "d left"]
    partners = mirror_partners(dataset_config("jester"), len(names), names)
    assert partners.tolist() == [2, 1, 0, 5, 4, 3, -1]


def test_datasets_whose_mirror_images_mean_the_same_swap_no_names() -> None:
    assert partner("turning left", "turning right", config="kinetics") == "turning left"


@pytest.mark.parametrize(
    ("one", "other"), [("C", "C++"), ("?", "!"), ("a b", "a_b"), ("कि", "की"), ("b flat", "B-flat")]
)
def test_names_that_differ_in_marks_alone_are_not_swapped(one: str, other: str) -> None:
    assert mirror_partners(dataset_config("custom"), 2, [one, other]).tolist() == [0, 1]


def test_kinetics_400_names_are_in_their_published_order() -> None:
    config = dataset_config("kinetics")
    assert config.class_names is not None
    names = config.class_names()
    assert len(names) == len(set(names)) == config.num_classes == 400
    assert names == sorted(names)
    assert (names[0], names[6], names[-1]) == ("abseiling", "arm wrestling", "zumba")


@pytest.mark.parametrize("config", [config for config in DATASETS.values() if config.class_names], ids=lambda c: c.name)
def test_class_names_are_as_many_as_classes(config: DatasetConfig) -> None:
    assert config.class_names is not None
    assert len(set(config.class_names())) == config.num_classes


@pytest.mark.parametrize(
    ("name", "split", "kind", "path"),
    [
        ("kinetics", "train", "frames", "Kinetics400/annotations/train.txt"),
        ("kinetics", "val", "videos", "Kinetics400/k400_val_list.txt"),
        ("kinetics700", "test", "videos", "Kinetics700/k700_test_list.txt"),
        ("somethingv2", "val", "frames", "SomethingV2/annotations/val.txt"),
        ("ucf101", "train", "videos", "UCF101/ucf101_train_list.txt"),
    ],
)
def test_lists_are_in_the_published_places(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, split: str, kind: str, path: str
) -> None:
    config = dataset_config(name)
    assert config.list_path(split, kind) == Path("datasets", path)
    monkeypatch.setenv("TAM_DATASETS", str(tmp_path))
    assert config.list_path(split, kind) == tmp_path / path
    assert config.root() == tmp_path / Path(path).parts[0]


@pytest.mark.parametrize("kind", ["frames", "videos"])
def test_a_dataset_without_a_place_asks_for_lists(kind: str) -> None:
    with pytest.raises(InputError, match="custom has no place of its own: give the lists and --root_path"):
        dataset_config("custom").list_path("train", kind)


def test_an_unknown_dataset_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="unknown dataset kinetcs; known are kinetics, "):
        dataset_config("kinetcs")


@pytest.mark.parametrize("config", DATASETS.values(), ids=lambda config: config.name)
def test_entries_agree_with_themselves(config: DatasetConfig) -> None:
    assert DATASETS[config.name] is config
    assert all("{index" in pattern for pattern in (config.rgb, config.flow))
    if config.swap_pairs:
        assert config.swap and config.num_classes
        assert all(0 <= label < config.num_classes for pair in config.swap_pairs for label in pair)
    if config.recipe:
        assert list(config.recipe.lr_steps) == sorted(config.recipe.lr_steps)
        assert config.recipe.lr_steps[-1] < config.recipe.epochs


@pytest.mark.parametrize(
    ("name", "lr", "batch", "epochs", "steps", "dropout", "decay", "mirror", "dense"),
    [
        ("kinetics", 0.01, 64, 100, (50, 75, 90), 0.5, 1e-4, True, True),
        ("something", 0.01, 64, 50, (30, 40, 45), 0.6, 1e-3, False, False),
        ("somethingv2", 0.02, 128, 50, (30, 40, 45), 0.5, 5e-4, True, False),
    ],
)
def test_recipes_are_the_published_ones(
    name: str, lr: float, batch: int, epochs: int, steps: tuple[int, ...], dropout: float, decay: float,
    mirror: bool, dense: bool,
) -> None:  # fmt: skip
    config = dataset_config(name)
    assert config.recipe is not None
    recipe = config.recipe
    assert (recipe.lr, recipe.batch_size, recipe.epochs, recipe.lr_steps) == (lr, batch, epochs, steps)
    assert (recipe.dropout, recipe.weight_decay) == (dropout, decay)
    assert (config.mirror, config.dense) == (mirror, dense)
