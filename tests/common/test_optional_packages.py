"""Missing optional packages affect only the tools that need them, and these tools name the package."""

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, Call

from ops.common.errors import InputError
from ops.common.optional_packages import need

OPTIONAL = ("captum", "onnx", "onnxscript", "onnxruntime", "openvino", "nncf", "gradio")
NEED_ONNX = (
    "export/onnx_export.py",
    "export/openvino_export.py",
    *(f"models/onnx_{name}.py" for name in ("graph", "operations", "recorder")),
)


@pytest.mark.parametrize(
    ("command", "absent", "message"),
    [
        ("explain.py x.mp4", ["captum"], "captum: python -m pip install captum\n"),
        ("app.py", ["gradio", "captum"], "gradio captum: python -m pip install gradio captum\n"),
        ("export.py x.onnx", ["onnxscript"], "onnxscript: python -m pip install onnxscript\n"),
        ("export.py x.onnx", ["onnx", "onnxruntime"], "onnx onnxruntime: python -m pip install onnx onnxruntime\n"),
    ],
)
def test_a_missing_package_is_named_by_the_tool_that_needs_it(
    command: str, absent: list[str], message: str, call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "w.pth.tar").touch()
    for name in absent:
        monkeypatch.setitem(sys.modules, name, None)
    tool, *arguments = command.split()
    done = call(f"tools/{tool}", *arguments, "--weights", "w.pth.tar", status=2)
    assert done.err == f"error: this tool needs {message}"


def test_a_package_that_is_there_but_does_not_load_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_package.py").write_text("raise ImportError('libcuda.so.1: no such file\\nmore')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InputError, match=r"needs broken_package \(libcuda.so.1: no such file\): python -m pip install"):
        need("json", "broken_package")
    need("json")


def test_everything_else_imports_without_them() -> None:
    modules = [
        path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
        for path in sorted((ROOT / "ops").rglob("*.py"))
        if path.name != "__init__.py" and path.relative_to(ROOT / "ops").as_posix() not in NEED_ONNX
    ]
    code = f"import sys\nsys.modules.update(dict.fromkeys({OPTIONAL}))\nimport " + ", ".join(modules)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
