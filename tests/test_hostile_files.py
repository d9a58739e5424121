"""Files that claim more than they contain, or contain something unexpected, are refused immediately in one line."""

import errno
import io
import json
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import media
import numpy as np
import pytest
import torch
from conftest import Call
from torch import nn

from ops.common.errors import InputError, RunStoppedError, run
from ops.common.storage import atomic_file
from ops.common.tensor_files import load_tensors
from ops.export.checkpoint_info import checkpoint_facts, describe_facts
from ops.models.checkpoint import read_checkpoint
from ops.models.recognizer import build_model
from ops.predict.predictor import open_predictor
from ops.report.results import read_results


def packed(path: Path) -> Path:
    """A checkpoint of 64 MB of zeros, packed into a few kilobytes."""
    file = io.BytesIO()
    torch.save({"state_dict": {"new_fc.weight": torch.zeros(2**24)}}, file)
    with zipfile.ZipFile(file) as plain, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as small:
        for member in plain.infolist():
            small.writestr(member.filename, plain.read(member))
    return path


def repeated(path: Path) -> Path:
    """A checkpoint whose head has a billion classes that share the same 512 numbers."""
    state = build_model("resnet18", 2, 3, dropout=0.5).state_dict()
    state["new_fc.weight"] = torch.zeros(1, 512).expand(10**9, 512)
    torch.save({"state_dict": state}, path)
    return path


def headed(path: Path, length: int, header: bytes = b"{}") -> Path:
    path.write_bytes(struct.pack("<Q", length) + header)
    return path


def deep_header(path: Path) -> Path:
    header = b'{"__metadata__":{"checkpoint":"' + b"[" * 200_000 + b'"}}'
    return headed(path, len(header), header)


CLAIMS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "packed": (packed, r"a compressed archive of \d+ bytes; checkpoints are not compressed"),
    "repeated": (repeated, "new_fc.weight is not a dense tensor"),
    "header of 2^60 bytes": (lambda path: headed(path, 2**60), "not a readable checkpoint"),
    "header longer than the file": (lambda path: headed(path, 10**8), "not a readable checkpoint"),
    "deep header": (deep_header, "not a readable checkpoint"),
}


@pytest.mark.parametrize("kind", CLAIMS)
def test_a_checkpoint_that_claims_more_than_it_holds_is_refused(kind: str, tmp_path: Path) -> None:
    make, says = CLAIMS[kind]
    path = make(tmp_path / "w.pth.tar")
    assert path.stat().st_size < 60_000_000
    with pytest.raises(InputError, match=says) as error:
        read_checkpoint(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_checkpoint_as_torch_saves_it_is_not_taken_for_packed(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(9)}, tmp_path / "new")
    torch.save({"a": torch.zeros(9)}, tmp_path / "old", _use_new_zipfile_serialization=False)
    assert [load_tensors(tmp_path / name)["a"].shape for name in ("new", "old")] == [(9,), (9,)]


META: list[tuple[str, Any]] = [
    ("input_size", "big"), ("input_size", -3), ("input_size", 10**9), ("num_segments", 0), ("num_segments", "8"),
    ("dropout", 7.0), ("dropout", "x"), ("class_names", [1, 2]), ("class_names", "ab"), ("dataset", ["kinetics"]),
    ("sampling", 3), ("history", 5), ("mean", "x"), ("std", [None]), ("recipe", [1]), ("results", {"best_top1": []}),
    ("results", 3), ("consensus", {}),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value"), META)
def test_invalid_metadata_of_a_checkpoint_is_refused(key: str, value: Any, tmp_path: Path) -> None:
    path = tmp_path / "w.pth.tar"
    torch.save({"state_dict": build_model("resnet18", 2, 3).state_dict(), "meta": {key: value}}, path)
    with pytest.raises(InputError, match=rf"w\.pth\.tar: {key} in its meta is .*, but must be .*"):
        read_checkpoint(path)


def test_unused_metadata_of_a_checkpoint_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "w.pth.tar"
    meta = {"mine": [1, {"a": None}], "input_size": None, "class_names": ["only one"], "scale_size": 40}
    torch.save({"state_dict": build_model("resnet18", 2, 3).state_dict(), "meta": meta}, path)
    assert describe_facts(checkpoint_facts(path)) and open_predictor(str(path)).class_names is None


def lying_array(claimed: str) -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros((2, 2), np.int64))
    return file.getvalue().replace(b"(2, 2), }", claimed.encode() + b", }")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metrics.json", b'{"a":' * 200_000),
        ("metrics.json", b"[" * 200_000),
        ("args.json", b'{"a":' * 200_000),
        ("confusion.npy", lying_array("(1000000, 1000000)")),
        ("confusion.npy", lying_array("(99999999999999, 99999999999999)")),
        ("confusion.npy", lying_array("(-1, -1)")),
        ("confusion.npy", b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535),
    ],
)
def test_a_report_leaves_out_files_that_cannot_be_read(name: str, content: bytes, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    (folder / "test").mkdir(parents=True)
    (folder / "log.csv").write_text("epoch,lr,train_loss\n0,0.1,1\n")
    (folder / "test" / "metrics.json").write_text('{"top1": 50.0, "expected": 1, "scored": 1, "failed": 0}')
    (folder / name if name == "args.json" else folder / "test" / name).write_bytes(content)
    missing = read_results([str(folder)])[0].missing
    (said,) = [line for line in missing if f"{name}: cannot be read (" in line]
    assert "\n" not in said


def test_numbers_too_large_for_a_float_are_none(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text(json.dumps({"top1": 10**400, "top5": -(10**400), "scored": 3}))
    test = read_results([str(tmp_path)])[0].test
    assert test and (test.metric("top1"), test.metric("top5"), test.metric("scored")) == (None, None, 3.0)


def test_json_files_that_are_too_long_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.report.results.LARGEST_JSON", 20)
    (tmp_path / "metrics.json").write_text('{"scored": 1, "expected": 2}')
    assert read_results([str(tmp_path)])[0].missing[0].endswith("cannot be read (more than 20 bytes)")


def test_explaining_a_model_with_nan_weights_is_refused(tmp_path: Path, call: Call) -> None:
    model = build_model("resnet18", 2, 3)
    nn.init.constant_(model.head.bias, float("nan"))
    torch.save({"state_dict": model.state_dict(), "meta": {"input_size": 32}}, tmp_path / "w.pth.tar")
    media.write_video(tmp_path / "a.mp4", 6)
    done = call("tools/explain.py", "a.mp4", "--weights", "w.pth.tar", "--device", "cpu", "--output", "out", status=2)
    assert done.err == "error: w.pth.tar: its scores are not finite; its weights may come from a run that diverged\n"


TRAIN = ("online_main.py", "custom", "RGB", "--train_list", "l.txt", "--val_list", "l.txt", "--root_path", ".")
TRAIN += ("--arch", "resnet18", "--pretrain", "none", "--input_size", "32", "--device", "cpu", "-j", "0", "--npb")


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--num_segments", "1", "-b", "1", "--tam"), "one clip of one frame at a time"),
        (("--num_segments", "1", "-b", "2", "--accumulate", "2"), "one clip of one frame at a time"),
        (("--seed", str(2**64), "-b", "1"), "must be an integer from 0 to"),
        (("--seed", str(2**63), "-b", "1"), "must be an integer from 0 to"),
        (("--seed=-1", "-b", "1"), "must be an integer from 0 to"),
        (("--num_class", str(10**9), "-b", "1"), "must be an integer from 1 to 1000000"),
    ],
)
def test_unusable_settings_for_training_are_refused(
    flags: tuple[str, ...], says: str, tmp_path: Path, call: Call
) -> None:
    media.write_video(tmp_path / "a.mp4", 6)
    (tmp_path / "l.txt").write_text("a.mp4 6 0\na.mp4 6 1\n")
    known = () if "--num_class" in flags else ("--num_class", "2")
    done = call(*TRAIN, *known, *flags, status=2)
    assert says in done.err and done.err.count("\n") == 1


@pytest.mark.parametrize(("frames", "batch", "classes"), [("1", "2", "1"), ("2", "1", "2")])
def test_one_frame_or_one_class_or_one_clip_is_enough(
    frames: str, batch: str, classes: str, tmp_path: Path, call: Call
) -> None:
    media.write_video(tmp_path / "a.mp4", 6)
    (tmp_path / "l.txt").write_text(f"a.mp4 6 0\na.mp4 6 {int(classes) - 1}\n")
    flags = ("--num_segments", frames, "-b", batch, "--num_class", classes, "--tam", "--epochs", "1", "--lr", "0.001")
    call(*TRAIN, *flags, "--store_name", "run")
    test = ("online_test_models.py", "custom", "--test_list", "l.txt", "--root_path", ".", "--device", "cpu", "-j", "0")
    call(*test, "--weights", "checkpoints/run/ckpt.pth.tar", "--output", "out")
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    assert metrics["scored"] == 2 and metrics["top5"] == 100.0 and (classes != "1" or metrics["top1"] == 100.0)


def test_a_full_disk_during_a_run_is_not_reported_as_bad_input(tmp_path: Path) -> None:
    with pytest.raises(RunStoppedError, match="cannot be written"), atomic_file(tmp_path / "x") as file:
        os.write(os.open("/dev/full", os.O_WRONLY), b"more than there is room for")
    with pytest.raises(InputError) as error, atomic_file(tmp_path / "no" / "x") as file:
        file.write(b"")
    assert not isinstance(error.value, RunStoppedError)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 3),
        (RuntimeError("Caught RuntimeError in a worker.\nunable to write: No space left on device (28)"), 3),
        (MemoryError(), 3),
        (InputError("x"), 2),
    ],
)  # fmt: skip
def test_missing_resources_are_one_line(error: Exception, status: int, capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> int:
        raise error

    with pytest.raises(SystemExit) as left:
        run(main)
    assert left.value.code == status and capsys.readouterr().err.count("\n") == 1


def test_other_errors_keep_their_traceback() -> None:
    def main() -> int:
        raise RuntimeError("a fault of the program")

    with pytest.raises(RuntimeError):
        run(main)
