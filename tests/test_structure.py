"""The packages of `ops` import only those that they may, and no module or function is too long."""

import ast
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

MAY_IMPORT = {
    "common": set(),
    "models": {"common"},
    "data": {"common"},
    "training": {"common", "models", "data"},
    "testing": {"common", "models", "data", "training"},
    "prepare": {"common", "data"},
    "predict": {"common", "models", "data", "training", "testing"},
    "live": {"common", "models", "data", "predict"},
    "explain": {"common", "models", "data", "training", "predict"},
    "app": {"common", "data", "explain", "models", "predict"},
    "report": {"common", "data", "training"},
    "finetune": {"common", "data", "prepare", "training", "testing"},
    "sweep": {"common", "models", "data", "training", "report"},
    "export": {"common", "models", "data", "predict"},
}
"""The other packages that the modules of each package may import."""

MODULES = sorted((ROOT / "ops").rglob("*.py"))


def name_of(path: Path) -> str:
    """`ops/data/frames.py` → `data.frames`; a package has the name of its folder."""
    return ".".join(path.relative_to(ROOT / "ops").with_suffix("").parts).removesuffix("__init__").rstrip(".")


NAMES = {name_of(path) for path in MODULES}


def imports_of(path: Path) -> set[str]:
    """The modules of `ops` that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] == "ops"}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "ops":
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name.removeprefix("ops.") in NAMES else node.module for name in inner}
    return {name.removeprefix("ops.") for name in found}


def package_of(name: str) -> str:
    return name.split(".")[0]


def test_every_package_has_its_place() -> None:
    assert {package_of(name) for name in NAMES} - {""} == set(MAY_IMPORT)
    assert [path.name for path in (ROOT / "ops").glob("*.py")] == ["__init__.py"]


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_packages_import_what_they_may(package: str) -> None:
    used = {}
    for path in (ROOT / "ops" / package).rglob("*.py"):
        for name in imports_of(path):
            used.setdefault(package_of(name), set()).add(f"{name_of(path)} imports {name}")
    used.pop(package, None)
    wrong = {other: lines for other, lines in used.items() if other not in MAY_IMPORT[package]}
    assert not wrong
    assert set(used) == MAY_IMPORT[package], "the table allows what nobody needs"


def test_the_page_about_the_code_has_the_same_table() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\|([^|]*)\|$", text, re.M)
    assert {package: set(re.findall(r"`(\w+)`", allowed)) for package, allowed in rows} == MAY_IMPORT


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_public_names_are_there_and_are_no_modules(package: str) -> None:
    wing = importlib.import_module(f"ops.{package}")
    names = re.findall(r'^ +"(\w+)": "(\w+)",$', Path(wing.__file__ or "").read_text(), re.MULTILINE)
    for name, module in names:
        assert getattr(wing, name) is getattr(importlib.import_module(f"ops.{package}.{module}"), name)
        assert f"{package}.{name}" not in NAMES, "importing the module would hide the name"
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        wing.nothing  # noqa: B018


def test_imports_have_no_circle() -> None:
    # A package's __init__ only re-exports names, and nothing inside `ops` imports through it.
    modules = [path for path in MODULES if path.name != "__init__.py"]
    graph = {name_of(path): imports_of(path) for path in modules}
    through = {name: used & set(MAY_IMPORT) for name, used in graph.items() if used & set(MAY_IMPORT)}
    assert not through, "import from the module itself"
    done: set[str] = set()
    while len(done) < len(graph):
        free = {name for name, needs in graph.items() if name not in done and needs <= done}
        assert free, f"a circle among {set(graph) - done}"
        done |= free


@pytest.mark.parametrize("name", ["main", "online_main", "test_models", "online_test_models"])
def test_entry_scripts_fit_a_screen(name: str) -> None:
    assert len((ROOT / f"{name}.py").read_text().splitlines()) <= 40


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_modules_and_functions_stay_short_and_have_docstrings(path: Path) -> None:
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
