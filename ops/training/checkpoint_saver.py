"""The checkpoints of a run: the last one, the best one, and as many older ones as requested."""

import hashlib
import json
import logging
import os
import re
import shutil
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from ops.common import distributed
from ops.common.errors import InputError
from ops.common.storage import atomic_file, atomic_path
from ops.models.checkpoint import Checkpoint, read_checkpoint

log = logging.getLogger(__name__)

LAST, BEST = "ckpt.pth.tar", "ckpt.best.pth.tar"
_OLDER = re.compile(r"ckpt\.(\d+)\.pth\.tar")
KEPT = "kept.json"
"""The file with the names of the older checkpoints of a run; no others are ever replaced or removed."""
SAVED = "saved.json"
"""The file with the hashes (see `content_of`) of all checkpoints that a run saved and that are still in its folder."""
_WRITTEN = ("ckpt.*", KEPT, SAVED, "log.csv", "steps.csv", "curves.png", "args.json")


class CheckpointSaver:
    """Saves checkpoints in `folder`, and keeps the `keep` checkpoints before the last as `ckpt.<step>.pth.tar`."""

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self.keep, self._saved = folder, keep, time.monotonic()

    def save(self, write: Callable[[Path], None], step: int, is_best: bool) -> None:
        """Save the last checkpoint, also as the best one if it `is_best`, and only then remove older ones.

        `write` gets a path of `atomic_path`. The best one is saved first, so that after a kill in between, the last
        checkpoint never records a better result than that of the best checkpoint.
        """
        last, best = self.folder / LAST, self.folder / BEST
        with atomic_path(best if is_best else last) as temporary:
            write(temporary)
            self._note(temporary)  # first, so that a kill in between leaves no checkpoint without a record
        if is_best:
            _copy(best, last)
        self._keep_older(step)
        for name in _WRITTEN:  # unfinished files that a killed run left behind
            for path in self.folder.glob(f".{name}.*.tmp"):
                path.unlink(missing_ok=True)
        self._saved = time.monotonic()

    def _note(self, path: Path) -> None:
        """Record the hash of a new checkpoint, besides the recorded ones that are still in the folder.

        If nothing has been recorded so far (by an earlier version), all checkpoints in the folder count as the run's.
        """
        noted, there = _noted(self.folder), {content_of(path) for path in run_checkpoints(self.folder)}
        before = there if noted is None else there & noted
        with atomic_file(self.folder / SAVED, "w", encoding="utf-8") as file:
            json.dump(sorted({*before, content_of(path)} - {""}), file)

    def _keep_older(self, step: int) -> None:
        """Also keep the last checkpoint under the name of its step, if requested, and remove older ones."""
        own, path = _own_checkpoints(self.folder), self.folder / f"ckpt.{step:08d}.pth.tar"
        if self.keep and path.name not in own and os.path.lexists(path):
            log.warning("%s: already exists and was not written by this run: step %d is not kept", path, step)
        elif self.keep:
            own.add(path.name)
            _write_own(self.folder, own)  # first, so that each file is known to belong to the run
            _copy(self.folder / LAST, path)
        older = [path for path in older_checkpoints(self.folder) if path.name in own]
        gone_back_on = [path for path in older if _step_of(path) > step]
        too_old = [path for path in older if _step_of(path) <= step][self.keep + 1 if self.keep else 0 :]
        for path in (*gone_back_on, *too_old):
            path.unlink(missing_ok=True)
        if gone_back_on or too_old:
            _write_own(self.folder, own - {path.name for path in (*gone_back_on, *too_old)})

    def seconds(self) -> float:
        """Seconds since the last checkpoint was saved."""
        return time.monotonic() - self._saved


def older_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints kept besides the last and the best, newest first; they include the copy of the last one."""
    found = [path for path in folder.glob("ckpt.*.pth.tar") if _OLDER.fullmatch(path.name)]
    return sorted(found, key=_step_of, reverse=True)


def _own_checkpoints(folder: Path) -> set[str]:
    """The names of the older checkpoints of the run in `folder`."""
    try:
        names = json.loads((folder / KEPT).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return set()
    return {name for name in names if isinstance(name, str)} if isinstance(names, list) else set()


def content_of(path: Path) -> str:
    """A hash of a checkpoint's content, 64 digits: of the names, sizes and CRC-32s of the parts of its archive.

    `torch.save` stores the CRC-32s, so only the directory at the end of the file is read. A copy has the same hash;
    another training step or an edited tensor gives a different one. "" if the file is not an archive.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            parts = [[part.filename, part.file_size, part.CRC] for part in archive.infolist()]
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return ""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def is_replaced(path: Path) -> bool:
    """Whether the checkpoint at `path` was not saved by the run in its folder; False if that is unknown."""
    noted = _noted(path.parent)
    return noted is not None and content_of(path) not in noted


def _noted(folder: Path) -> set[str] | None:
    """The hashes of the checkpoints that a run saved in `folder`; None if they are not known."""
    try:
        noted = json.loads((folder / SAVED).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return {digits for digits in noted if isinstance(digits, str)} if isinstance(noted, list) else None


def _write_own(folder: Path, names: set[str]) -> None:
    with atomic_file(folder / KEPT, "w", encoding="utf-8") as file:
        json.dump(sorted(names), file)


def _step_of(path: Path) -> int:
    match = _OLDER.fullmatch(path.name)
    return int(match[1]) if match else 0


def run_checkpoints(folder: Path) -> list[Path]:
    """All checkpoints in `folder`, in the order in which a run resumes from them: the last, older ones, the best."""
    found = (folder / LAST, *older_checkpoints(folder), folder / BEST)
    return [path for path in found if path.exists()]


def last_good(folder: Path) -> str:
    """The checkpoint to go back to, in words; weights that are not finite are never saved."""
    last = folder / LAST
    return f"the last good checkpoint is {last}" if last.exists() else "there is no checkpoint yet"


def read_first(paths: Sequence[Path]) -> Checkpoint:
    """The first of `paths` that can be read; logs those that cannot. InputError if none can."""
    for path in paths:
        try:
            return read_checkpoint(path, hashed=distributed.world_size() > 1)
        except InputError as error:
            log.warning("%s", error)
    raise InputError(f"{paths[0].parent}: none of its checkpoints can be read; a new run needs another --suffix")


def _copy(source: Path, target: Path) -> None:
    """A hard link to the file or, if the file system has no links, an atomic copy."""
    with atomic_path(target) as temporary:
        temporary.unlink()
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
