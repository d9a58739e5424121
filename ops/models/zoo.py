"""The published checkpoints of TAM, TSM and MMAction2: what they are, how they scored and where to get them.

The data is in `zoo.csv`, one line for each published figure. Figures are the publishers' own, from the READMEs of
liu-zhy/temporal-adaptive-module, mit-han-lab/temporal-shift-module and open-mmlab/mmaction2 1.2; the protocols of
MMAction2 are those of its configs. Checkpoints of networks that this project cannot build are left out.
Imports nothing heavy.
"""

import csv
import functools
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ops.models.network_name import model_name
from ops.models.temporal_options import TemporalOptions

DATASET_TITLES = {"kinetics": "Kinetics-400", "something": "Something v1", "somethingv2": "Something v2"}
"""The datasets of the checkpoints, by their names on the command line."""

TRAINING_SIZE = 224
"""Pixels of the crops that all of them were trained with; a test at 256 crops the whole short side of the frames."""


@dataclass(frozen=True)
class PublishedResult:
    """A published figure: `segments` x `crops` x `sample` at `size` pixels, top-1 and top-5 in percent.

    `top5` is None if it was not published.
    """

    segments: int
    crops: int
    sample: str
    size: int
    top1: float
    top5: float | None

    @property
    def protocol(self) -> str:
        """In words: "8 x 3 x dense-10 at 256"."""
        return f"{self.segments} x {self.crops} x {self.sample} at {self.size}"

    @property
    def figures(self) -> str:
        """Top-1 and top-5 as published: "76.1 / 92.3", or "74.1" without top-5."""
        return " / ".join(str(value) for value in (self.top1, self.top5) if value is not None)


@dataclass(frozen=True)
class PublishedCheckpoint:
    """One published file.

    Attributes:
        publisher: "TAM", "TSM" or "MMAction2".
        name: for TAM, the name of the folder; for the others, that of the file without date, hash and extension.
        short: a shorter name for TAM's checkpoints; "" for the others.
        dataset, modality, arch: as on the command line.
        temporal: its temporal module and non-local blocks.
        segments: the frames of a clip in its training.
        url: the address of the file; for TAM, that of the folder with the file.
        results: its published figures, at least one.
    """

    publisher: str
    name: str
    short: str
    dataset: str
    modality: str
    arch: str
    temporal: TemporalOptions
    segments: int
    url: str
    results: tuple[PublishedResult, ...]

    @property
    def network(self) -> str:
        """In words: "TANet-50", "TSM (ResNet-50) + non-local", "TSM (ResNet-50) on flow"."""
        return model_name(self.arch, self.temporal) + (" on flow" if self.modality == "Flow" else "")

    @property
    def path(self) -> str:
        """The path that the published commands use, relative to the repository's root."""
        if self.publisher == "TAM":
            return f"checkpoints/{self.name}/ckpt.best.pth.tar"
        return f"pretrained/{PurePosixPath(self.url).name}"

    @property
    def by_hand(self) -> bool:
        """Whether `url` is a page for a download by hand, not the address of the file."""
        return self.publisher == "TAM"

    def test_command(self, result: PublishedResult) -> str:
        """The command that tests it by the protocol of `result`, from extracted frames."""
        words: list[object] = ["python", "test_models.py", self.dataset, "--weights", self.short or self.name]
        words += ["--test_segments", result.segments, "--test_crops", result.crops, "--sample", result.sample]
        words += ["--full_res"] if result.size > TRAINING_SIZE else []
        return shlex.join(map(str, words))


@functools.cache
def published_checkpoints() -> tuple[PublishedCheckpoint, ...]:
    """All of them: TAM's, TSM's, MMAction2's."""
    with Path(__file__).with_name("zoo.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    by_name: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        by_name.setdefault(row["name"], []).append(row)
    return tuple(map(_checkpoint_of, by_name.values()))


def find_published(file_name: str) -> PublishedCheckpoint | None:
    """The checkpoint that is published as a file of this name; None for other files and for TAM's.

    TAM's files are all called `ckpt.best.pth.tar`, like those of any other run.
    """
    found = [entry for entry in published_checkpoints() if PurePosixPath(entry.url).name == file_name]
    return found[0] if found else None


@functools.cache
def _by_name() -> dict[str, PublishedCheckpoint]:
    return {name: entry for entry in published_checkpoints() for name in (entry.name, entry.short) if name}


def find_named(name: str) -> PublishedCheckpoint | None:
    """The checkpoint with this name or short name."""
    return _by_name().get(name)


def describe_published(where: Mapping[str, str]) -> list[str]:
    """One line for each published figure: dataset, network, protocol, figure, and the checkpoint's name.

    `where` maps each name to how the file is obtained: "here", "download" or "by hand".
    """
    cells = [
        (
            DATASET_TITLES[entry.dataset],
            entry.network,
            result.protocol,
            result.figures,
            entry.publisher,
            where[entry.name],
            entry.short or entry.name,
        )
        for entry in published_checkpoints()
        for result in entry.results
    ]
    head = ("dataset", "network", "protocol", "top-1 / top-5 %", "publisher", "weights", "name")
    widths = [max(len(row[place]) for row in (head, *cells)) for place in range(len(head))]
    return [
        "  ".join(f"{cell:<{size}}" for cell, size in zip(row, widths, strict=True)).rstrip() for row in (head, *cells)
    ]


_FACTS = ("publisher", "name", "short", "dataset", "modality", "network", "arch")


def published_facts() -> list[dict[str, Any]]:
    """All facts about each published checkpoint, as plain data; each result has the command that tests it."""
    return [
        {
            **{key: getattr(entry, key) for key in _FACTS},
            "temporal": entry.temporal.as_meta(),
            **{key: getattr(entry, key) for key in ("segments", "url", "path")},
            "results": [{**asdict(result), "command": entry.test_command(result)} for result in entry.results],
        }
        for entry in published_checkpoints()
    ]


def _checkpoint_of(rows: list[dict[str, str]]) -> PublishedCheckpoint:
    """The checkpoint of all lines that have its name; they differ in protocol and figure only."""
    first = rows[0]
    results = tuple(
        PublishedResult(
            int(row["segments"]), int(row["crops"]), row["sample"], int(row["size"]), float(row["top1"]),
            float(row["top5"]) if row["top5"] else None,
        )
        for row in rows
    )  # fmt: skip
    return PublishedCheckpoint(
        first["publisher"], first["name"], first["short"], first["dataset"], first["modality"], first["arch"],
        TemporalOptions(first["temporal"], non_local=first["non_local"]), int(first["trained_segments"]), first["url"],
        results,
    )  # fmt: skip
