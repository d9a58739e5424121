"""Runs with non-finite numbers or unreadable videos stop in time, give the reason, and lose no checkpoint."""

import csv
import errno
import hashlib
import itertools
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import av
import media
import pytest
import torch
from conftest import ROOT, Call, Run
from devices import DEVICES
from small_runs import save_weights
from tensorboardX.event_file_writer import EventsWriter
from torch import nn

from ops.common.device import Compute
from ops.common.errors import InputError, RunStoppedError
from ops.data.collate import ClipBatch
from ops.data.datasets import Failure
from ops.models.recognizer import build_model
from ops.training import train_step
from ops.training.checkpoint_saver import BEST, LAST
from ops.training.engine import NOT_FINITE, validate
from ops.training.optimizer import complete_state
from ops.training.run_log import RunLog
from ops.training.train_step import Step, Stepper, accumulate

TINY = ["--num_class", "2", "--arch", "resnet18", "--pretrain", "none", "--num_segments", "3", "--input_size", "32"]
TINY += ["--npb", "--tam", "--device", "cpu", "-j", "0", "--epochs", "1", "--store_name", "run", "--root_path", "."]
CPU = Compute(torch.device("cpu"))


def write_list(folder: Path, good: int, missing: int) -> Path:
    """Write a list with `good` entries of one existing video and `missing` entries of missing videos."""
    media.write_video(folder / "a.mp4", 8)
    lines = [f"a.mp4 8 {n % 2}\n" for n in range(good)] + [f"gone{n}.mp4 8 0\n" for n in range(missing)]
    (folder / "l.txt").write_text("".join(lines))
    return folder / "l.txt"


def arguments(path: Path) -> list[str]:
    return ["online_main.py", "custom", "RGB", "--train_list", str(path), "--val_list", str(path), *TINY]


def stepper_of(model: nn.Module, reported: list[Step], scaled: bool = False, **options: bool) -> Stepper:
    fused = options.get("deferred", False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, fused=fused)
    complete_state(optimizer)
    device = next(model.parameters()).device
    scaler = torch.amp.GradScaler(device.type, enabled=scaled)
    return Stepper(model, optimizer, scaler, Compute(device), reported.append, 20.0, **options)


def state_of(step: Stepper) -> dict[str, torch.Tensor]:
    """All that a step changes."""
    momentum = {str(n): state["momentum_buffer"] for n, state in enumerate(step.optimizer.state.values())}
    return {name: value.clone() for name, value in (step.model.state_dict() | momentum).items()}


CLIPS = torch.randint(0, 256, (2, 3, 3, 32, 32), dtype=torch.uint8)
GOOD = ClipBatch(CLIPS, torch.tensor([0, 1]), [0, 1], 2)
POISONED = ClipBatch(CLIPS.float().index_fill(4, torch.tensor([0]), float("nan")), GOOD.labels, [4, 7], 2)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("deferred", [False, True])
def test_a_step_that_is_not_finite_changes_nothing(deferred: bool, scaled: bool, device: str) -> None:
    """Whether the host decides, or a fused optimizer on the device, of which the host learns a step later."""
    reported: list[Step] = []
    model = build_model("resnet18", 2, 3, dropout=0).to(device)
    step = stepper_of(model, reported, scaled, restorable=True, deferred=deferred)
    taken = [done.number for done in step(GOOD, number=0)]
    before = state_of(step)
    taken += [done.number for done in step(POISONED, number=1)]
    after = state_of(step)
    assert all(torch.equal(value, before[name]) for name, value in after.items())
    assert len(reported) == (not deferred)
    taken += [done.number for done in step(GOOD, number=2)]
    assert [(bad.number, bad.indices) for bad in reported] == [(1, [4, 7])]
    taken += [done.number for done in step.settle()]
    assert taken == [0, 2] and not all(torch.equal(value, after[name]) for name, value in state_of(step).items())


def test_deciding_later_gives_the_same_bits() -> None:
    """With a fused optimizer, as on a GPU."""
    states, counted = [], []
    for deferred in (False, True):
        torch.manual_seed(0)
        reported: list[Step] = []
        step = stepper_of(build_model("resnet18", 2, 3, dropout=0), reported, restorable=True, deferred=True)
        step = step if deferred else replace(step, deferred=False)
        done = [step(batch, number=n) for n, batch in enumerate((GOOD, POISONED, GOOD, GOOD))] + [step.settle()]
        counted.append([(one.number, float(one.loss)) for one in itertools.chain(*done)])
        states.append(state_of(step))
    assert counted[0] == counted[1] and [number for number, _ in counted[0]] == [0, 2, 3]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_one_process_that_saves_does_not_report_alone() -> None:
    reported: list[Step] = []
    step = stepper_of(build_model("resnet18", 2, 3, dropout=0), reported, restorable=True, deferred=True)
    assert not step(GOOD, number=0)
    assert [done.number for done in step.settle(report=False)] == [0] and not step.unsettled
    assert not step(POISONED, number=1) and not step.settle(report=False)
    assert len(step.unsettled) == 1 and not reported, "all processes report it together, in the next step"
    assert not step(GOOD, number=2) and [bad.number for bad in reported] == [1]


@pytest.fixture(params=[False, True], ids=["decided by the host", "decided by the device"])
def where(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training as it is on a CPU, and, on a CPU, as it is on a GPU."""
    monkeypatch.setattr(Compute, "fused_optimizer", request.param)


@pytest.mark.usefixtures("where")
def test_a_run_stops_before_the_step_and_names_the_videos(call: Call, tmp_path: Path) -> None:
    train = [*arguments(write_list(tmp_path, 8, 0)), "-b", "2", "--lr", "1e30"]
    done = call(*train, status=3)
    assert "step 2: the loss is nan" in done.err and "for the videos a.mp4, a.mp4; there is no checkpoint" in done.err
    assert len(done.err.strip().splitlines()) >= 1 and not list(tmp_path.rglob("*.tar"))
    done = call(*train, "--skip_nonfinite", "1", status=3)
    assert "skipped (1 of 1)" in done.err and "step 3: the loss is nan" in done.err
    done = call(*train, "--ckpt_interval", "2", "--store_name", "saved", status=3)
    assert "step 2: the loss is nan" in done.err and not list(tmp_path.rglob("*.tar")), "a step that is due for saving"


def test_all_processes_stop_when_one_has_a_loss_that_is_not_finite(script: Run, tmp_path: Path) -> None:
    train = [*arguments(write_list(tmp_path, 8, 0)), "-b", "2", "--lr", "1e30"]
    done = script(*train, processes=2, status=None)
    assert done.returncode != 0 and "step 2: the loss is nan" in done.stderr and "Traceback" not in done.stdout


@pytest.mark.parametrize(("missing", "fraction", "status"), [(12, None, 3), (12, "0.5", 0), (0, "0", 0)])
def test_a_run_stops_where_too_many_videos_are_broken(
    missing: int, fraction: str | None, status: int, call: Call, tmp_path: Path
) -> None:
    flags = ["--max_bad_fraction", fraction] if fraction else []
    done = call(*arguments(write_list(tmp_path, 114, missing)), "-b", "6", *flags, status=status)
    bad = (tmp_path / "checkpoints/run/bad_samples.csv").read_text()
    if status:
        assert "videos cannot be read, more than --max_bad_fraction 0.01; the first is gone" in done.err
    assert bad.count("was replaced in training,No such file") >= min(missing, 2)


def test_broken_videos_are_counted_over_the_whole_run(call: Call, tmp_path: Path) -> None:
    """Each epoch has only a few broken videos; their counts add up over epochs and over an interruption."""
    train = [*arguments(write_list(tmp_path, 36, 4)), "--epochs", "3", "-b", "4", "--resume", "auto"]
    train += ["--lr", "0.001", "--max_bad_fraction", "0.05"]
    assert "resumed" not in call(*train, "--max_steps", "10").out  # one epoch, in which 44 videos were tried
    done = call(*train, status=3)
    assert "resumed" in done.out and "videos cannot be read, more than --max_bad_fraction 0.05" in done.err
    tried = int(done.err.split(" videos cannot")[0].split()[-1])
    assert 100 <= tried <= 110


@pytest.mark.usefixtures("where")
def test_batches_that_are_passed_over_are_counted_over_the_whole_run(call: Call, tmp_path: Path) -> None:
    train = [*arguments(write_list(tmp_path, 8, 0)), "-b", "2", "--resume", "auto", "--skip_nonfinite", "1"]
    call(*train, "--lr", "0.001", "--max_steps", "1")
    path = tmp_path / "checkpoints/run" / LAST
    content = torch.load(path, weights_only=True)
    assert content["skipped"] == 0
    done = call(*train, "--lr", "1e30", status=3)  # the first such batch may be skipped, the second one ends the run
    assert "skipped (1 of 1)" in done.err and "the loss is nan" in done.err
    torch.save({**content, "skipped": 1}, path)
    done = call(*train, "--lr", "1e30", status=3)
    assert "skipped (1 of 1)" not in done.err and "the loss is nan" in done.err


@pytest.mark.usefixtures("where")
def test_a_save_that_is_due_after_a_skipped_batch_is_not_left_out(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = itertools.count(1)

    def poisoned(model: nn.Module, batch: ClipBatch, *rest: Any) -> Any:
        if next(numbers) == 2:
            batch = replace(batch, pixels=batch.pixels.float().fill_(float("nan")))
        return accumulate(model, batch, *rest)

    monkeypatch.setattr(train_step, "accumulate", poisoned)
    train = [*arguments(write_list(tmp_path, 8, 0)), "-b", "2", "--lr", "0.001", "--skip_nonfinite", "1"]
    assert "step 2: the loss is nan" in call(*train, "--ckpt_interval", "2", "--keep", "9").err
    saved = [path.name for path in (tmp_path / "checkpoints/run").glob("ckpt.0*")]
    assert len(saved) == 2, f"one within the epoch and one at its end, not {saved}"


def test_a_full_disk_is_one_line_for_logs_too(tmp_path: Path) -> None:
    (tmp_path / "bad_samples.csv").symlink_to("/dev/full")
    runlog = RunLog(tmp_path, 0)
    with pytest.raises(InputError, match=r"bad_samples.csv: cannot be written \(No space"):
        runlog.bad_samples(0, [("was replaced", Failure(1, "x.mp4", "gone"))])
    runlog.close()


def test_a_test_with_failures_can_be_allowed(call: Call, tmp_path: Path) -> None:
    model = build_model("resnet18", 2, 3)
    torch.save({"state_dict": model.state_dict()}, tmp_path / "w.pth.tar")
    test = ["online_test_models.py", "custom", "--weights", "w.pth.tar", "--test_list", write_list(tmp_path, 2, 1)]
    test += ["--root_path", ".", "--input_size", "32", "--device", "cpu", "-j", "0"]
    done = call(*test, status=1)
    assert "3 expected, 2 scored, 1 failed" in done.out and "%; 2 of 3 videos scored" in done.out
    digits = [hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()[:16] for name in ("l.txt", "w.pth.tar")]
    made = f"made from: l.txt (sha256 {digits[0]}), w.pth.tar (sha256 {digits[1]}), PyAV {av.__version__}"
    assert made in done.out
    assert "3 expected, 2 scored, 1 failed" in call(*test, "--allow_missing", status=0).out


@pytest.mark.parametrize(("poisoned", "scored"), [(float("nan"), 0), (1.0, 3)])
def test_videos_whose_scores_are_not_finite_count_as_failed(
    poisoned: float, scored: int, call: Call, tmp_path: Path
) -> None:
    model = build_model("resnet18", 2, 3)
    nn.init.constant_(model.head.bias[:1], poisoned)
    torch.save({"state_dict": model.state_dict()}, tmp_path / "w.pth.tar")
    test = ["online_test_models.py", "custom", "--weights", "w.pth.tar", "--test_list", write_list(tmp_path, 3, 0)]
    done = call(*test, "--root_path", ".", "--input_size", "32", "--device", "cpu", "-j", "0", status=int(not scored))
    assert f"3 expected, {scored} scored" in done.out and ("its scores are not finite" in done.err) == (not scored)
    predict = ["tools/predict.py", "a.mp4", "--weights", "w.pth.tar", "--input_size", "32", "--device", "cpu"]
    done = call(*predict, status=0 if scored else 2)
    assert ("w.pth.tar: its scores are not finite" in done.err) == (not scored)


def test_output_that_nobody_takes_is_no_traceback(tmp_path: Path) -> None:
    save_weights(tmp_path / "w.pth.tar")
    show = [sys.executable, str(ROOT / "tools" / "show_checkpoint.py"), "w.pth.tar"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(show, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and done.stderr.startswith("error: standard output cannot be written (No space left")
    closed = subprocess.Popen(show, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert closed.stdout and closed.stderr
    closed.stdout.close()
    assert closed.stderr.read() == b"" and closed.wait(60) == 0


def weights_of(folder: Path, bias: float = 0.0) -> Path:
    """Write a checkpoint in which all biases of the head are `bias`."""
    model = build_model("resnet18", 2, 3, tam=True)
    nn.init.constant_(model.head.bias, bias)
    torch.save({"state_dict": model.state_dict()}, folder / "w.pth.tar")
    return folder / "w.pth.tar"


def test_weights_that_are_not_finite_are_never_the_best(call: Call, tmp_path: Path) -> None:
    """If a running statistic of a batch norm overflows, training does not notice it, but validation does."""
    train = [*arguments(write_list(tmp_path, 8, 0)), "-b", "2", "--lr", "0.001"]
    weights = weights_of(tmp_path, float("nan"))
    said = call(*train, "--evaluate", "--resume", weights, status=3).err
    assert said.endswith(f"error: {weights}: no video has finite scores: these weights come from a run that diverged\n")
    call(*train, "--eval-freq", "1")
    folder = tmp_path / "checkpoints/run"
    before = (folder / LAST).read_bytes(), (folder / BEST).read_bytes()
    content = torch.load(folder / LAST, weights_only=True)
    content["state_dict"]["base_model.bn1.running_var"].fill_(float("nan"))
    (folder / LAST).unlink()  # a hard link to the best one, which must not change
    torch.save(content, folder / LAST)
    poisoned = (folder / LAST).read_bytes()
    train = [*train, "--epochs", "2", "--resume", "auto", "--eval-freq", "1"]
    said = call(*train, status=3).err
    assert "epoch 2: no validation video has finite scores" in said and "Traceback" not in said
    assert ((folder / LAST).read_bytes(), (folder / BEST).read_bytes()) == (poisoned, before[1])
    said = call(*train, "--ckpt_interval", "1", status=3).err
    assert "base_model.bn1.running_var is no longer finite; the last good checkpoint is" in said


def test_a_validation_that_misses_most_videos_is_never_the_best(call: Call, tmp_path: Path) -> None:
    path = write_list(tmp_path, 8, 0)
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    (tmp_path / "v.txt").write_text("a.mp4 8 0\n" + "bad.mp4 8 0\n" * 2)
    train = [
        *arguments(path),
        "-b",
        "2",
        "--lr",
        "0.001",
        "--eval-freq",
        "1",
        "--val_list",
        "v.txt",
        "--resume",
        "auto",
    ]
    call(*train)
    assert not (tmp_path / "checkpoints/run" / BEST).exists()
    (tmp_path / "v.txt").write_text("bad.mp4 8 0\n" * 2)
    assert "validation: loss nan" in call(*train, "--epochs", "2").out
    content = torch.load(tmp_path / "checkpoints/run" / LAST, weights_only=True)
    assert content["best_prec1"] == 0.0 and not (tmp_path / "checkpoints/run" / BEST).exists()
    content["best_prec1"] = float("nan")  # as older versions stored it
    torch.save(content, tmp_path / "checkpoints/run" / LAST)
    (tmp_path / "v.txt").write_text("a.mp4 8 0\na.mp4 8 1\n" + "bad.mp4 8 0\n")
    call(*train, "--epochs", "3")
    assert torch.load(tmp_path / "checkpoints/run" / BEST, weights_only=True)["best_prec1"] == 50.0
    path = tmp_path / "checkpoints/run" / LAST
    content = {**torch.load(path, weights_only=True), "best_prec1": float("nan")}
    path.unlink()  # a hard link to the best one, which must not change
    torch.save(content, path)
    call(*train, "--epochs", "4")
    assert torch.load(path, weights_only=True)["best_prec1"] == 50.0, "nothing would ever be better than NaN"


class Poisoned(nn.Module):
    """The scores are the content of the clip."""

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        return clips


def test_validation_leaves_scores_out_that_are_not_finite() -> None:
    nan, inf = float("nan"), float("inf")
    batches = [
        ClipBatch(torch.tensor([[1.0, 0.0], [nan, 0.0]]), torch.tensor([0, 1]), [4, 7], 2),
        ClipBatch(torch.empty(0), torch.empty(0, dtype=torch.int64), [], 1, [Failure(8, "8.mp4", "gone")]),
        ClipBatch(torch.tensor([[0.0, inf]]), torch.tensor([1]), [9], 1),
        ClipBatch(torch.tensor([[1.0, 0.0]]), torch.tensor([1]), [5], 1),
    ]
    result = validate(Poisoned(), batches, CPU, 4, False, lambda index: f"{index}.mp4")
    assert {(failure.path, failure.reason) for failure in result.failures} == {
        ("7.mp4", NOT_FINITE), ("8.mp4", "gone"), ("9.mp4", NOT_FINITE),
    }  # fmt: skip
    assert result.meter.count == 2 and result.meter.averages()["top1"] == 50.0


class NeverFinite(nn.Module):
    """Its scores are finite and its gradients never are, because the square root has an infinite slope at 0."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        return self.weight.sqrt().expand(len(clips), 2)


def test_fp16_that_never_takes_a_step_is_stopped() -> None:
    model = NeverFinite()
    scaler = torch.amp.GradScaler("cpu", enabled=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    step = Stepper(model, optimizer, scaler, CPU, lambda step: pytest.fail("is no such batch"), 20.0)
    batch = ClipBatch(torch.zeros(2, 1), torch.tensor([0, 1]), [0, 1], 2)
    with pytest.raises(RunStoppedError, match="--amp fp16: the gradients are not finite"):
        for _ in range(40):
            step(batch)
    assert not model.weight.any()


def test_a_log_that_cannot_be_written_does_not_stop_the_epoch(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = [*arguments(write_list(tmp_path, 8, 1)), "-b", "2", "--lr", "0.001", "--eval-freq", "1", "--resume", "auto"]
    train += ["--epochs", "2", "--max_bad_fraction", "0.9", "--store_name"]
    call(*train, "calm")

    def full(*args: object) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    for broken in ("events", "log.csv", "bad_samples.csv"):
        run = tmp_path / "checkpoints" / broken
        with monkeypatch.context() as patched:
            if broken == "events":
                patched.setattr(EventsWriter, "write_event", lambda self, event: event.summary.value and full())
            elif broken == "log.csv":
                patched.setattr(csv.DictWriter, "writerows", lambda self, rows: rows and full())
            else:
                run.mkdir()
                (run / "bad_samples.csv").symlink_to("/dev/full")
            said = call(*train, broken, status=3).err
        assert "cannot be written (No space left" in said and "the run is saved nevertheless" in said, said
        assert said.count("error:") == 1 and "Traceback" not in said
        assert torch.load(run / LAST, weights_only=True)["epoch"] == 1
        (run / "bad_samples.csv").unlink(missing_ok=True)
        assert "1 epoch and 0 steps are done" in call(*train, broken).out
        logs = []
        for folder in (run, tmp_path / "checkpoints/calm"):
            with (folder / "log.csv").open(newline="") as file:
                logs.append([[row[key] for key in row if "seconds" not in key] for row in csv.DictReader(file)])
        assert logs[0] == logs[1] and len(logs[0]) == 2, broken


def test_a_bad_cell_in_the_log_is_left_out_and_named(call: Call, tmp_path: Path) -> None:
    train = [*arguments(write_list(tmp_path, 4, 0)), "-b", "2", "--lr", "0.001", "--eval-freq", "1", "--resume", "auto"]
    call(*train)
    path = tmp_path / "checkpoints/run/log.csv"
    lines = path.read_text().splitlines()
    cells = lines[1].split(",")
    path.write_text(f"{lines[0]}\n{','.join([cells[0], cells[1], 'about 0.01', *cells[3:]])}\n")
    assert "log.csv: 'about 0.01' is not a number (lr)" in call(*train, "--epochs", "2").err
    assert len(path.read_text().splitlines()) == 3
