"""Without --runtime, a CPU computes in the fastest exact runtime for the amount of work, and results say in which."""

import errno
import json
import math
import os
import sys
import types
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from conftest import Call, NewFolder
from media import write_frames, write_video
from small_runs import save_small_checkpoint

from ops.common.device import Compute
from ops.common.errors import InputError, UnusableRuntimeError
from ops.models import runtimes
from ops.models.checkpoint import save_checkpoint
from ops.models.recognizer import build_model
from ops.models.runtimes import choose_runtime, describe_runtime, with_fallback
from ops.models.temporal_options import TemporalOptions
from ops.predict.inputs import Video
from ops.predict.predict_videos import PredictOptions, expected_clips
from ops.predict.predictor import open_predictor
from ops.predict.windows import Windows
from ops.testing.ensemble import Ensemble

RUNTIMES = ("onnxruntime", "openvino")
NAMES = ["left", "right", "jump", "sit"]
FEW, MANY = 3e13, 5e13
"""Multiply-adds just too few for other runtimes to pay off in float32, and enough."""


@pytest.fixture(scope="module")
def weights(new_folder: NewFolder) -> Path:
    """A TANet-18 of four classes and four segments at 32 pixels, whose scores differ visibly."""
    return save_small_checkpoint(new_folder("weights") / "ckpt.pth.tar", NAMES)


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """A folder of three videos, and a list of them."""
    (tmp_path / "clips").mkdir()
    for number in range(3):
        write_video(tmp_path / f"clips/{number}.mp4", 40, seed=number)
    (tmp_path / "l.txt").write_text("".join(f"{number}.mp4 40 {number}\n" for number in range(3)))
    return tmp_path / "clips"


@pytest.fixture
def starting_is_free(monkeypatch: pytest.MonkeyPatch) -> str:
    """Let "auto" take onnxruntime however little there is to compute; returns its name and version."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(runtimes, "WORTH_STARTING", {"off": 0})
    monkeypatch.setattr(runtimes, "AUTOMATIC", {"off": ("onnxruntime",)})
    return describe_runtime(Compute(torch.device("cpu"), runtime="onnxruntime"))


@pytest.fixture
def nothing_translates(starting_is_free: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let onnxruntime lack an operation; returns the message about it."""
    from ops.models.onnx_operations import OPERATIONS

    monkeypatch.delitem(OPERATIONS, "max_pool2d_with_indices")
    return "the network uses aten.max_pool2d_with_indices.default, which cannot be translated"


@pytest.mark.parametrize(
    ("absent", "settings", "work", "chosen"),
    [
        ((), {}, MANY, "openvino"),
        ((), {}, math.inf, "openvino"),
        ((), {}, FEW, "torch"),
        (("openvino",), {}, MANY, "onnxruntime"),
        (("onnxruntime", "openvino"), {}, MANY, "torch"),
        (("onnx",), {}, MANY, "torch"),
        ((), {"amp": "bf16"}, FEW, "openvino"),
        ((), {"amp": "bf16"}, FEW / 10, "torch"),
        (("openvino",), {"amp": "bf16"}, MANY, "torch"),
        ((), {"amp": "fp16"}, MANY, "torch"),
        ((), {"compile": True}, MANY, "torch"),
        ((), {"device": torch.device("cuda")}, MANY, "torch"),
    ],
)
def test_auto_selects_an_installed_runtime_with_exact_results(
    absent: tuple[str, ...], settings: dict[str, Any], work: float, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (*absent, chosen):
        if name not in absent:
            pytest.importorskip(name)
        else:
            monkeypatch.setitem(sys.modules, name, None)
    asked = Compute(**{"device": torch.device("cpu"), **settings})
    compute = choose_runtime(asked, "auto", work)
    assert compute.runtime == chosen and compute.amp == asked.amp and compute.may_fall_back == (chosen != "torch")
    assert choose_runtime(compute, "auto", 0).runtime == "torch", "an earlier choice does not matter"


TORCH, AUTO = Compute(torch.device("cpu")), Compute(torch.device("cpu"), runtime="onnxruntime", may_fall_back=True)
ASKED = replace(AUTO, may_fall_back=False)


def failing(error: Exception | None) -> Callable[[Compute], str]:
    """Return an attempt that fails with `error` in other runtimes than PyTorch."""

    def attempt(compute: Compute) -> str:
        if error and compute.runtime != "torch":
            raise error
        return f"done in {compute.runtime}"

    return attempt


@pytest.mark.parametrize(
    ("error", "warning"),
    [
        (UnusableRuntimeError("the disk is full"), "computing in PyTorch: the disk is full"),
        (KeyError("dim"), "computing in PyTorch: onnxruntime cannot use the network ('dim')"),
    ],
)
def test_only_an_automatic_choice_falls_back(error: Exception, warning: str, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(type(error)):
        with_fallback(ASKED, failing(error))
    assert with_fallback(AUTO, failing(error)) == ("done in torch", TORCH) and caplog.messages == [warning]
    assert with_fallback(TORCH, failing(error)) == ("done in torch", TORCH)
    assert with_fallback(AUTO, failing(None)) == ("done in onnxruntime", ASKED)


def test_what_is_wrong_with_the_weights_is_not_blamed_on_the_runtime(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(InputError, match="scores are not finite"):
        with_fallback(AUTO, failing(InputError("w.pth: its scores are not finite")))
    assert not caplog.messages


@pytest.mark.parametrize(
    ("mine", "others", "reason"),
    [
        (AUTO, [("onnxruntime", "")], ""),
        (AUTO, [("", "the disk is full")], "the disk is full"),
        (AUTO, [("torch", "")], "the processes have different runtimes (onnxruntime, torch)"),
        (TORCH, [("onnxruntime", "")], "the processes have different runtimes (torch, onnxruntime)"),
        (TORCH, [("torch", "")], ""),
    ],
)
def test_processes_compute_in_the_same_runtime(
    mine: Compute, others: list[Any], reason: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(runtimes, "describe_runtime", lambda compute: compute.runtime)
    done, compute = with_fallback(mine, failing(None), lambda state: [state, *others])
    assert done == f"done in {'torch' if reason else mine.runtime}" and compute.runtime == done.split()[-1]
    assert caplog.messages == ([f"computing in PyTorch: {reason}"] if reason else [])


def scored(call: Call, folder: Path, weights: Path, *flags: object) -> tuple[dict[str, Any], str, Any]:
    """The metrics, all that is printed, and the scores of a test of the list in `folder`."""
    (folder / "out").mkdir(exist_ok=True)
    done = call("online_test_models.py", "custom", "--weights", weights, "--test_list", "l.txt", "--root_path", "clips",
                "--save_scores", "s.npz", "--output", "out", "-j", "1", *flags)  # fmt: skip
    metrics = json.loads((folder / "out/metrics.json").read_text())
    return metrics, done.out + done.err, np.load(folder / "s.npz")["scores"]


def test_a_small_test_is_computed_by_pytorch(call: Call, videos: Path, weights: Path) -> None:
    metrics, printed, _ = scored(call, videos.parent, weights, "--device", "cpu")
    assert metrics["runtime"] == "torch" and metrics["protocol"].endswith("; computed by PyTorch")
    assert printed.count(f"protocol: {metrics['protocol']}\n") == 2


def test_a_large_test_is_computed_by_onnxruntime(
    call: Call, videos: Path, weights: Path, starting_is_free: str
) -> None:
    metrics, printed, scores = scored(call, videos.parent, weights, "--device", "cpu")
    assert metrics["runtime"] == starting_is_free and metrics["protocol"].endswith(f"; computed by {starting_is_free}")
    assert printed.count(f"protocol: {metrics['protocol']}\n") == 2
    *_, same = scored(call, videos.parent, weights, "--device", "cpu", "--runtime", "onnxruntime")
    metrics, _, other = scored(call, videos.parent, weights, "--device", "cpu", "--runtime", "torch")
    assert scores.tobytes() == same.tobytes() and metrics["runtime"] == "torch"
    assert np.allclose(scores, other, rtol=1e-5, atol=1e-5) and len(scores) == 3


def test_pytorch_takes_over_where_a_network_cannot_be_translated(
    call: Call, videos: Path, weights: Path, nothing_translates: str, tmp_path: Path
) -> None:
    metrics, printed, _ = scored(call, videos.parent, weights, "--device", "cpu")
    assert metrics["runtime"] == "torch" and metrics["protocol"].endswith("; computed by PyTorch")
    assert printed.count(f"warning: computing in PyTorch: {nothing_translates}\n") == 1
    call("tools/predict.py", "clips", "--weights", weights, "--device", "cpu", "--json", "p.json")
    assert json.loads((tmp_path / "p.json").read_text())["runtime"] == "torch"
    live = call("tools/live.py", "clips/0.mp4", "--weights", weights, "--device", "cpu", "--window", 0.64,
                "--speed", 8, "--display", "terminal")  # fmt: skip
    assert nothing_translates in live.err and "; computed by PyTorch\n" in live.out + live.err
    asked = ("--device", "cpu", "--runtime", "onnxruntime")
    done = call("tools/predict.py", "clips", "--weights", weights, *asked, status=None)
    assert done.status == 3 and done.err.endswith(f"{nothing_translates}: use --runtime torch\n")


def test_an_installation_that_cannot_be_imported_is_passed_over(
    call: Call, videos: Path, weights: Path, starting_is_free: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ops.models.onnx_recorder", None)
    metrics, printed, _ = scored(call, videos.parent, weights, "--device", "cpu")
    assert metrics["runtime"] == "torch" and "onnx cannot be imported (" in printed


def test_an_interrupted_test_continues_in_its_runtime(
    call: Call, videos: Path, weights: Path, starting_is_free: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = ("online_test_models.py", "custom", "--weights", weights, "--test_list", "l.txt", "--root_path", "clips",
            "--save_scores", "s.npz", "--output", "out", "--device", "cpu", "-j", "0")  # fmt: skip
    compute, done = Ensemble.scores, []

    def interrupted(*args: Any) -> Any:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(compute(*args))
        return done[-1]

    monkeypatch.setattr(Ensemble, "scores", interrupted)
    call(*test, status=130)
    monkeypatch.setattr(Ensemble, "scores", compute)
    monkeypatch.setattr(runtimes, "WORTH_STARTING", {"off": 1e99})  # now "auto" would be PyTorch
    with monkeypatch.context() as full:
        full.setattr("ops.models.onnx_recorder.record_onnx", out_of_space)
        ended = call(*test, status=3)
        assert "No space left on device, but onnxruntime needs space there: use --runtime torch\n" in ended.err
    ended = call(*test)
    assert "going on with a test that was interrupted: 2 of 3 videos scored" in ended.out + ended.err
    assert json.loads((tmp_path / "out/metrics.json").read_text())["runtime"] == starting_is_free
    scores = np.load(tmp_path / "s.npz")["scores"]
    *_, whole = scored(call, tmp_path, weights, "--device", "cpu", "--runtime", "onnxruntime")
    assert scores.tobytes() == whole.tobytes() and not list((tmp_path / "out").glob("partial*"))


def out_of_space(*_: object) -> NoReturn:
    """Fail as if the disk were full."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_loader_workers_are_forked_beside_a_runtime(call: Call, videos: Path, weights: Path, runtime: str) -> None:
    pytest.importorskip(runtime)
    flags = ("--device", "cpu", "--test_crops", "3", "--full_res", "--runtime", runtime, "-j", "2")
    _, _, scores = scored(call, videos.parent, weights, *flags)
    *_, other = scored(call, videos.parent, weights, *flags[:-3], "torch", "-j", "0")
    assert np.allclose(scores, other, rtol=1e-5, atol=1e-5) and len(scores) == 3


def test_all_models_of_a_test_are_computed_in_the_same_runtime(
    call: Call, videos: Path, weights: Path, starting_is_free: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The second model has an operation that the first one has not, and that cannot be translated."""
    from ops.models.onnx_operations import OPERATIONS

    model = build_model("mobilenet_v2", len(NAMES), 4, temporal=TemporalOptions("tsm"))
    save_checkpoint(
        tmp_path / "m.pth.tar", model, {"class_names": NAMES, "input_size": 48, "num_segments": 4, "temporal": "tsm"}
    )
    both = f"{weights},{tmp_path / 'm.pth.tar'}"
    metrics, *_ = scored(call, tmp_path, Path(both), "--device", "cpu")
    assert metrics["runtime"] == starting_is_free
    monkeypatch.delitem(OPERATIONS, "hardtanh_")
    metrics, printed, _ = scored(call, tmp_path, Path(both), "--device", "cpu")
    assert metrics["runtime"] == "torch" and "the network uses aten.hardtanh_.default" in printed


def test_the_default_must_be_exact(
    call: Call, videos: Path, weights: Path, starting_is_free: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = runtimes.open_session

    def inexact(*args: Any) -> runtimes.Session:
        session = opened(*args)
        return lambda clips: session(clips) * np.float32(1 + 3e-5)

    monkeypatch.setattr(runtimes, "open_session", inexact)
    metrics, printed, _ = scored(call, videos.parent, weights, "--device", "cpu")
    assert metrics["runtime"] == "torch" and "but only 1e-05 is allowed\n" in printed
    metrics, *_ = scored(call, videos.parent, weights, "--device", "cpu", "--runtime", "onnxruntime")
    assert metrics["runtime"] == starting_is_free, "a user who asked for it gets it within 1e-4"


def test_live_has_no_end_and_always_takes_the_fastest(call: Call, videos: Path, weights: Path) -> None:
    pytest.importorskip("openvino")
    done = call("tools/live.py", "clips/0.mp4", "--weights", weights, "--device", "cpu", "--window", 0.64,
                "--speed", 8, "--display", "terminal")  # fmt: skip
    assert "; computed by openvino 2" in done.out + done.err


def test_predictions_name_their_runtime(
    call: Call, videos: Path, weights: Path, starting_is_free: str, tmp_path: Path
) -> None:
    predictor = open_predictor(str(weights))
    prediction = predictor(videos / "0.mp4")
    assert predictor.runtime == starting_is_free and predictor.protocol.endswith(f"computed by {starting_is_free}")
    other = open_predictor(str(weights), runtime="torch")
    assert other.runtime == "torch" and other.protocol.endswith("computed by PyTorch")
    assert np.allclose(other(videos / "0.mp4").logits, prediction.logits, rtol=1e-5, atol=1e-5)
    call("tools/predict.py", "clips/0.mp4", "--weights", weights, "--device", "cpu", "--json", "p.json", "--window", 16)
    assert json.loads((tmp_path / "p.json").read_text())["runtime"] == starting_is_free


def test_the_version_of_a_runtime_from_another_package(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("onnxruntime")
    module.__version__ = "1.2.3"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "onnxruntime", module)

    def lost(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", lost)
    assert describe_runtime(Compute(torch.device("cpu"), runtime="onnxruntime")) == "onnxruntime 1.2.3"


def test_the_number_of_clips_is_estimated_from_headers(videos: Path, weights: Path, tmp_path: Path) -> None:
    write_frames(tmp_path / "frames", 24)
    predictor = open_predictor(str(weights), sample="dense-3")
    found = [Video(str(videos / f"{number}.mp4"), "") for number in range(3)]
    windows = Windows(16, 8)  # 4 in 40 frames, 2 in 24
    folder, lost = Video(str(tmp_path / "frames"), ""), Video(str(tmp_path / "lost.mp4"), "")
    table = {"drawings": {"0.mp4": "drawn.mp4"}}
    assert expected_clips(predictor, found, PredictOptions(windows)) == 9
    assert expected_clips(predictor, found, PredictOptions(windows, by_windows=True)) == 12
    assert expected_clips(predictor, found, PredictOptions(windows, **table)) == 9 + 12
    assert expected_clips(predictor, [folder, lost], PredictOptions(windows, by_windows=True)) == 2 + 1
    assert expected_clips(predictor, found[:1] * 1000, PredictOptions(windows, by_windows=True)) == 4000
    many, few = predictor.in_runtime("auto", 10**6), predictor.in_runtime("auto", 1)
    assert few.compute.runtime == "torch" and many.compute.may_fall_back == (many.compute.runtime != "torch")
