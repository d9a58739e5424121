"""The house stands as drawn: imports go downwards, entry scripts are short, functions have a size and a name."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

FLOORS = [
    {"errors", "arguments", "console", "records", "texts", "tree", "sampling", "tam", "consensus", "schedule",
     "distributed", "metrics", "storage", "dialects", "source", "compute", "encoding", "watch",
     "jpegs", "optional", "list_lines", "class_names", "h264", "bitstreams", "orientation", "containers",
     "folder_lock", "worker_failures", "images", "tables", "checkpoint_meta", "data_options"},
    {"tanet", "frames", "packets", "decoding", "timestamps", "videos", "transforms", "dataset_configs", "motion",
     "pretrained", "views"},
    {"datasets", "models", "opencv_videos", "decoders"},
    {"batches", "loaders", "checkpoint", "keeper", "preemption", "report", "figures", "opts", "clip_recipes", "resume",
     "runlog", "provenance", "optimizer", "partial", "class_order", "result_files"},
    {"engine", "epoch", "setup", "ensemble", "protocol", "trainer", "training_data"},
    {"train", "evaluate"},
]  # fmt: skip
FLOOR = {module: number for number, modules in enumerate(FLOORS) for module in modules}
MODULES = sorted((ROOT / "ops").glob("*.py"))
PREPARE = sorted((ROOT / "ops" / "prepare").glob("*.py"))
USING = sorted((ROOT / "ops" / "using").glob("*.py"))


def imports_of(path: Path) -> set[str]:
    """The modules of `ops` that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "ops":
                found |= {alias.name for alias in node.names}
            elif node.module.startswith("ops."):
                found.add(node.module.removeprefix("ops."))
    return found


def test_every_module_has_a_floor() -> None:
    assert {path.stem for path in MODULES} - {"__init__"} == set(FLOOR)


@pytest.mark.parametrize("path", [path for path in MODULES if path.stem != "__init__"], ids=lambda path: path.stem)
def test_imports_go_to_the_same_floor_or_below(path: Path) -> None:
    above = {name for name in imports_of(path) if FLOOR[name] > FLOOR[path.stem]}
    assert not above, f"{path.stem} (floor {FLOOR[path.stem]}) imports {above} from above"


def test_only_tools_use_the_wings() -> None:
    wings = ("prepare", "using")
    assert not [path.stem for path in MODULES if any(name.startswith(wings) for name in imports_of(path))]
    house = {path.stem for path in MODULES} - {"train", "evaluate"}
    for wing, paths in (("prepare", PREPARE), ("using", USING)):
        own = {f"{wing}.{path.stem}" for path in paths}
        for path in paths:
            assert imports_of(path) <= house | own, path


@pytest.mark.parametrize(("wing", "paths"), [("", MODULES), ("prepare", PREPARE), ("using", USING)])
def test_imports_have_no_circle(wing: str, paths: list[Path]) -> None:
    names = {path.stem for path in paths}
    graph = {path.stem: {name.removeprefix(f"{wing}.") for name in imports_of(path)} & names for path in paths}
    done: set[str] = set()
    while len(done) < len(graph):
        free = {name for name, needs in graph.items() if name not in done and needs <= done}
        assert free, f"a circle among {set(graph) - done}"
        done |= free


@pytest.mark.parametrize("name", ["main", "online_main", "test_models", "online_test_models"])
def test_entry_scripts_fit_a_screen(name: str) -> None:
    assert len((ROOT / f"{name}.py").read_text().splitlines()) <= 40


@pytest.mark.parametrize("path", [*MODULES, *PREPARE, *USING], ids=lambda path: path.stem)
def test_rooms_stay_small_and_labelled(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) < 300
    tree = ast.parse(text)
    assert ast.get_docstring(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, node.name
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{node.name} has no docstring"
