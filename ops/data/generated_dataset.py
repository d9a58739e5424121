"""Built-in datasets: generated from a seed on first use, as videos and, if asked for, as extracted frames."""

import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import cv2

from ops.common.console import progress
from ops.common.errors import InputError
from ops.common.folder_lock import close_lock, lock_file, open_lock
from ops.common.storage import begins_with, make_folder
from ops.data.drawing import Image

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Clip:
    """One clip: its name, its class number, and its RGB frames `[h, w, 3]`."""

    name: str
    label: int
    frames: list[Image]


@dataclass(frozen=True)
class GeneratedDataset:
    """A dataset that is made from a seed.

    Attributes:
        name: the first part of the names of its lists.
        classes: names of the classes in label order, of lower-case letters and hyphens.
        sizes: the number of clips of each split.
        clips: the clips of a split; the same in every call. Each has its own file, `<split>/<class>/<name>.mp4`.
        num_frames: the frames of each clip.
        fingerprint: a line that is stored beside the data; data with a different one are generated again. It begins
            with "version ".
    """

    name: str
    classes: Sequence[str]
    sizes: dict[str, int]
    clips: Callable[[str], Iterator[Clip]]
    num_frames: int
    fingerprint: str

    def make(self, root: Path, kind: str, shown: bool) -> None:
        """Generate it under `root` unless it exists: videos, and also their frames if `kind` is "frames".

        It is written completely or not at all: under a temporary name that is renamed at the end. With several
        processes one generates it and the others wait. InputError if something else is in its place.
        """
        make_folder(root.parent)
        lock = open_lock(root.parent / f".{root.name}.lock")
        try:
            lock_file(lock, wait=True)
            if not self._is_made(root, "videos"):
                log.info("generating the built-in dataset in %s", root)
                self._make_part(root, "videos", shown)
            if kind == "frames" and not self._is_made(root, "frames"):
                self._make_part(root, "frames", shown)
        finally:
            close_lock(lock)

    def _is_made(self, root: Path, part: str) -> bool:
        marker = root / part / "made"
        return marker.is_file() and marker.read_text() == self.fingerprint

    def _lists(self, root: Path, part: str) -> dict[str, Path]:
        """The list of each split."""
        return {
            split: root / (f"{self.name}_{split}_list.txt" if part == "videos" else f"annotations/{split}.txt")
            for split in self.sizes
        }

    def _class_names(self) -> str:
        return "".join(f"{name}\n" for name in self.classes)

    def _check_place(self, root: Path, part: str) -> None:
        """InputError if `part` or one of its lists exists and was not made by any version of this dataset."""
        folder, marker = root / part, root / part / "made"
        if os.path.lexists(folder) and (folder.is_symlink() or not begins_with(marker, b"version ")):
            raise _not_ours(folder)
        names = re.compile(rf"({part}/(train|val)/[a-z-]+/\d+(\.mp4)? \d+ \d+\n)*".encode())
        for path in (*self._lists(root, part).values(), root / "annotations" / "class_names.txt"):
            if os.path.lexists(path):
                content = b"" if path.is_symlink() or not path.is_file() else path.read_bytes()
                if content != self._class_names().encode() and not (content and names.fullmatch(content)):
                    raise _not_ours(path)

    def _make_part(self, root: Path, part: str, shown: bool) -> None:
        self._check_place(root, part)
        growing = root.parent / f".{root.name}.{part}.tmp"
        shutil.rmtree(growing, ignore_errors=True)
        growing.mkdir()
        lists = {split: self._write_split(root, growing, part, split, shown) for split in self.sizes}
        (growing / "made").write_text(self.fingerprint)
        shutil.rmtree(root / part, ignore_errors=True)
        annotations = root / "annotations"
        annotations.mkdir(parents=True, exist_ok=True)
        (annotations / "class_names.txt").write_text(self._class_names())
        for split, path in self._lists(root, part).items():
            path.write_text(lists[split])
        os.replace(growing, root / part)

    def _write_split(self, root: Path, growing: Path, part: str, split: str, shown: bool) -> str:
        """Write the clips of a split into the folder `growing`; returns its list."""
        lines = []
        if part == "videos":
            for clip in progress(self.clips(split), self.sizes[split], f"making {split} videos", "clip", shown):
                path = f"{split}/{self.classes[clip.label]}/{clip.name}.mp4"
                write_clip(growing / path, clip.frames)
                lines.append(f"{part}/{path} {self.num_frames} {clip.label}\n")
            return "".join(lines)
        videos = self._lists(root, "videos")[split].read_text().splitlines()
        for line in progress(videos, len(videos), f"making {split} frames", "clip", shown):
            path, count, label = line.rsplit(" ", 2)
            clip_path = path.removeprefix("videos/").removesuffix(".mp4")
            extract_clip(root / path, growing / clip_path)
            lines.append(f"{part}/{clip_path} {count} {label}\n")
        return "".join(lines)


def _not_ours(path: Path) -> InputError:
    return InputError(
        f"{path}: is in the place of the built-in dataset but does not belong to it; move it away, or set "
        "TAM_DATASETS to another folder"
    )


def write_clip(path: Path, frames: list[Image]) -> None:
    """Encode RGB `frames` as H.264 with key frames only, all at the same quality."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(os.fspath(path), "w") as container:
        options = {"preset": "veryfast", "qp": "18", "g": "1", "bf": "0"}
        stream = container.add_stream("libx264", rate=30, options=options)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def extract_clip(video: Path, folder: Path) -> None:
    """The decoded frames of `video` as `img_00001.jpg` … in `folder`."""
    folder.mkdir(parents=True)
    with av.open(os.fspath(video)) as container:
        for index, frame in enumerate(container.decode(video=0), 1):
            bgr = frame.to_ndarray(format="bgr24")
            cv2.imwrite(os.fspath(folder / f"img_{index:05d}.jpg"), bgr, [cv2.IMWRITE_JPEG_QUALITY, 95])
