"""Running the steps of a fine-tuning in order, each as a process, until one fails or a signal arrives."""

import logging
import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ops.common.errors import EXIT_DONE, EXIT_STOPPED, EXIT_WITH_FAILURES, InputError
from ops.common.stop_signals import PREEMPTED, ChildProcesses
from ops.common.storage import atomic_file
from ops.data.lists import Records, read_records
from ops.finetune.commands import FineTuning
from ops.finetune.schedule import schedule_flags, set_aside
from ops.testing.confidence import few_videos, verdict

log = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parents[2]

ORIGIN = "finetune.txt"
"""The file in the folder of results that names their videos and checkpoint."""


class StoppedStepError(Exception):
    """A step ended with `status`, and no other may follow."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Steps(ChildProcesses):
    """Runs commands of this project one after the other; `failures` says whether one could not read some videos."""

    failures = False

    def run(self, title: str, command: Sequence[str]) -> None:
        """Run a script of the project with its arguments; `StoppedStepError` if it fails or a signal arrived."""
        if self.signal:
            raise StoppedStepError(EXIT_STOPPED)
        log.info("== %s", title)
        status = self.start([sys.executable, "-u", str(ROOT / command[0]), *command[1:]]).wait()
        if self.signal:
            raise StoppedStepError(EXIT_STOPPED)
        if status not in (EXIT_DONE, EXIT_WITH_FAILURES):
            raise StoppedStepError(status if status > 0 else EXIT_STOPPED)
        self.failures |= status == EXIT_WITH_FAILURES


def run_fine_tuning(tuning: FineTuning) -> int:
    """Make the lists, train, test, report, and say whether the result is better than chance; returns the exit status.

    If it is stopped, the same call continues.
    """
    check_origin(tuning)
    steps = Steps()
    with steps.passing_signals():
        try:
            _run_steps(tuning, steps)
        except StoppedStepError as stopped:
            if steps.signal:
                log.info("stopped by a signal, everything is saved; the same command continues")
            return stopped.status
    return EXIT_WITH_FAILURES if steps.failures else EXIT_DONE


def _run_steps(tuning: FineTuning, steps: Steps) -> None:
    steps.run("Checkpoint", ["tools/show_checkpoint.py", tuning.weights])
    steps.run("Lists", tuning.make_lists())
    train, val = (_records(tuning, split) for split in ("train", "val"))
    with atomic_file(tuning.out / ORIGIN, "w", encoding="utf-8") as file:
        file.write(f"{tuning.origin}\n")
    split = "test" if (tuning.lists / "test.txt").is_file() else "val"
    warning = few_videos(Counter(_records(tuning, split).labels.tolist()).values())
    if warning:
        log.warning("%s", warning)
    changed = set_aside(tuning.out, [train, val])
    if changed:
        log.info("%s", changed)
    steps.run("Training", tuning.train(schedule_flags(len(train), tuning.batch, tuning.epochs)))
    if (tuning.out / PREEMPTED).exists():  # by a signal that only the training received
        log.info("the training was stopped by a signal, everything is saved; the same command continues")
        raise StoppedStepError(EXIT_STOPPED)
    steps.run("Test", tuning.test(split))
    steps.run("Report", tuning.report())
    log.info("== Verdict")
    log.info("the network is %s, and the report is %s", tuning.out / "ckpt.pth.tar", tuning.out / "report.html")
    log.info("%s", verdict(tuning.out / "test"))


def _records(tuning: FineTuning, split: str) -> Records:
    path = tuning.lists / f"{split}.txt"
    if split == "val" and not path.is_file():
        raise InputError(
            f"{tuning.labels or tuning.root}: no videos for validation; a class needs at least two videos, and "
            "--val_fraction must be above 0"
        )
    return read_records(path, counts_in_pairs=tuning.kind == "frames")


def check_origin(tuning: FineTuning) -> None:
    """InputError if the folder has the results of other videos or of another checkpoint."""
    path = tuning.out / ORIGIN
    before = path.read_text("utf-8").strip() if path.is_file() else tuning.origin
    if before != tuning.origin:
        raise InputError(f"{tuning.out}: contains a fine-tuning of {before}, not of {tuning.origin}; use another --out")


def show_commands(tuning: FineTuning) -> list[str]:
    """The commands of the steps, quoted for a shell; their schedule fits the current videos."""
    from ops.prepare.dataset_lists import Data  # imports the video libraries
    from ops.prepare.folder_lists import Division, classes_and_splits
    from ops.prepare.validation_split import sides_of

    check_origin(tuning)
    place = Data(tuning.root, tuning.lists, tuning.kind)
    sides = sides_of(tuning.lists / "train.txt", tuning.lists / "val.txt", tuning.kind == "frames")
    division = Division(tuning.val_fraction, labels=tuning.labels)
    splits = {split.name: len(split.names) for split in classes_and_splits(place, division, sides)[1].splits}
    commands = [
        ["tools/show_checkpoint.py", tuning.weights],
        tuning.make_lists(),
        tuning.train(schedule_flags(splits["train"], tuning.batch, tuning.epochs)),
        tuning.test("test" if "test" in splits else "val"),
        tuning.report(),
    ]
    return [shlex.join([sys.executable, str(ROOT / words[0]), *words[1:]]) for words in commands]
