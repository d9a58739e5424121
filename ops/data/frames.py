"""The reader of frames on disk. Only this module knows that files are numbered from 1 (`img_00001.jpg`)."""

import itertools
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import PIL
import torch
from torch import Tensor

from ops.common.errors import InputError, MediaError, TruncatedMediaError
from ops.data.dataset_configs import DatasetConfig
from ops.data.file_search import IMAGE_EXTENSIONS
from ops.data.frame_source import FrameSource
from ops.data.images import IMAGE_ERRORS, Pixels, read_image
from ops.data.jpegs import read_plain_jpeg
from ops.data.lists import Records

EXTENSIONS = (*IMAGE_EXTENSIONS, *map(str.upper, IMAGE_EXTENSIONS))
PROBES = 20
"""How many folders are inspected to detect the names of frames, because the first may be empty."""

COMMON_RGB = ("img_{index:05d}", "{index:05d}", "{index:06d}", "image_{index:05d}", "img_{index:06d}",
              "frame_{index:05d}", "frame_{index:06d}", "frame{index:06d}", "{index:04d}", "{index:03d}", "{index:d}",
              *(f"{word}{mark}{{index:{width}}}" for word in ("frame", "image", "img") for mark in ("_", "-", "")
                for width in ("04d", "05d", "06d", "03d", "d")))  # fmt: skip
COMMON_FLOW = ("flow_{axis}_{index:05d}", "flow_{axis}_{index:06d}", "{axis}_{index:05d}",
               "{video:06d}-{axis}_{index:05d}")  # fmt: skip


@dataclass(frozen=True)
class FrameTemplate:
    """The names of the files in a frame folder.

    `pattern` is a format string with `index`, `axis` (x or y, in flow folders with two images per frame) and `video`
    (the folder's name as a number); `first` is the index of the first frame on disk.
    """

    pattern: str
    first: int = 1

    @property
    def axes(self) -> tuple[str, ...]:
        """The images of one frame: two if flow has separate files for x and y, else one."""
        return ("x", "y") if "{axis" in self.pattern else ("",)

    def name(self, folder: str, index: int, axis: str = "") -> str:
        """The file name of frame `index` (0-based); ValueError if the folder's name must be a number and is not."""
        base = os.path.basename(os.path.normpath(folder))
        video = int(base) if "{video" in self.pattern else 0
        return self.pattern.format(index=index + self.first, axis=axis, video=video)


class FrameReader:
    """Opens the frame folders of a list.

    `pattern` is the dataset's own template (see `FrameTemplate`); `prepare` checks whether the first existing folder
    contains such files, and otherwise detects which of the usual names it uses. A folder whose files have other names,
    or are numbered from 0 instead of 1, is read by its own names. If the pattern was `named` by `--frame_template`,
    no other names are accepted.
    """

    kind = "frames"
    decoder = f"OpenCV {cv2.__version__} (plain JPEG) and Pillow {PIL.__version__}"
    counts_in_pairs = True

    def __init__(
        self, pattern: str, flow: bool = False, template: FrameTemplate | None = None, named: bool = False
    ) -> None:
        self.pattern, self.flow, self.template, self.named = pattern, flow, template, named

    def prepare(self, records: Records, root: str | Path) -> "FrameReader":
        """The reader with the template of most folders, detected once; InputError if no folder has frames."""
        folders = (os.path.join(root, record.path) for record in records)
        template = common_template(folders, self.pattern, self.flow, self.named)
        if template is None:
            raise InputError(f"{records.source}: none of its paths is a folder of frames in {root}")
        return FrameReader(self.pattern, self.flow, template, self.named)

    @contextmanager
    def open(self, path: str, num_frames: int) -> Iterator[FrameSource]:
        """Open one folder of `num_frames` frames."""
        template = self._template_of(path)
        if not os.path.isdir(path):
            raise MediaError(path, "not a folder of frames" if os.path.exists(path) else "no such folder")
        if num_frames < 1:
            raise MediaError(path, f"the list says {num_frames} frames")
        yield FolderSource(path, num_frames, template, self.flow)

    def count(self, path: str) -> int:
        """The frames in one folder, up to the first number that is missing; MediaError if it has none."""
        template = template_in(path, self.pattern, self.flow, self.named)
        names = set(os.listdir(path))
        wanted = ({template.name(path, index, axis) for axis in template.axes} for index in itertools.count())
        return sum(1 for _ in itertools.takewhile(names.issuperset, wanted))

    def first_file(self, path: str) -> str:
        """The first image of the folder at `path`; the folder itself if no image is found."""
        try:
            template = self._template_of(path)
            return os.path.join(path, template.name(path, 0, template.axes[0]))
        except (InputError, ValueError):
            return path

    def _template_of(self, path: str) -> FrameTemplate:
        """The template of one folder. Usually the one from `prepare`, which takes two file system calls to check."""
        if self.template is None:
            return detect_template(path, self.pattern, self.flow, self.named)
        for first in (0, 1):
            template = replace(self.template, first=first)
            try:
                names = [template.name(path, 0, axis) for axis in template.axes]
            except ValueError:  # the template needs a folder named by a number
                break
            if all(os.path.exists(os.path.join(path, name)) for name in names):
                return template
        if self.named and os.path.isdir(path):
            return template_in(path, self.pattern, self.flow, self.named)
        with suppress(InputError):  # the first frame is missing, or all are: reported when frames are read
            found = detect_template(path, self.pattern, self.flow)
            if found.axes == self.template.axes:  # do not read RGB frames as flow
                return found
        return self.template


def frame_reader(config: DatasetConfig, modality: str) -> FrameReader:
    """The reader of the extracted frames of a dataset; `modality` is "RGB" or "Flow"."""
    flow = modality == "Flow"
    return FrameReader(config.flow if flow else config.rgb, flow, named=modality in config.named)


class FolderSource(FrameSource):
    """One folder of image files, one per frame (or two: flow in x and y)."""

    def __init__(self, path: str, num_frames: int, template: FrameTemplate, flow: bool) -> None:
        self.path, self._length, self._template, self._flow = path, num_frames, template, flow

    def __len__(self) -> int:
        return self._length

    def frames(self, indices: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        """See `FrameSource.frames`."""
        for index in indices:
            try:
                yield index, self._frame(index)
            except FileNotFoundError:
                raise TruncatedMediaError(self.path, self._length, self._readable(index)) from None

    def _frame(self, index: int) -> Tensor:
        images = [self._image(index, axis) for axis in self._template.axes]
        if any(image.shape != images[0].shape for image in images):
            raise MediaError(self.path, f"x and y of flow frame {index} differ in size")
        pixels = images[0] if len(images) == 1 else np.stack(images, axis=2)
        if self._flow:
            pixels = pixels[:, :, :2]  # x and y, if one image holds both in red and green
        return torch.from_numpy(pixels).permute(2, 0, 1)

    def _image(self, index: int, axis: str) -> Pixels:
        """uint8 `[h, w, 3]`, or `[h, w]` for one axis of flow."""
        try:
            name = self._template.name(self.path, index, axis)
        except ValueError:
            raise MediaError(self.path, f"{self._template.pattern} needs a number as folder name") from None
        path = os.path.join(self.path, name)
        try:
            pixels = read_plain_jpeg(path, gray=bool(axis))
            return read_image(path, gray=bool(axis)) if pixels is None else pixels
        except FileNotFoundError:
            raise
        except IMAGE_ERRORS as error:
            raise MediaError(self.path, f"{name} is not a readable image ({error})") from None

    def _readable(self, missing: int) -> int:
        """The number of frames before the first gap, which is at `missing` or earlier."""
        names = set(os.listdir(self.path))
        for index in range(missing):
            if any(self._template.name(self.path, index, axis) not in names for axis in self._template.axes):
                return index
        return missing


def common_template(folders: Iterable[str], pattern: str, flow: bool, named: bool = False) -> FrameTemplate | None:
    """The template of the first of `folders` that contains frames, of at most `PROBES` that exist.

    None if no folder exists; InputError if none of them has frames.
    """
    refused: InputError | None = None
    for folder in itertools.islice(filter(os.path.isdir, folders), PROBES):
        try:
            return detect_template(folder, pattern, flow, named)
        except InputError as error:
            refused = refused or error
    if refused:
        raise refused
    return None


def frames_in(folder: str) -> bool:
    """Whether images in `folder` have one of the usual names of RGB frames, such as img_00001.jpg."""
    try:
        detect_template(folder, "img_{index:05d}.jpg", flow=False)
    except InputError:
        return False
    return True


def template_in(folder: str, pattern: str, flow: bool, named: bool = False) -> FrameTemplate:
    """Like `detect_template`, but raises MediaError, because one bad folder must not end a job."""
    try:
        return detect_template(folder, pattern, flow, named)
    except MediaError:
        raise
    except InputError as error:
        raise MediaError(folder, str(error).removeprefix(f"{folder}: ")) from None


def detect_template(folder: str, pattern: str, flow: bool, named: bool = False) -> FrameTemplate:
    """The template of the files in `folder`: the dataset's own `pattern` is tried first, then the usual ones.

    A pattern that was `named` by `--frame_template` is the only one tried. The InputError says which names were tried
    and which files there are.
    """
    try:
        names = set(os.listdir(folder))
    except OSError as error:
        raise MediaError(folder, error.strerror or "cannot be listed") from None
    stem, own = os.path.splitext(pattern)
    stems = [stem] if named else [stem, *(COMMON_FLOW + COMMON_RGB if flow else COMMON_RGB)]
    for stem in dict.fromkeys(stems):
        for extension in dict.fromkeys([own] if named else [own, *EXTENSIONS]):
            for first in (0, 1):
                template = FrameTemplate(stem + extension, first)
                try:
                    wanted = [template.name(folder, 0, axis) for axis in template.axes]
                except ValueError:  # the template needs a folder named by a number
                    continue
                if names.issuperset(wanted):
                    return template
    there = ", ".join(sorted(names)[:3]) or "nothing"
    if named:
        said = re.sub(r"\{index:(\d*)d\}", r"%\1d", pattern)
        raise InputError(
            f"{folder}: no frames named {said} (--frame_template), starting at 0 or 1; it contains {there}"
        )
    looked_for = ", ".join(list(dict.fromkeys(stems))[:9])
    raise InputError(
        f"{folder}: no frames named like {looked_for} … with {'/'.join(EXTENSIONS[:5])}, starting at 0 or 1; "
        f"it contains {there}; for other names give --frame_template"
    )
