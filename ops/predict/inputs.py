"""The videos given on a command line (files, folders, patterns), and names for the results of each."""

import glob
import logging
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ops.common.errors import InputError
from ops.data.file_search import VIDEO_EXTENSIONS, endings_there, find_videos
from ops.data.list_lines import names_protocol

log = logging.getLogger(__name__)

FRAMES = "frames, which test_models.py scores (a line 'path num_frames' in --test_list)"


@dataclass(frozen=True)
class Video:
    """One video: its path, the part of it below the given folder, and why it cannot be used ("": it can)."""

    path: str
    name: str
    reason: str = ""


def find_inputs(
    arguments: Sequence[str], apart_from: Iterable[str] = (), endings: Sequence[str] = VIDEO_EXTENSIONS
) -> list[Video]:
    """The videos given by `arguments`, each once, in the order given; those below a folder are sorted.

    An argument is a file, a folder, searched at any depth for what has one of the `endings`, or a pattern as shells
    have them (`**`: any depth). Folders among `apart_from`, where results go, are not searched. What is none of these
    comes along with the reason. Folders of frames beside videos are left out, which a line of the log says.
    """
    skipped = tuple(os.path.join(os.path.realpath(folder), "") for folder in apart_from)
    found: dict[str, Video] = {}
    for argument in arguments:
        for video in _expand(argument, endings):
            if video.name == video.path or not os.path.realpath(video.path).startswith(skipped):
                found.setdefault(os.path.normpath(video.path), video)
        if os.path.isdir(argument):
            _say_left_out(argument, {Path(path).parent for path in found}, skipped)
    return list(found.values())


def _say_left_out(folder: str, with_videos: Collection[Path], skipped: tuple[str, ...]) -> None:
    """Name the folders of frames below `folder` that are left out: those that hold images and no videos."""
    top = Path(os.path.normpath(folder))
    if not any(path.is_relative_to(top) for path in with_videos):
        return  # without any video the error says what is there
    images = sorted({(top / name).parent for name in _images_in(folder)} - set(with_videos))
    left = [path for path in images if not os.path.join(path.resolve(), "").startswith(skipped)]
    if left:
        what = f"{len(left)} folders of images are left out, such as {left[0]}"
        log.warning("%s: %s: these are %s", folder, what, FRAMES)


def _images_in(folder: str) -> Iterable[str]:
    """The images below `folder`, relative to it."""
    from ops.data.frames import EXTENSIONS  # slow to import

    return find_videos(folder, EXTENSIONS)


def _expand(argument: str, endings: Sequence[str]) -> Iterator[Video]:
    if os.path.isdir(argument):
        yield from _below(argument, endings)
    elif os.path.lexists(argument):
        yield Video(argument, argument)
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
        names = find_videos(folder, endings)
    except InputError as error:
        yield Video(folder, folder, str(error).removeprefix(f"{folder}: "))
        return
    if not len(names):
        yield Video(folder, folder, f"there are no videos in this folder{endings_there(folder)}{_about_frames(folder)}")
    for name in names:
        yield Video(os.path.join(folder, name), name)


def _about_frames(folder: str) -> str:
    """What to do with a folder of images, for a message; "" where there are none."""
    return f": these are {FRAMES}" if any(_images_in(folder)) else ""


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
