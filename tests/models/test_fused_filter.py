"""TAM's Triton kernels without a GPU: interpreted, compiled for several GPUs, and left alone where they do not work."""

import importlib
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from ops.explain.tam_hooks import watch_tams
from ops.models import fused_filter, tam
from ops.models.fused_filter import OPTIONS
from ops.models.recognizer import build_model

pytest.importorskip("triton", reason="Triton exists for Linux only")


def test_the_kernels_compute_what_the_ordinary_operations_do() -> None:
    """All tests of `fused_filter_numbers.py` pass in Triton's interpreter."""
    command = [sys.executable, "-m", "pytest", str(Path(__file__).with_name("fused_filter_numbers.py"))]
    done = subprocess.run(
        command, env=os.environ | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and re.match(r"\.{27} ", done.stdout), done.stdout  # none is skipped


@pytest.mark.parametrize("architecture", [75, 80, 90, 100])
def test_the_kernels_compile_for_gpus(architecture: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NVIDIA's assembler accepts them; both memory formats, in the precision that the GPU has."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    kernels = importlib.import_module("ops.models.triton_kernels")
    features = "*bf16" if architecture >= 80 else "*fp16"
    pointers = dict.fromkeys(("x", "out", "grad", "grad_x"), features)
    pointers |= dict.fromkeys(("kernel", "importance", "dots", "grad_kernel", "grad_importance"), "*fp32")
    for dense, blocks in (("of_pixel", (2, 1024)), ("of_channel", (64, 32))):
        fixed = {
            "frames": 8,
            "taps": 3,
            "has_kernel": True,
            "has_importance": True,
            "tile_c": blocks[0],
            "tile_p": blocks[1],
            dense: 1,
        }
        for kernel in (kernels.filter_forward, kernels.filter_backward, kernels.logits_backward):
            names = [parameter.name for parameter in kernel.params]
            signature = {name: "constexpr" if name in fixed else pointers.get(name, "i32") for name in names}
            source = ASTSource(kernel, signature, {name: value for name, value in fixed.items() if name in names})
            compiled = triton.compile(source, target=GPUTarget("cuda", architecture, 32), options=OPTIONS)
            assert f".target sm_{architecture}" in compiled.asm["ptx"] and compiled.asm["cubin"]


@pytest.fixture
def fresh_check() -> Iterator[None]:
    """Forget which devices were checked, before and after."""
    fused_filter._works_on.cache_clear()
    yield
    fused_filter._works_on.cache_clear()


def no_compiler(device: torch.device) -> float:
    raise RuntimeError("Failed to find C compiler.\nPlease specify via CC")


@pytest.mark.usefixtures("fresh_check")
@pytest.mark.parametrize(
    ("check", "problem"),
    [
        (no_compiler, r"RuntimeError: Failed to find C compiler\.\)"),
        (lambda device: 0.5, r"a result differs by 5\.0e-01"),
        (lambda device: float("nan"), r"a result differs by nan"),
    ],
)
def test_without_working_kernels_one_warning_says_why(
    check: Callable[[torch.device], float], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fused_filter, "largest_difference", check)
    features = SimpleNamespace(is_cuda=True, dtype=torch.float32, device=torch.device("cuda", 0))
    with pytest.warns(UserWarning, match=problem) as caught:
        assert not fused_filter.can_fuse(features)  # type: ignore[arg-type]
        assert not fused_filter.can_fuse(features)  # type: ignore[arg-type]
    assert len(caught) == 1 and "\n" not in str(caught[0].message)
    assert re.search("TAM_TRITON=0", str(caught[0].message))


@pytest.mark.usefixtures("fresh_check")
def test_the_kernels_can_be_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused_filter, "largest_difference", lambda device: 0.0)
    features = SimpleNamespace(is_cuda=True, dtype=torch.float32, device=torch.device("cuda", 0))
    assert fused_filter.can_fuse(features)  # type: ignore[arg-type]
    monkeypatch.setenv("TAM_TRITON", "0")
    fused_filter._works_on.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not fused_filter.can_fuse(features)  # type: ignore[arg-type]


@pytest.mark.parametrize(("dtype", "on_gpu"), [(torch.float32, False), (torch.float64, True)])
def test_other_features_are_left_to_the_ordinary_operations(dtype: torch.dtype, on_gpu: bool) -> None:
    features = SimpleNamespace(is_cuda=on_gpu, dtype=dtype, device=torch.device("cuda", 0))
    assert not fused_filter.can_fuse(features)  # type: ignore[arg-type]


def test_a_tam_that_is_watched_shows_its_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernels compute softmax and sigmoid themselves, so that hooks on these layers would see nothing."""
    monkeypatch.setattr(tam, "can_fuse", lambda _: True)
    monkeypatch.setattr(tam, "filter_by_logits", lambda *_: pytest.fail("fused"))
    model = build_model("resnet18", 5, 2).eval()
    with torch.no_grad(), watch_tams(model) as watch:
        model(torch.zeros(1, 2, 3, 32, 32, dtype=torch.uint8))
    assert len(watch.kernels) == len(watch.importance) == 8
