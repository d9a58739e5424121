"""The page that compares temporal modules agrees with the files of the runs."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT, Call

from ops.report.modules import Cost, Module, cells_of, group_runs, markdown_table
from ops.report.results import read_results
from ops.training.options import train_parser
from tools.explain import make_parser as explain_parser

RUNS = {"none": (16.0, 18.0), "tsm": (70.0, 80.0, 90.0), "tam": (95.0,)}


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder of runs with the results that trainings and tests write, but without checkpoints."""
    for module, figures in RUNS.items():
        for seed, top1 in enumerate(figures):
            folder = tmp_path / "runs" / f"{module}_seed{seed}"
            (folder / "test").mkdir(parents=True)
            arguments = {"dataset": "motion", "arch": "resnet18", "epochs": 2}
            (folder / "args.json").write_text(json.dumps({"arguments": arguments, "device": "cpu"}))
            (folder / "log.csv").write_text(
                "epoch,step,lr,train_loss,train_top1,compute_seconds\n0,10,0.1,2,20,5\n1,30,0.1,1,40,8\n"
            )
            metrics = {"scored": 4, "expected": 4, "top1": top1, "top5": 100}
            (folder / "test/metrics.json").write_text(json.dumps(metrics))
            (folder / "test/per_class.csv").write_text(
                f"name,videos,top1,top5,taken_for,times\na,2,{top1},100,b,1\nb,2,100,100,,0\n"
            )
    return tmp_path / "runs"


def grouped(runs: Path) -> dict[str, Module]:
    folders = sorted(path for path in runs.iterdir() if path.is_dir())
    return {module.name: module for module in group_runs(read_results([f"{p.name}={p}" for p in folders]))}


def test_seeds_of_a_module_are_one_row(runs: Path) -> None:
    modules = grouped(runs)
    assert {name: tuple(module.top1.values()) for name, module in modules.items()} == RUNS
    assert modules["tsm"].mean == 80 and modules["tsm"].deviation == 10 and modules["tam"].deviation is None
    assert modules["none"].step == pytest.approx((5 / 10 + 8 / 20) / 2)
    assert modules["none"].classes == {"a": 17.0, "b": 100.0}
    table = markdown_table(list(modules.values())).splitlines()
    assert [line.split("|")[1].strip() for line in table[2:]] == ["tam", "tsm", "none"]
    assert table[3].startswith("| tsm | 80.0 | ± 10.0 | 70.0 80.0 90.0 |")


def test_fixed_kernels_are_a_row_of_their_own(runs: Path) -> None:
    explained = runs / "tam_seed0" / "explain"
    explained.mkdir()
    (explained / "explain.json").write_text(
        json.dumps({"fixed_kernels": {"labelled": 8, "right": 8, "right_fixed": 5}})
    )
    (runs / "tsm_seed0" / "explain").mkdir()
    (runs / "tsm_seed0" / "explain" / "explain.json").write_text(json.dumps({"fixed_kernels": None}))
    modules = grouped(runs)
    assert modules["tam, fixed kernels"].top1 == {0: 62.5} and len(modules) == len(RUNS) + 1


def test_unknown_values_are_shown_as_dashes() -> None:
    assert cells_of(Module("x")) == ["x", *["–"] * 7]
    cells = cells_of(Module("x", {0: 50.0}, 0.25, cost=Cost(11_200_000, 300_000_000, 0.0123)))
    assert cells == ["x", "50.0", "–", "50.0", "11.20", "0.300", "12.3", "250"]


def test_the_tool_writes_page_table_and_csv_and_names_what_is_missing(runs: Path, call: Call, tmp_path: Path) -> None:
    (runs / "tsm_seed1/test/metrics.json").unlink()
    done = call("tools/compare_modules.py", "runs", status=1)
    assert "tsm_seed1 has no result of a test" in done.out + done.err
    page = (runs / "modules.html").read_text()
    assert "Temporal modules compared" in page and "tsm_seed1 has no result" in page and "± 14.1" in page
    assert page.count("data:image/png") == 2 and "<td>a</td>" in page
    with (runs / "modules.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["module"], row["seed"], row["top1"]) for row in rows if row["module"] == "tsm"] == [
        ("tsm", "0", "70"), ("tsm", "2", "90")
    ]  # fmt: skip
    assert (runs / "modules.md").read_text() in done.out


def test_a_folder_without_runs_is_bad_input(call: Call, tmp_path: Path) -> None:
    assert "has no runs" in call("tools/compare_modules.py", tmp_path, status=2).err


STUB = """
import json, os, pathlib, signal, sys
if "import torchvision" in sys.argv: sys.exit()  # whether the installation works: takes seconds
if sys.argv[1] == "-c": os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
print("ran", json.dumps([word for word in sys.argv[1:] if word != "-u"]))
if "tam" in sys.argv and "WAIT" in os.environ:  # a training that a signal ends
    folder = pathlib.Path(sys.argv[sys.argv.index("--root_model") + 1], sys.argv[sys.argv.index("--store_name") + 1])
    folder.mkdir(parents=True)
    signal.signal(signal.SIGTERM, lambda *_: ((folder / "preempted").touch(), sys.exit(0)))
    (folder / "started").touch()
    signal.pause()
sys.exit("tsm" in sys.argv)
"""


def start_script(folder: Path, *flags: str, **variables: str) -> subprocess.Popen[str]:
    """Start the script with a stub for Python that only prints its arguments, and fails for a TSM."""
    stub = folder / "venv" / "bin" / "python"
    stub.parent.mkdir(parents=True, exist_ok=True)
    stub.write_text(f"#!{sys.executable}{STUB}")
    stub.chmod(0o755)
    places = {"TAM_VENV": folder / "venv", "COMPARE_RUNS": folder / "runs", "TAM_DATASETS": folder / "data"}
    environment = {**os.environ, **{name: str(path) for name, path in places.items()}, **variables}
    command = ["bash", ROOT / "scripts" / "compare_modules.sh", *flags]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def end_script(script: subprocess.Popen[str]) -> tuple[int, list[list[str]], str]:
    """Its status, the arguments of each call of Python, run by run, and what it wrote to standard error."""
    out, err = script.communicate(timeout=240)
    logs = [Path(line[: -len(")")].partition(" started (")[2]) for line in out.splitlines() if " started (" in line]
    printed = "".join(log.read_text() for log in logs) + out
    lines = [json.loads(line[4:]) for line in printed.splitlines() if line.startswith("ran ")]
    return script.returncode, [words for words in lines if "pip" not in words], err


def call_script(folder: Path, *flags: str) -> tuple[int, list[list[str]], str]:
    """Run the script to its end."""
    return end_script(start_script(folder, *flags))


@pytest.mark.parametrize("jobs", ["1", "3"])
def test_the_script_trains_and_tests_each_module_alike_and_names_those_that_fail(tmp_path: Path, jobs: str) -> None:
    flags = ("motion", "--modules", "none tsm tam-local", "--seeds", "4 5", "--jobs", jobs, "--", "--epochs", "9")
    status, ran, err = call_script(tmp_path, *flags)
    failed = sorted(err.splitlines()[-1].removeprefix("error: failed, see above: ").split())  # in order of their ends
    assert status == 1 and failed == ["tsm_seed4", "tsm_seed5"]
    names = [Path(words[0]).stem for words in ran]
    assert names == ["online_main", "online_test_models", "online_main", "online_main", "online_test_models"] * 2 + [
        "compare_modules"
    ]
    trained = [vars(train_parser(None, ("pyav",)).parse_args(words[1:])) for words in ran if "online_main" in words[0]]
    varying = {name for name in trained[0] if len({str(run[name]) for run in trained}) > 1}
    assert varying == {"temporal", "tam_branches", "seed", "store_name"} and {run["epochs"] for run in trained} == {9}
    assert [run["store_name"] for run in trained[:3]] == ["none_seed4", "tsm_seed4", "tam-local_seed4"]


def test_a_signal_ends_the_trainings_and_starts_no_others(tmp_path: Path) -> None:
    flags = ("--modules", "tam none", "--seeds", "0 1 2", "--jobs", "2")
    script = start_script(tmp_path, *flags, WAIT="1")  # starts tam_seed0, none_seed0, tam_seed1
    while not (tmp_path / "runs" / "tam_seed1" / "started").exists():
        assert script.poll() is None, script.communicate()
        time.sleep(0.02)
    script.send_signal(signal.SIGTERM)
    status, ran, err = end_script(script)
    assert status == 3 and not err and not any("compare_modules" in words[0] for words in ran)
    trained = [words[words.index("--store_name") + 1] for words in ran if "--store_name" in words]
    assert trained == ["tam_seed0", "none_seed0", "tam_seed1"]
    assert all((tmp_path / "runs" / name / "preempted").exists() for name in ("tam_seed0", "tam_seed1"))


def test_the_script_makes_only_what_is_missing(tmp_path: Path) -> None:
    done = tmp_path / "runs" / "none_seed0" / "test"
    done.mkdir(parents=True)
    (done / "metrics.json").write_text("{}")
    status, ran, _ = call_script(tmp_path, "--modules", "none tam", "--seeds", "0")
    assert status == 0 and ["tam_seed0" in " ".join(words) for words in ran] == [True, True, True, False]
    explained = explain_parser().parse_args(ran[2][1:])
    assert Path(ran[2][0]).name == "explain.py" and explained.fix_kernels
    assert explained.list == [str(tmp_path / "data" / "Motion" / "motion_val_list.txt")]


@pytest.mark.parametrize(
    "flags, reason",
    [
        (["--modules", "nothing"], "error: unknown module nothing"),
        (["--fast"], "error: unknown option --fast"),
        (["kinetics"], "error: unknown option kinetics"),
        (["--jobs", "0"], "error: --jobs 0: give a number"),
        (["--jobs", "two"], "error: --jobs two: give a number"),
    ],
)
def test_the_script_refuses_what_it_does_not_know(flags: list[str], reason: str, tmp_path: Path) -> None:
    status, ran, err = call_script(tmp_path, *flags)
    assert status == 2 and not ran and err.startswith(reason)
