"""The videos given on a command line (files, folders, patterns, lists), and names for the results of each."""

import glob
import logging
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ops.common.errors import InputError
from ops.common.text import counted
from ops.data.file_search import VIDEO_EXTENSIONS, endings_there, find_videos
from ops.data.list_lines import UNKNOWN, names_protocol

log = logging.getLogger(__name__)

LISTS = (".txt", ".csv", ".tsv")
"""Endings of lists, which are not given in the place of videos."""


@dataclass(frozen=True)
class Video:
    """One video or frame folder: its path, the part below the given folder, and why it cannot be used ("" if it can).

    `label` is that of a list, -1 if there is none.
    """

    path: str
    name: str
    reason: str = ""
    label: int = -1


def find_inputs(
    arguments: Sequence[str], apart_from: Iterable[str] = (), endings: Sequence[str] = VIDEO_EXTENSIONS
) -> list[Video]:
    """The videos and frame folders given by `arguments`, each once, in the order given; those below a folder sorted.

    An argument is a file, a folder of frames, another folder, which is searched at any depth for files with one of the
    `endings` and for folders of frames, or a shell pattern (`**`: any depth). Folders in `apart_from`, where results
    go, are not searched. Other arguments are returned with the reason why they cannot be used.
    """
    skipped = tuple(os.path.join(os.path.realpath(folder), "") for folder in apart_from)
    found: dict[str, Video] = {}
    for argument in arguments:
        for video in _expand(argument, endings):
            inside = os.path.join(os.path.realpath(video.path), "").startswith(skipped)
            if video.name == video.path or not inside:
                found.setdefault(os.path.normpath(video.path), video)
    return list(found.values())


def listed_inputs(
    file: str, root: str, class_names: Sequence[str] | None = None, num_classes: int | None = None
) -> list[Video]:
    """The entries of a list of videos or frame folders, as for training and tests; `root` is its `--root_path`.

    Labels may be `class_names`, and must be below `num_classes` if that is given. InputError for a list that cannot be
    read, or none of whose entries exists.
    """
    from ops.data.lists import read_records

    is_frames = _lists_folders(file, root)
    try:
        records = read_records(file, is_frames, class_names)
    except InputError as error:
        try:  # lists with several labels per video, which are not needed here
            records = read_records(file, is_frames, class_names, multi_label=True)
        except InputError:
            raise error from None
    if num_classes:
        records.check_labels(num_classes, required=False)
    records.check_some_exist(root)
    several = records.label_sets is not None
    return [_listed(root, record.path, UNKNOWN if several else record.label) for record in records]


def _lists_folders(file: str, root: str) -> bool:
    """Whether the first existing entry of a list is a folder; the number after its path is then not a label."""
    from ops.data.lists import read_records

    # Lists of videos without labels, or with names, fit only the second form; those with several labels, the others.
    for in_pairs, several in ((True, False), (False, False), (True, True), (False, True)):
        try:
            records = read_records(file, in_pairs, multi_label=several)
            paths = [os.path.join(root, record.path) for record in records]
        except InputError:
            continue
        there = next(filter(os.path.exists, paths), None)
        if there is not None:
            return os.path.isdir(there)
    return False


def _listed(root: str, path: str, label: int) -> Video:
    full = os.path.join(root, path)
    inner = Path(os.path.normpath(path))
    is_below = not inner.is_absolute() and os.pardir not in inner.parts
    reason = "" if os.path.exists(full) else "no such file or folder"
    return Video(full, path if is_below else full, reason, label)


def _frame_folders(folder: str, with_videos: Collection[str]) -> list[str]:
    """The folders of frames below `folder`, or itself (""), relative to it; other folders with images are logged."""
    from ops.data.frames import EXTENSIONS, frames_in  # slow to import

    images = sorted({os.path.dirname(name) for name in find_videos(folder, EXTENSIONS)} - set(with_videos))  # noqa: PTH120
    frames = [inner for inner in images if frames_in(os.path.join(folder, inner))]
    left = [inner for inner in images if inner and inner not in frames]
    if left and (frames or with_videos):
        what = f"{counted(len(left), 'folder')} of images left out, such as {os.path.join(folder, left[0])}"
        log.warning("%s: %s: their names are not those of frames, such as img_00001.jpg", folder, what)
    return frames


def _expand(argument: str, endings: Sequence[str]) -> Iterator[Video]:
    if os.path.isdir(argument):
        yield from _below(argument, endings)
    elif os.path.lexists(argument):
        is_list = Path(argument).suffix.lower() in LISTS
        yield Video(
            argument, argument, "not a video; if it is a list of videos, put --list before it" if is_list else ""
        )
    elif names_protocol(argument):
        yield Video(argument, argument, "not a plain file path (URLs and protocols are not followed)")
    elif "\0" not in argument and glob.has_magic(argument):
        matches = sorted(glob.iglob(argument, recursive=True))  # noqa: PTH207
        for match in matches:
            if not os.path.isdir(match):
                yield Video(match, match)
            elif "**" not in argument:  # `**` already finds the files in folders
                yield from _below(match, endings)
        if not matches:
            yield Video(argument, argument, "no such file, and no file matches it as a pattern")
    else:
        yield Video(argument, argument, "no such file or folder")


def _below(folder: str, endings: Sequence[str]) -> Iterator[Video]:
    try:
        names = list(find_videos(folder, endings))
        frames = _frame_folders(folder, {os.path.dirname(name) for name in names})  # noqa: PTH120
    except InputError as error:
        yield Video(folder, folder, str(error).removeprefix(f"{folder}: "))
        return
    if not names and not frames:
        yield Video(folder, folder, f"there are no videos or frames in this folder{endings_there(folder)}")
    for name in [*names, *frames]:
        yield Video(os.path.join(folder, name) if name else folder, name or folder)


def output_names(videos: Sequence[Video], ending: str) -> dict[str, str]:
    """A unique name for the path of each video, relative to a folder of results: `a/x.mp4` → `a/x` + `ending`.

    Videos found in a folder keep its subfolders; if names are equal, the second gets `_2`, and so on.
    """
    taken: set[str] = set()
    names: dict[str, str] = {}
    for video in videos:
        inner = video.name if video.name != video.path else os.path.basename(video.path)
        stem = os.path.splitext(inner)[0]
        name, number = stem, 1
        while name in taken:
            number += 1
            name = f"{stem}_{number}"
        taken.add(name)
        names[video.path] = name + ending
    return names


def check_distinct(targets: Iterable[str | os.PathLike[str]], inputs: Iterable[str | os.PathLike[str]] = ()) -> None:
    """InputError if two of the files to be written are the same, or if one of them is among `inputs`."""
    taken = {os.path.realpath(path): "is an input file" for path in inputs}
    for target in targets:
        place = os.path.realpath(target)
        if place in taken:
            raise InputError(f"{target}: {taken[place]}; choose another name")
        taken[place] = "would be written twice"


def check_apart(videos: Sequence[Video], targets: Iterable[str | os.PathLike[str]]) -> None:
    """InputError if one of the files to be written is one of the videos."""
    sources = {os.path.realpath(video.path) for video in videos}
    for target in targets:
        if os.path.realpath(Path(target)) in sources:
            raise InputError(f"{target}: is one of the videos to be read; choose another name or folder")
