"""Comparing several tests, class by class and video by video."""

from collections.abc import Mapping
from dataclasses import dataclass

from ops.report.results import Test, table


@dataclass(frozen=True)
class ClassDifference:
    """A class in several tests: top-1 in percent in each, and the difference to the first (None: unknown)."""

    name: str
    videos: int
    top1: list[float | None]
    above: list[float | None]


@dataclass(frozen=True)
class VideoDifference:
    """Of the `both` videos scored by the first test and the test `name`: how many only one of them got right."""

    name: str
    both: int
    only_first: int
    only_other: int


@dataclass(frozen=True)
class Comparison:
    """Tests over the same classes, compared with the first of them.

    `left_out` are tests over other classes; `other_lists` means that not all tests had the same list.
    """

    names: list[str]
    classes: list[ClassDifference]
    videos: list[VideoDifference]
    left_out: list[str]
    other_lists: bool


def compare(tests: Mapping[str, Test]) -> Comparison | None:
    """Compare the first test (name → test) with all others over the same classes; None if there are none.

    Tests of videos with several labels have no top-1 and are not compared by class.

    Classes are sorted by the difference of the first two tests, the largest gain first.
    """
    known = {name: test for name, test in tests.items() if test.classes and not test.multi_label}
    if len(known) < 2:
        return None
    first, *others = known
    wanted = _class_names(known[first])
    same = [first, *(name for name in others if sorted(_class_names(known[name])) == sorted(wanted))]
    left_out = [name for name in known if name not in same]
    rows = [{row.name: row for row in known[name].classes} for name in same]
    classes = []
    for name in wanted:
        top1 = [of[name].top1 for of in rows]
        above = [None if one is None or top1[0] is None else one - top1[0] for one in top1[1:]]
        classes.append(ClassDifference(name, rows[0][name].videos, top1, above))
    classes.sort(key=lambda row: (not row.above or row.above[0] is None, -(row.above[0] or 0) if row.above else 0))
    lists = {tuple(table(known[name].metrics.get("lists_sha256")).values()) for name in same}
    videos = [_compare_videos(name, known[first], known[name]) for name in same[1:]]
    return Comparison(same, classes, [v for v in videos if v.both], left_out, len(lists) > 1)


def _class_names(test: Test) -> list[str]:
    return [row.name for row in test.classes]


def _compare_videos(name: str, first: Test, other: Test) -> VideoDifference:
    one, two = first.right, other.right
    both = [path for path in one if path in two]
    only_first = sum(one[path] and not two[path] for path in both)
    return VideoDifference(name, len(both), only_first, sum(two[path] and not one[path] for path in both))
