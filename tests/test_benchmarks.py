"""Tiny versions of the benchmarks run, and give a figure and a target for every row."""

import json
import math
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import ROOT, Call
from media import write_video

from benchmarks import heap, options
from benchmarks.decoders import difference
from benchmarks.network import frozen_rows
from benchmarks.peers import PEERS, installed_peers
from benchmarks.processes import cost_of
from ops.common.errors import MediaError
from ops.common.heap import is_glibc
from ops.common.threads import SPINNING
from ops.data.decoders import DECODERS
from ops.data.opencv_videos import OpenCVReader
from ops.training.options import train_parser

FRAMES = 100


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """A video of 100 frames in two groups of pictures."""
    return write_video(tmp_path / "film.mp4", FRAMES, gop=50, b_frames=2)


def timed(row: dict[str, Any], *names: str) -> bool:
    """Whether the timings are finite, above zero and ordered, and the ratio is finite and above zero."""
    times = [row[name] for name in names]
    ordered = all(0 < time["least"] <= time["median"] <= time["most"] < math.inf for time in times)
    return ordered and 0 < row["ratio"] < math.inf


def test_every_row_has_figures_and_a_target(call: Call, film: Path, tmp_path: Path) -> None:
    """All rows except workers and memory, which start processes that import PyTorch."""
    parts = ("decode", "sample", "encoded", "frames", "tam", "step", "scores")
    flags = ("--rounds", 1, "--clips", 1, "--size", 32, "--device", "cpu", "--video", film, "--output", "out/tiny")
    printed = call("benchmarks/__main__.py", "--only", *parts, *flags).out
    assert (tmp_path / "out/tiny.md").read_text() == printed
    facts = json.loads((tmp_path / "out/tiny.json").read_text())
    rows = facts["rows"]
    assert "h264 64×48, 100 frames, 4.0 s, 2 key frames" in facts["title"] and facts["memory_mib"] == {}
    assert len(rows) == 4 + 2 + 2 + 1 + 8 + 2 + 3 and len({(row["what"], row["against"]) for row in rows}) == len(rows)
    for row in rows:
        assert timed(row, "ours", "other"), row
        assert row["target"][:2] in ("≥ ", "≤ "), row
        assert row["target"][2:] == "reported" or float(row["target"][2:]) > 0, row
        assert f"| {row['what']} | {row['against']} | {1e3 * row['ours']['median']:.2f} (" in printed


def test_input_that_cannot_be_measured_is_reported_in_one_line(call: Call, tmp_path: Path) -> None:
    short = write_video(tmp_path / "short.mp4", 20)
    assert "20 frames, but 96 are needed" in call("benchmarks/__main__.py", "--video", short, status=2).err
    assert "invalid choice" in call("benchmarks/__main__.py", "--only", "sleep", status=2).err
    assert "No such file" in call("benchmarks/decoders.py", tmp_path / "none.mp4", status=2).err


def test_decoders_are_compared_in_time_and_pixels(call: Call, film: Path, tmp_path: Path) -> None:
    printed = call("benchmarks/decoders.py", film, "--rounds", 1, "--output", "out/decoders").out
    assert (tmp_path / "out/decoders.md").read_text() == printed
    facts = json.loads((tmp_path / "out/decoders.json").read_text())
    rows = facts["rows"]
    measured = len(DECODERS) + len(installed_peers()[0])
    assert len(rows) == 2 * measured and facts["default"] == "pyav"
    for row in rows:
        assert timed(row, "time") and not row["problem"], row
        assert row["video"] == "h264 64×48, 100 frames, 4.0 s, 2 key frames"
        if row["decoder"] not in PEERS:
            assert (row["share"], row["largest"]) == (0, 0), row
    assert [row["ratio"] for row in rows[::measured]] == [1, 1]


def test_libraries_that_are_not_installed_are_left_out_in_a_line(
    call: Call, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = sorted({package for package, _ in PEERS.values()})
    for package in packages:
        monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    done = call("benchmarks/decoders.py", film, "--rounds", 1, "--cpu_time")
    assert [line.split(" is not measured: ")[0] for line in sorted(done.err.splitlines())] == packages
    assert "rounds: 1; CPU time" in done.out and not any(f"| {name} |" in done.out for name in PEERS)


def test_a_clip_of_a_film_is_compared_to_a_clip_of_its_video(call: Call, tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.mp4", 250, gop=50, b_frames=2)
    tiny = ("--hours", 0.02, "--rounds", 1, "--clips", 2, "--folder", ".", "--output", "out/films")
    printed = call("benchmarks/films.py", video, "--against", ROOT, *tiny).out
    assert (tmp_path / "out/films.md").read_text() == printed
    facts = json.loads((tmp_path / "out/films.json").read_text())
    for figures in (facts["ours"][0], facts["other"][0]):
        assert all(0 < number < math.inf for each in figures.values() for number in each)
        assert figures["film"][1] < 0.5 < figures["clip of 10 s"][1]
    assert "no main.py in it" in call("benchmarks/films.py", video, "--against", ".", status=2).err


@pytest.mark.skipif(not is_glibc(), reason="only glibc is set")
def test_each_way_of_keeping_memory_has_its_figures() -> None:
    figures = heap.measured("scores", "resnet18", 2, 64, rounds=1, steps=1)
    rows = heap.rows_of("scores", figures)
    assert all(0 <= number < math.inf for rounds in figures.values() for number in rounds[0])
    assert [row[:2] for row in rows] == [("scores", heap.DEFAULT), ("scores", heap.REUSED)] and rows[0][4] == "1.00"


def test_a_decoder_that_fails_says_why(call: Call, film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Blind(OpenCVReader):
        def open(self, path: str, num_frames: int) -> Any:
            raise MediaError(path, "cannot see")

    monkeypatch.setitem(DECODERS, "opencv", Blind)
    printed = call("benchmarks/decoders.py", film, "--rounds", 1).out
    assert printed.count("| opencv | cannot see |") == 2 and printed.count("| pyav, the default |") == 2


@pytest.mark.parametrize(("given", "kept"), [("1000", False), ("7", True)])
def test_another_checkout_does_not_get_what_this_one_sets(
    given: str, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOMP_SPINCOUNT", given)
    monkeypatch.setenv("KMP_BLOCKTIME", SPINNING["KMP_BLOCKTIME"])
    shown = cost_of([sys.executable, "-c", "import os; print(*sorted(os.environ))"]).printed.split()
    assert ("GOMP_SPINCOUNT" in shown, "KMP_BLOCKTIME" in shown) == (kept, False) and "PATH" in shown


def test_runtimes_are_compared_with_another_checkout(call: Call) -> None:
    flags = ("--only", "network", "--arch", "resnet18", "--size", 32, "--rounds", 1, "--runtimes", "torch")
    alone = call("benchmarks/runtimes.py", *flags).out.splitlines()[4:]
    rows = call("benchmarks/runtimes.py", *flags, "--against", ROOT).out.splitlines()[4:]
    assert (len(alone), len(rows)) == (2, 4)
    assert all("≤" not in row and "| 1.00 |" in row for row in alone)  # targets are relative to the other checkout
    assert all("| ≤ 0.65 |" in row for row in rows[::2])
    assert all("other checkout" in row and "| 1.00 |" in row for row in rows[1::2])


def test_a_checkout_that_computes_no_scores_is_named(call: Call, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other/main.py").touch()
    flags = ("--only", "network", "--arch", "resnet18", "--size", 32, "--rounds", 1, "--runtimes", "torch")
    done = call("benchmarks/runtimes.py", *flags, "--against", "other", status=2)
    assert "error: --against: that checkout does not compute scores; its error is above\n" in done.err


def test_differences_of_pixels_are_counted() -> None:
    frame = torch.full((3, 4, 5), 100, dtype=torch.uint8)
    other = frame.clone()
    other[0, 0, 0], other[2, 3, 4] = 93, 101
    assert difference([frame, frame], [frame, other]) == (2 / 120, 7)
    assert difference([frame], [frame[:, :2]]) == (1, 255)


def test_options_are_compared_on_lists_that_share_no_film(tmp_path: Path) -> None:
    classes = [*options.LEARNED, *options.NEW]
    for split, films in (("train", 40), ("val", 5)):
        lines = [f"videos/{split}/{name}/{n:04d}.mp4 60 {k}\n" for n in range(films) for k, name in enumerate(classes)]
        (tmp_path / f"motion_{split}_list.txt").write_text("".join(lines))
    folder = tmp_path / "lists"
    folder.mkdir()
    options.write_lists(tmp_path, folder)
    lists = {path.stem: path.read_text().splitlines() for path in folder.iterdir()}
    sizes = {name: len(lines) for name, lines in lists.items() if not name.endswith("classes")}
    assert sizes == {
        "learned_train": 160, "learned_val": 20, "even_train": 28, "uneven_train": 34, "labels_train": 28,
        "new_val": 100, "labels_val": 100,
    }  # fmt: skip
    for name in ("even", "uneven"):
        assert not {*lists[f"{name}_train"]} & {*lists["new_val"]}
    counts = Counter(line.rpartition(" ")[2] for line in lists["uneven_train"])
    assert counts == {"0": 14, "1": 3, "2": 14, "3": 3}
    assert lists["labels_val"][0] == "videos/val/left/0000.mp4 60 0,4"
    assert lists["labels_val"][3] == "videos/val/counter-clockwise/0000.mp4 60 3,5"
    assert lists["labels_classes"][3:] == ["counter-clockwise", "slides", "orbits"]
    parser, runs = train_parser(None, tuple(DECODERS)), [each.run(tmp_path, tmp_path, 3) for each in options.OPTIONS]
    assert len({run.name for run in runs}) == len(runs)
    for run in runs:
        args = parser.parse_args(run.words[1:])
        assert (args.seed, args.store_name, args.device) == (3, run.name, "cpu")
        assert Path(args.train_list).exists() and Path(args.val_list).exists() and Path(args.class_names).exists()


def test_options_that_change_less_than_the_spread_are_said_to(tmp_path: Path) -> None:
    for option, figures in zip(options.OPTIONS[:4], ((80, 82, 84), (70, 71, 72), (83, 80), ()), strict=True):
        for number, top1 in enumerate(figures):
            folder = tmp_path / f"{option.folder}_seed{number}"
            folder.mkdir()
            (folder / "log.csv").write_text(f"step,val_top1,val_loss\n4,,\n8,{top1},0.5\n")
    rows = options.rows_of(options.read_results(tmp_path, [0, 1, 2]))
    assert [row[2:] for row in rows[:4]] == [
        ["82.0", "± 2.0", "80.0 82.0 84.0", "", "0.50", "8"],
        ["71.0", "± 1.0", "70.0 71.0 72.0", "-11.0", "0.50", "8"],
        ["81.5", "± 2.1", "83.0 80.0", "-0.5 (within the spread)", "0.50", "8"],
        ["–", "–", "–", "–", "–", "–"],
    ]


def test_frozen_parts_are_measured() -> None:
    threads = torch.get_num_threads()
    rows = frozen_rows(1)
    torch.set_num_threads(threads)
    assert [row[0] for row in rows] == ["none", "stages 2", "backbone"] and rows[0][2] == "1.00"
