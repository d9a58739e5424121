"""The log of single steps: what it holds, that it changes nothing, and that a run in parts has one row per step."""

import csv
from pathlib import Path

import pytest
import ranks
import torch
from conftest import Call
from small_runs import TRAINING, write_two_classes
from tensorboardX.proto.event_pb2 import Event
from torch import nn

from ops.common.device import Compute
from ops.common.errors import InputError
from ops.data.collate import ClipBatch
from ops.training.step_log import COLUMNS, StepLog
from ops.training.train_step import Stepper

TIMES = ("clips_per_second", "data_seconds")


@pytest.fixture
def train(tmp_path: Path) -> list[str]:
    """A training of two epochs with three steps each, the last one with a single clip."""
    write_two_classes(tmp_path)
    train = ["online_main.py", *TRAINING, "--resume", "auto", "--epochs", "2", "--eval-freq", "2", "--keep_last_batch"]
    return [*train, "--lr_type", "cos", "--lr", "1e-4", "--store_name"]


def rows_in(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def without_times(path: Path) -> list[dict[str, str]]:
    return [{name: cell for name, cell in row.items() if name not in TIMES} for row in rows_in(path)]


def events_in(folder: Path) -> list[Event]:
    """All events of the TensorBoard files in `folder`, in order of writing."""
    found = []
    for path in sorted(folder.glob("events*"), key=lambda path: path.stat().st_mtime_ns):
        data = path.read_bytes()
        while data:  # length, its checksum, the event, its checksum
            length = int.from_bytes(data[:8], "little")
            found.append(Event.FromString(data[12 : 12 + length]))
            data = data[16 + length :]
    return found


def test_a_run_in_parts_has_one_row_for_each_step(train: list[str], tmp_path: Path, call: Call) -> None:
    call(*train, "whole", "--log_every", "1")
    call(*train, "parts", "--log_every", "1", "--max_steps", "2")
    parts, whole = (tmp_path / "checkpoints" / name for name in ("parts", "whole"))
    with (parts / "steps.csv").open("a") as file:  # as a run leaves it that is killed after its last save
        file.write("3,0,9,9,9,9,9\r\n4,1,9,9,9,9,9\r\n5,1,0.3")
    call(*train, "parts", "--log_every", "1", "--max_steps", "2")
    call(*train, "parts")
    rows = rows_in(whole / "steps.csv")
    assert [(row["step"], row["epoch"]) for row in rows] == [(str(n + 1), str(n // 3)) for n in range(6)]
    assert all(float(row[name]) > 0 for row in rows for name in COLUMNS[2:])
    assert float(rows[0]["lr"]) > float(rows[-1]["lr"])
    in_parts = without_times(parts / "steps.csv")
    assert in_parts == without_times(whole / "steps.csv")[:4], "the last part logged nothing"
    states = [torch.load(path / "ckpt.pth.tar", weights_only=True)["state_dict"] for path in (whole, parts)]
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())

    shown = {event.step: event.summary.value for event in events_in(whole / "steps")}
    values = {value.tag: value.simple_value for event in events_in(whole / "steps") for value in event.summary.value}
    assert set(shown) - {0} == set(range(1, 7)) and {f"step/{name}" for name in COLUMNS[2:]} <= set(values)
    hiding = [event.step for event in events_in(parts / "steps") if event.HasField("session_log")]
    assert hiding == [3], "TensorBoard hides what was logged of step 3 and later before"
    assert not [event for event in events_in(parts) if event.step > 2], "those count epochs"


def test_the_norm_is_that_before_clipping_and_the_loss_that_of_the_step() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(2 * 3 * 4 * 4, 3))
    compute, seen = Compute(torch.device("cpu")), []
    optimizer = torch.optim.SGD(model.parameters(), 0.0)
    step = Stepper(
        model, optimizer, compute.scaler(), compute, lambda *_: None, clip_gradient=1e-3,
        observe=lambda loss, norm: seen.append((float(loss), float(norm))),
    )  # fmt: skip
    pixels, labels = torch.rand(5, 2, 3, 4, 4), torch.tensor([0, 1, 2, 0, 1])
    step(ClipBatch(pixels, labels, list(range(5)), 5))
    model.zero_grad()
    loss = nn.functional.cross_entropy(model(pixels), labels)
    loss.backward()  # type: ignore[no-untyped-call]
    norm = torch.cat([value.grad.flatten() for value in model.parameters() if value.grad is not None]).norm()
    assert seen == [pytest.approx((loss.item(), norm.item()))] and norm > 1e-3


def test_steps_that_are_not_logged_are_not_read(tmp_path: Path) -> None:
    """Nothing can be read from tensors without data."""
    empty = torch.empty((), device="meta")
    log = StepLog(2, tmp_path)
    log.observe(empty, empty)
    log.count(4)
    assert not log.is_due(1) and not StepLog().is_due(1)
    log.observe(torch.tensor(float("nan")), torch.tensor(2.0))
    log.count(4)
    assert log.is_due(2)
    log.write(2, 0, 0.1, 1.0, 3.0)
    log.close()
    (row,) = rows_in(tmp_path / "steps.csv")
    assert (row["loss"], row["grad_norm"], row["data_seconds"]) == ("nan", "2", "1.5")
    tags = [value.tag for event in events_in(tmp_path / "steps") for value in event.summary.value]
    assert "step/grad_norm" in tags and "step/loss" not in tags


def test_a_log_that_cannot_be_read_or_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a/steps.csv").mkdir(parents=True)
    with pytest.raises(InputError, match=r"steps.csv: cannot be read .*; move it away"):
        StepLog(1, tmp_path / "a", 3)
    log = StepLog(1, tmp_path)
    (tmp_path / "steps.csv").unlink()
    (tmp_path / "steps.csv").symlink_to("/dev/full")
    log.observe(torch.tensor(1.0), torch.tensor(2.0))
    with pytest.raises(InputError, match=r"steps.csv: cannot be written \(No space"):
        log.write(1, 0, 0.1, 1.0, 0.0)
    log.close()


def test_a_full_disk_costs_no_step(
    train: list[str], tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise InputError("steps.csv: cannot be written (No space left on device)")

    with monkeypatch.context() as patched:
        patched.setattr(StepLog, "write", full)
        said = call(*train, "run", "--log_every", "1", status=3).err
    assert "(No space left on device); the run is saved nevertheless" in said
    assert "1 epoch and 0 steps are done" in call(*train, "run", "--log_every", "1").out


def test_two_processes_log_the_loss_of_all_clips_once(tmp_path: Path) -> None:
    ranks.start("log_steps", tmp_path, 2)
    (row,) = rows_in(tmp_path / "steps.csv")
    assert (float(row["loss"]), float(row["grad_norm"])) == (pytest.approx((2 * 1.0 + 1 * 4.0) / 3), 7.0)
