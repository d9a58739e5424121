"""Mirroring a clip swaps classes such as left and right; these tests check which ones."""

import numpy as np
import pytest

from ops.data.dataset_configs import dataset_config
from ops.data.mirror import mirror_partners

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
    """The name of the class that the mirror image of class `name` belongs to, among `name` and `others`."""
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


def test_class_names_take_precedence_over_published_numbers() -> None:
    """The classes may be in another order than the published one."""
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
