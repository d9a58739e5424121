"""scripts/environment.sh selects the right Python for the environment, and installs the right versions."""

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT, NewFolder

PYTHONS = {"old": "3.8.18", "new": "3.12.1"}
REQUIREMENTS = {
    "requirements.txt": "torch>=2.10\ntorchvision>=0.25\nhelper>=1",
    "requirements-optional.txt": "extra>=1",
    "constraints.txt": "# tested together\nhelper==1.0\ntorch==2.11\ntorchvision==0.26\nnvidia-cublas==1",
}
"""A small project: the names that environment.sh uses, and one package that represents all others."""


def make_wheel(index: Path, name: str, version: str, needs: str = "") -> None:
    """Add the package `name`, which contains only its version, to a package index in the folder `index`."""
    wheel = index / name / f"{name}-{version}-py3-none-any.whl"
    wheel.parent.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{name}/__init__.py", f"__version__ = {version!r}\n")
        requires = f"Requires-Dist: {needs}\n" if needs else ""
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    files = sorted(wheel.parent.glob("*.whl"))
    (wheel.parent / "index.html").write_text("".join(f'<a href="{file.name}">{file.name}</a>\n' for file in files))


@pytest.fixture(scope="module")
def index(new_folder: NewFolder) -> Path:
    """A package index of three releases of torch, each with the matching torchvision."""
    folder = new_folder("index")
    for torch, torchvision in (("2.10", "0.25"), ("2.11", "0.26"), ("2.12", "0.27")):
        make_wheel(folder, "torch", torch)
        make_wheel(folder, "torchvision", torchvision, f"torch=={torch}")
    for version in ("1.0", "1.1"):
        make_wheel(folder, "helper", version)
        make_wheel(folder, "extra", version)
    return folder


@pytest.fixture(scope="module")
def empty(new_folder: NewFolder) -> Path:
    """An empty environment, which tests copy."""
    folder = new_folder("environment") / "venv"
    venv.create(folder, with_pip=True, symlinks=True)
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "environment.sh", tmp_path / "scripts")
    for name, text in REQUIREMENTS.items():
        (tmp_path / name).write_text(text + "\n")
    return tmp_path


def set_up(project: Path, index: Path | None = None, **variables: object) -> "subprocess.CompletedProcess[str]":
    """Source environment.sh as a script does, and print the Python that it chose."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("PIP_", "TAM_", "PYTHON"))}
    pip = {"PIP_INDEX_URL": (index or project).as_uri(), "PIP_CONFIG_FILE": os.devnull}
    return subprocess.run(
        ["bash", "-c", "set -euo pipefail; source scripts/environment.sh; echo PYTHON=$PYTHON", "setup.sh"],
        cwd=project,
        env={**kept, **pip, **{name: str(value) for name, value in variables.items()}},
        capture_output=True,
        text=True,
    )


def versions(python: Path) -> dict[str, str]:
    """The installed packages, except pip."""
    code = "import importlib.metadata as m; print([(d.name, d.version) for d in m.distributions()])"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return {name: version for name, version in eval(done.stdout) if name not in ("pip", "setuptools", "wheel")}


def make_python(folder: Path, name: str, version: str) -> Path:
    """A stub that claims to be Python `version` and makes environments from itself."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"""#!{sys.executable}
import os, shutil, sys
arguments, version = sys.argv[1:], {version!r}
if arguments == ["--version"]:
    print("Python " + version)
elif arguments[:1] == ["-c"] and "version_info" in arguments[1]:
    sys.exit(tuple(map(int, version.split(".")[:2])) < (3, 11))
elif arguments[:2] == ["-m", "venv"]:
    os.makedirs(arguments[-1] + "/bin")
    shutil.copy(__file__, arguments[-1] + "/bin/python")
    print("made by", os.path.basename(__file__))
"""
    )
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("chosen", [True, False], ids=["by PYTHON", "by default"])
def test_a_python_that_is_too_old_is_refused_before_anything_is_made(chosen: bool, project: Path) -> None:
    old = make_python(project / "bin", "python3", PYTHONS["old"])
    for name in ("python3.11", "python3.12", "python3.13"):
        make_python(project / "bin", name, PYTHONS["old"])
    done = set_up(project, PATH=f"{old.parent}:/usr/bin:/bin", **({"PYTHON": old} if chosen else {}))
    assert done.returncode == 2 and not done.stdout and not (project / ".venv").exists()
    name = old if chosen else "python3"
    assert done.stderr == (
        f"error: Python 3.11 or newer is needed, and {name} is Python 3.8.18: "
        "name one, as in PYTHON=/usr/bin/python3.12 bash setup.sh\n"
    )


def test_a_machine_without_python_gets_the_same_message(project: Path) -> None:
    done = set_up(project, PYTHON=project / "nothing")
    assert done.returncode == 2 and done.stderr.startswith("error: Python 3.11 or newer is needed, and ")
    assert done.stderr.count("\n") == 1 and not (project / ".venv").exists()


def test_a_newer_python_is_found_where_python3_is_too_old(project: Path) -> None:
    make_python(project / "bin", "python3", PYTHONS["old"])
    make_python(project / "bin", "python3.13", PYTHONS["new"])
    done = set_up(project, PATH=f"{project / 'bin'}:/usr/bin:/bin")
    assert done.returncode == 0 and "made by python3.13" in done.stdout


def test_an_environment_of_an_old_python_is_refused(project: Path) -> None:
    make_python(project / ".venv" / "bin", "python", PYTHONS["old"])
    done = set_up(project)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert f"{project / '.venv'} is of Python 3.8.18: remove that folder, or name another in TAM_VENV" in done.stderr


def test_pinned_versions_are_tried_before_the_newest(project: Path, index: Path, empty: Path) -> None:
    python = project / ".venv" / "bin" / "python"
    shutil.copytree(empty, project / ".venv", symlinks=True)
    done = set_up(project, index)
    assert done.returncode == 0 and f"PYTHON={python}" in done.stdout, done.stderr
    assert versions(python) == {"torch": "2.11", "torchvision": "0.26", "helper": "1.0", "extra": "1.1"}
    again = set_up(project, index)
    assert again.stdout == f"PYTHON={python}\n", "nothing is installed twice"
    newest = set_up(project, index, TAM_VERSIONS="newest")
    assert newest.returncode == 0, newest.stderr
    assert versions(python) == {"torch": "2.12", "torchvision": "0.27", "helper": "1.1", "extra": "1.1"}


def test_an_installed_torch_is_kept(project: Path, index: Path, empty: Path) -> None:
    python = project / "mine" / "bin" / "python"
    shutil.copytree(empty, project / "mine", symlinks=True)
    subprocess.run([python, "-m", "pip", "install", "-q", "-i", index.as_uri(), "torch==2.10"], check=True)
    for mode in ("pinned", "newest"):
        done = set_up(project, index, TAM_VENV=project / "mine", TAM_VERSIONS=mode)
        assert done.returncode == 0 and "beside torch 2.10, which is there already" in done.stdout, done.stderr
        helper = {"pinned": "1.0", "newest": "1.1"}[mode]
        assert versions(python) == {"torch": "2.10", "torchvision": "0.25", "helper": helper, "extra": "1.1"}


def test_torch_comes_from_another_index_where_that_is_asked_for(
    project: Path, index: Path, empty: Path, tmp_path: Path
) -> None:
    shutil.copytree(empty, project / ".venv", symlinks=True)
    make_wheel(tmp_path / "cpu", "torch", "2.11+cpu")
    make_wheel(tmp_path / "cpu", "torchvision", "0.26+cpu", "torch==2.11")
    done = set_up(project, index, TAM_TORCH=(tmp_path / "cpu").as_uri())
    assert done.returncode == 0, done.stderr
    assert versions(project / ".venv" / "bin" / "python") == {
        "torch": "2.11+cpu", "torchvision": "0.26+cpu", "helper": "1.0", "extra": "1.1"
    }  # fmt: skip


def test_optional_packages_may_be_unavailable(project: Path, index: Path, empty: Path) -> None:
    shutil.copytree(empty, project / ".venv", symlinks=True)
    (project / "requirements-optional.txt").write_text("nobody-has-this>=1\n")
    done = set_up(project, index)
    assert done.returncode == 0 and "going on without requirements-optional.txt" in done.stderr
    (project / "requirements.txt").write_text("torch>=3\n")
    done = set_up(project, index)
    assert done.returncode == 2 and "PYTHON=" not in done.stdout
    assert done.stderr.splitlines()[-1].startswith("error: the versions of constraints.txt could not be installed")
