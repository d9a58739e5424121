"""Every command in README, docs, docstrings and shell scripts parses with the real parser."""

import ast
import functools
import json
import os
import re
import runpy
import shlex
import stat
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

import pytest

from ops.common.errors import InputError
from ops.data.decoders import DECODERS
from ops.testing.options import test_parser as make_test_parser
from ops.training.options import train_parser as make_train_parser

ROOT = Path(__file__).resolve().parents[1]
PARSERS: dict[str, ArgumentParser] = {
    "main.py": make_train_parser(None),
    "online_main.py": make_train_parser(None, tuple(DECODERS)),
    "test_models.py": make_test_parser(None),
    "online_test_models.py": make_test_parser(None, tuple(DECODERS)),
}
FOLDERS = ("tools", "online_label_tools", "benchmarks", "examples")
TOOLS = {
    path.name: path
    for folder in FOLDERS
    for path in sorted((ROOT / folder).glob("*.py"))
    if "def make_parser(" in path.read_text()
}
SHELL = sorted(path for folder in ("scripts", "online_scripts") for path in (ROOT / folder).glob("t*_tam_*.sh"))

PUBLISHED_TRAINING = """
python -u {} kinetics RGB --arch resnet50 --num_segments 8 --gd 20 --lr 0.01 --lr_steps 50 75 90 --epochs 100
--batch-size 8 -j 8 --dropout 0.5 --consensus_type=avg --root_log ./checkpoint/this_ckpt
--root_model ./checkpoint/this_ckpt --eval-freq=1 --npb --self_conv --dense_sample --wd 0.0001 --gpu 0 1
"""
PUBLISHED_TEST = """
python -u {} kinetics --weights=./checkpoints/kinetics_RGB_resnet50_tam_avg_segment8_e100_dense/ckpt.best.pth.tar
--test_segments=8 --test_crops=3 --full_res --sample dense-10 --batch_size 8
"""


@functools.cache
def parser_of(name: str) -> ArgumentParser | None:
    """The parser of the script called `name`, or None if this project has no such script."""
    if name in TOOLS:
        parser: ArgumentParser = runpy.run_path(str(TOOLS[name]))["make_parser"]()
        return parser
    return PARSERS.get(name)


def parse(command: list[str]) -> Namespace | None:
    """Parse a command line of this project; None if it runs something else."""
    command = shlex.split(
        re.sub(r"-m benchmarks(?:\.(\w+))?", lambda m: f"{m[1] or '__main__'}.py", shlex.join(command))
    )
    start = next((place for place, word in enumerate(command) if "=" not in word.split("/")[0]), 0)
    for place, word in enumerate(command[start:], start):
        parser = parser_of(Path(word).name)
        if parser:
            return parser.parse_args([re.sub(r"\$\w+", "1", word) for word in command[place + 1 :]])
    return None


@pytest.mark.parametrize("script", ["main.py", "online_main.py"])
def test_the_published_training_command_keeps_its_meaning(script: str) -> None:
    args = parse(shlex.split(PUBLISHED_TRAINING.format(script)))
    assert args is not None
    wanted = {
        "dataset": "kinetics", "modality": "RGB", "arch": "resnet50", "num_segments": 8, "clip_gradient": 20,
        "lr": 0.01, "lr_steps": [50, 75, 90], "epochs": 100, "batch_size": 8, "workers": 8, "dropout": 0.5,
        "consensus_type": "avg", "root_log": "./checkpoint/this_ckpt", "root_model": "./checkpoint/this_ckpt",
        "eval_freq": 1, "no_partialbn": True, "tam": True, "dense_sample": True, "weight_decay": 0.0001,
        "gpus": [0, 1],
    }  # fmt: skip
    assert {name: getattr(args, name) for name in wanted} == wanted


@pytest.mark.parametrize("script", ["test_models.py", "online_test_models.py"])
def test_the_published_test_command_keeps_its_meaning(script: str) -> None:
    args = parse(shlex.split(PUBLISHED_TEST.format(script)))
    assert args is not None and (args.test_segments, args.test_crops, args.full_res) == ([8], 3, True)
    assert args.sample == "dense-10" and len(args.weights) == 1


def arguments_of(recipe: Path, folder: Path, gpus: str, *flags: str) -> Namespace:
    """The parsed arguments of the command that the script `recipe` runs on `gpus`, with additional `flags`."""
    stub = folder / "python"
    stub.write_text(f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n")
    stub.chmod(0o755)
    environment = {**os.environ, "PYTHON": str(stub), "GPUS": gpus, "CHECKPOINTS": "/runs"}
    done = subprocess.run(
        ["bash", recipe, *flags], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    args = parse(json.loads(done.stdout))
    assert args is not None
    return args


@pytest.mark.parametrize("gpus", ["", "0", "0 1 2 3"])
@pytest.mark.parametrize("path", SHELL, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_recipes_parse_and_fit_their_dataset(path: Path, gpus: str, tmp_path: Path) -> None:
    from ops.data.dataset_configs import DATASETS

    args = arguments_of(path, tmp_path, gpus, "-j", "3")
    assert args.workers == 3 and args.gpus == ([int(g) for g in gpus.split()] or None)
    config = DATASETS[args.dataset]
    segments = int(path.stem.split("_")[-1].removesuffix("f"))
    if path.name.startswith("test"):
        assert args.test_segments == [segments]
        size = 256 if args.full_res else 224
        assert [segments, args.test_crops, args.sample, size] in [
            [p.segments, p.crops, p.sample, p.size] for p in config.published
        ]
        return
    recipe = config.recipe
    assert recipe and args.num_segments == segments and args.tam and args.no_partialbn and args.clip_gradient == 20
    per_gpu = recipe.batch_size // 8 // (segments // 8)
    assert args.batch_size == per_gpu * max(len(gpus.split()), 1)
    assert (args.lr, args.scale_lr, args.epochs, tuple(args.lr_steps)) == (
        recipe.lr, recipe.batch_size, recipe.epochs, recipe.lr_steps
    )  # fmt: skip
    assert (args.dropout, args.weight_decay, args.dense_sample) == (recipe.dropout, recipe.weight_decay, config.dense)


@pytest.mark.parametrize(
    ("flags", "scripts"),
    [
        ([], ["online_main.py", "online_test_models.py"] * 2),
        (["--frames", "--quick", "--seed", "3"], ["main.py", "test_models.py"] * 2),
    ],
)
def test_the_demo_runs_the_same_commands_with_and_without_tam(
    flags: list[str], scripts: list[str], tmp_path: Path
) -> None:
    stub = tmp_path / "venv" / "bin" / "python"
    stub.parent.mkdir(parents=True)
    stub.write_text(
        f"#!{sys.executable}\nimport json, os, sys\n"
        "if sys.argv[1] == '-c': os.execv(sys.executable, [sys.executable, *sys.argv[1:]])\n"
        "print('ran', json.dumps(sys.argv[1:]))\n"
    )
    stub.chmod(0o755)
    environment = {**os.environ, "TAM_VENV": "venv", "DEMO_RUNS": "my runs", "TAM_DATASETS": "/data"}
    done = subprocess.run(
        ["bash", ROOT / "scripts" / "demo.sh", *flags], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line[4:]) for line in done.stdout.splitlines() if line.startswith("ran ")]
    ran = [[word for word in words if word != "-u"] for words in lines if "pip" not in words]
    assert [Path(words[0]).name for words in ran] == [*scripts, "compare.py", "report.py"]
    trained, _, plain, _ = (vars(PARSERS[Path(words[0]).name].parse_args(words[1:])) for words in ran[:4])
    assert {name for name in trained if trained[name] != plain[name]} == {"tam", "store_name"}
    assert trained["tam"] and trained["seed"] == (3 if flags else 0)
    predict, explain = (shlex.split(line) for line in done.stdout.splitlines() if " --weights " in line)
    best = tmp_path / "my runs" / str(trained["store_name"]) / "ckpt.best.pth.tar"
    for words, tool in ((predict, "predict.py"), (explain, "explain.py")):  # they can be pasted in any folder
        assert words[:2] == [str(stub), str(ROOT / "tools" / tool)] and words[2].startswith("/data/")
        assert words[3:] == ["--weights", str(best)]


def test_the_demo_refuses_what_it_does_not_know() -> None:
    done = subprocess.run(["bash", ROOT / "scripts" / "demo.sh", "--fast"], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("error: unknown option --fast")


@pytest.mark.parametrize("path", SHELL, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_recipes_say_what_they_expect_and_give(path: Path) -> None:
    head = path.read_text().split("set -euo")[0]
    assert "# Expects " in head and "# Gives " in head and path.stat().st_mode & stat.S_IXUSR


def commands_in(text: str) -> list[list[str]]:
    """The command lines in a text that run Python scripts, joined at backslashes and without comments."""
    found = []
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        line = re.sub(r"^cd \S+ && ", "", line.strip().removeprefix("$ ").strip("`"))
        if re.match(r"([A-Z_]+=\S+ )*(python3?|torchrun|\.venv/bin/python) ", line):
            found.append(shlex.split(line, comments=True))
    return found


DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
DOCSTRINGS = [*(ROOT / name for name in PARSERS), *TOOLS.values()]


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if path.exists()], ids=lambda path: path.name)
def test_commands_in_documents_parse(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checkpoints/mine").mkdir(parents=True)  # with the one file that is read by a parser
    settings = {"dataset": "custom", "modality": "RGB", "lr": 0.1}
    (tmp_path / "checkpoints/mine/args.json").write_text(json.dumps({"arguments": settings}))
    for command in commands_in(path.read_text()):
        scripts = [word for word in command if word.endswith(".py")]
        for script in scripts[:1]:
            assert (ROOT / script).is_file() or script in TOOLS, f"{path.name} runs {script}, which is not there"
        try:
            parse(command)
        except SystemExit as left:
            assert left.code == 0 and "--help" in command
        except InputError as error:
            pytest.fail(f"{path.name}: {shlex.join(command)}: {error}")


@pytest.mark.parametrize("path", DOCSTRINGS, ids=lambda path: path.name)
def test_commands_in_docstrings_parse(path: Path) -> None:
    commands = commands_in(ast.get_docstring(ast.parse(path.read_text())) or "")
    assert commands and all(parse(command) is not None for command in commands)


@pytest.mark.parametrize("name", PARSERS)
def test_every_flag_is_read_somewhere(name: str) -> None:
    files = [*(ROOT / "ops").rglob("*.py"), ROOT / name]
    read = "\n".join(path.read_text() for path in files if path.stem != "options")
    for action in PARSERS[name]._actions:
        if action.dest not in ("help", "loss_type", "consensus_type", "non_local") and "EFFECT" not in str(action.help):
            known = f"args.{action.dest}" in read or action.help == "==SUPPRESS=="
            assert known, f"{action.dest} is never read"


@pytest.mark.parametrize("name", TOOLS)
def test_the_help_of_a_tool_begins_with_examples_and_fits_a_screen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    parser = parser_of(name)
    assert parser
    text = parser.format_help()
    assert len(text.splitlines()) <= 50 and "python " in text.split("\n\n")[2]
    assert all(action.help for action in parser._actions)


def test_the_links_of_documents_lead_somewhere() -> None:
    for path in DOCUMENTS:
        if path.exists():
            for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", path.read_text()):
                assert (path.parent / target).exists(), f"{path.name} links to {target}"
