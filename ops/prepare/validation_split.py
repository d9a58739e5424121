"""Choosing the videos of a folder for validation: a share of each class, drawn at random, that later runs keep."""

import logging
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from ops.common.text import counted
from ops.data.lists import read_records

log = logging.getLogger(__name__)

SHOWN = 3
"""How many new videos are named."""


def draw_validation(
    items: Iterable[tuple[str, str]], val_fraction: float, seed: int, sides: Mapping[str, bool] | None = None
) -> dict[str, list[bool]]:
    """Whether each of `items`, paths with their classes, is for validation: for each class, in order of its paths.

    A class with a single video has it in training; other classes have at least one in each split, unless `val_fraction`
    is 0. The draw depends only on the seed, the class's name and its paths. Videos in `sides` keep their split (True:
    validation); as many of the others are drawn as validation needs to reach its share.
    """
    known: dict[str, list[bool | None]] = {}
    for path, name in items:
        known.setdefault(name, []).append(sides.get(path) if sides else None)
    marks = {}
    for name, there in known.items():
        share = min(max(round(len(there) * val_fraction), 1), len(there) - 1) if val_fraction else 0
        share = max(share - there.count(True), 0)
        rng = np.random.default_rng([seed, zlib.crc32(name.encode("utf-8", "surrogateescape"))])
        drawn = iter(rng.permutation(there.count(None)).tolist())
        marks[name] = [next(drawn) < share if side is None else side for side in there]
    return marks


def sides_of(train: Path, val: Path, counts_in_pairs: bool) -> dict[str, bool]:
    """The split of each video in earlier lists (True: validation); one of the lists may be missing."""
    return {
        record.path: is_val
        for path, is_val in ((train, False), (val, True))
        if path.is_file()
        for record in read_records(path, counts_in_pairs)
    }


def report_changes(before: Mapping[str, bool], now: Mapping[str, bool]) -> None:
    """Log the videos that are in new lists but not in the earlier ones, and how many are gone."""
    for is_val, split in ((False, "training"), (True, "validation")):
        new = [path for path, side in now.items() if side == is_val and path not in before]
        if new:
            more = f" and {len(new) - SHOWN} more" if len(new) > SHOWN else ""
            log.info("added to %s: %s (%s%s)", split, counted(len(new), "video"), ", ".join(new[:SHOWN]), more)
    gone = len(before.keys() - now.keys())
    if gone:
        log.info("no longer in the lists: %s", counted(gone, "video"))
    if not gone and now.keys() == before.keys():
        log.info("the lists have the same %s as before", counted(len(now), "video"))
