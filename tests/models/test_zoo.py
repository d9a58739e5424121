"""The table of published checkpoints is consistent, agrees with the loader and the docs, and its commands parse."""

import json
import re
import shlex
from collections import Counter
from pathlib import PurePosixPath

import numpy as np
import pytest
from conftest import ROOT, Call
from family import FILE_NAMES, case_of

from ops.data.dataset_configs import DATASETS, Published
from ops.data.pipelines import ClipShape
from ops.data.sampling import parse_sample
from ops.models.architectures import ARCHITECTURES
from ops.models.checkpoint import Checkpoint
from ops.models.checkpoint_names import ModelSpec, describe, to_our_names
from ops.models.checkpoint_source import segments_told, temporal_told
from ops.models.recognizer import build_model
from ops.models.temporal_options import TemporalOptions
from ops.models.zoo import DATASET_TITLES, PublishedCheckpoint, find_published, published_checkpoints
from ops.testing.ensemble import Ensemble, Member, default_sample
from ops.testing.evaluation_protocol import published_figure
from ops.testing.options import test_parser as make_test_parser

PAGE = ROOT / "docs" / "zoo.md"
ENTRIES = published_checkpoints()


def test_all_published_checkpoints_are_there_once() -> None:
    assert Counter(entry.publisher for entry in ENTRIES) == {"TAM": 6, "TSM": 13, "MMAction2": 21}
    assert len({entry.name for entry in ENTRIES}) == len({entry.path for entry in ENTRIES}) == len(ENTRIES)
    assert set(DATASET_TITLES) == {entry.dataset for entry in ENTRIES}


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_an_entry_is_consistent_with_its_name(entry: PublishedCheckpoint) -> None:
    assert entry.arch in ARCHITECTURES and entry.modality in ("RGB", "Flow")
    assert entry.url.startswith("https://")
    places = {(result.segments, result.crops, result.sample, result.size) for result in entry.results}
    assert len(places) == len(entry.results) >= 1
    assert all(0 < result.top1 < (result.top5 or 100) < 101 for result in entry.results)
    if entry.publisher == "TAM":
        assert find_published(PurePosixPath(entry.path).name) is None
        return
    file = PurePosixPath(entry.url).name
    assert find_published(file) is entry and file.startswith(entry.name) and file.endswith(".pth")
    assert segments_told({}, file) == entry.segments
    told = temporal_told({}, file).get("non_local", "")  # names of TSM's files contain only _nl, not the mode
    assert entry.temporal.non_local == told or file.endswith("_nl.pth")
    if entry.publisher == "MMAction2":  # these names contain the hash of the file
        assert re.fullmatch(rf"{re.escape(entry.name)}_\d{{8}}-[0-9a-f]{{8}}\.pth", file)
        assert entry.url.endswith(f"/{entry.name}/{file}")


@pytest.mark.parametrize("name", [name for name, file in FILE_NAMES.items() if find_published(file)])
def test_the_tensors_of_a_reference_checkpoint_are_of_the_network_in_the_table(name: str) -> None:
    entry = find_published(FILE_NAMES[name])
    assert entry is not None
    spec = describe(to_our_names(case_of(name).state), temporal_told({}, FILE_NAMES[name]))
    assert (spec.arch, spec.modality, spec.temporal) == (entry.arch, entry.modality, entry.temporal)


@pytest.mark.parametrize("dataset", DATASET_TITLES)
def test_tams_figures_are_those_of_the_datasets(dataset: str) -> None:
    results = [
        Published(r.segments, r.crops, r.sample, r.size, r.top1, r.top5 or 0)
        for entry in ENTRIES if entry.publisher == "TAM" and entry.dataset == dataset for r in entry.results
    ]  # fmt: skip
    assert tuple(results) == DATASETS[dataset].published


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_the_commands_test_what_was_published(entry: PublishedCheckpoint) -> None:
    for result in entry.results:
        script, *words = shlex.split(entry.test_command(result))[1:]
        args = make_test_parser(None).parse_args(words)
        assert script == "test_models.py" and (args.dataset, args.weights) == (
            entry.dataset,
            [entry.short or entry.name],
        )
        protocol = (args.test_segments, args.test_crops, args.sample, 256 if args.full_res else 224)
        assert protocol == ([result.segments], result.crops, result.sample, result.size)


def rows_of(publisher: str) -> list[str]:
    """The lines of the table in docs/zoo.md for the checkpoints of `publisher`."""
    return [
        f"| {DATASET_TITLES[entry.dataset]} | {entry.network} | {result.protocol.replace(' x ', ' × ')} "
        f"| {result.figures} | [{entry.publisher}]({entry.url}) | `{entry.test_command(result)}` |"
        for entry in ENTRIES if entry.publisher == publisher for result in entry.results
    ]  # fmt: skip


def test_the_page_has_the_same_table() -> None:
    expected = [row for publisher in ("TAM", "TSM", "MMAction2") for row in rows_of(publisher)]
    found = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if "`python test_models.py" in line]
    assert found == expected


KINDS = {"kinetics": (3, 10, 256), "something": (1, 1, 224), "somethingv2": (3, 2, 256)}
"""Crops, clips and pixels of the columns of the table in README.md."""


def test_the_short_table_in_the_readme_has_figures_of_the_long_one() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"has all {len(ENTRIES)}," in text
    rows = re.findall(r"^\| (T.*), (TAM|TSM|MMAction2) \|(.*)\|(.*)\|(.*)\|.*\|$", text, re.M)
    assert len(rows) >= 6
    for network, publisher, *cells in rows:
        for (dataset, kind), cell in zip(KINDS.items(), cells, strict=True):
            for segments, figure in zip((8, 16), cell.strip().split(" / "), strict=False):
                known = [
                    str(result.top1)
                    for entry in ENTRIES
                    if (entry.network, entry.publisher, entry.dataset) == (network, publisher, dataset)
                    for result in entry.results
                    if (result.segments, result.crops, parse_sample(result.sample).clips, result.size)
                    == (segments, *kind)
                ]
                assert not figure or known == [figure], (network, publisher, dataset)


def test_the_list_on_the_command_line(call: Call) -> None:
    lines = call("tools/show_checkpoint.py", "--list").out.splitlines()
    assert len(lines) == 1 + sum(len(entry.results) for entry in ENTRIES) and lines[0].startswith("dataset ")
    assert any("TSM (ResNet-50)" in line and "71.2" in line and line.endswith("segment8_e50") for line in lines)
    facts = json.loads(call("tools/show_checkpoint.py", "--list", "--json").out)
    assert [fact["url"] for fact in facts] == [entry.url for entry in ENTRIES]
    for wrong in ((), ("--list", "w.pth")):
        assert "give checkpoints to describe, or only --list" in call("tools/show_checkpoint.py", *wrong, status=2).err


@pytest.mark.parametrize(
    ("file", "flags", "published"),
    [
        ("TSM_something_RGB_resnet50_shift8_blockres_avg_segment8_e45.pth", (), {"top1": 45.6}),
        ("TSM_something_RGB_resnet50_shift8_blockres_avg_segment8_e45.pth",
         ("--twice_sample", "--test_crops", 3, "--full_res"), {"top1": 47.2}),
        ("TSM_something_RGB_resnet50_shift8_blockres_avg_segment8_e45.pth", ("--twice_sample",), None),
        ("mine_segment8.pth", (), None),  # another file, although TAM has a figure for this protocol
        ("TSM_kinetics_RGB_resnet50_shift8_blockres_avg_segment8_e50.pth", (), None),  # trained on another dataset
    ],
)  # fmt: skip
def test_a_test_tells_what_was_published_for_the_same_file(
    file: str, flags: tuple[object, ...], published: dict[str, float] | None
) -> None:
    args = make_test_parser(None).parse_args(["something", "--weights", file, *map(str, flags)])
    model = build_model("resnet50", 174, 8, temporal=TemporalOptions("tsm"))
    checkpoint = Checkpoint(file, {}, ModelSpec("resnet50", 174, None, "RGB", model.temporal, own_head=False))
    member = Member(checkpoint, model, ClipShape(8, "RGB", 224), 1.0, 0, 0)
    config = DATASETS["something"]
    sample = parse_sample(args.sample or default_sample(config, checkpoint))
    ensemble = Ensemble([member], [], sample, None, np.full(174, -1))
    assert published_figure(args, config, ensemble) == published
