"""Finding videos and frame folders below a folder, in a fixed order and held compactly."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from ops.common.errors import InputError
from ops.common.string_array import StringArray
from ops.common.text import one_line

VIDEO_EXTENSIONS = (
    ".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".mpg", ".mpeg", ".flv", ".wmv", ".3gp", ".ts", ".ogv",
    ".mts", ".m2ts", ".m2t", ".vob", ".asf", ".rm", ".rmvb", ".gif", ".3g2", ".m2v", ".m1v", ".mxf", ".dv", ".wtv",
    ".ogg", ".ogm", ".qt", ".f4v", ".divx", ".nut", ".ivf", ".y4m", ".h264", ".264", ".hevc", ".h265", ".265", ".mj2",
)  # fmt: skip
"""File extensions of videos; case is ignored."""

IMAGE_EXTENSIONS = (".jpg", ".png", ".jpeg", ".webp", ".bmp")
"""File extensions of frames."""

Above = tuple[tuple[int, int], ...]
"""Device and inode of the folders above, so that a symbolic link back to one of them is not followed."""


def find_videos(
    root: str | os.PathLike[str], extensions: Sequence[str] = VIDEO_EXTENSIONS, under: str = ""
) -> StringArray:
    """Paths, relative to `root`, of all files with the extension of a video below its folder `under`, at any depth.

    Sorted by folder and name. Links to folders are followed, but not in cycles; names that begin with a dot are
    skipped. InputError if a folder cannot be listed.
    """
    endings = tuple(extension.lower() for extension in extensions)
    return StringArray(_walk(os.fspath(root), under, lambda path, name, folder: not folder and name.endswith(endings)))


def find_frame_folders(root: str | os.PathLike[str], under: str = "") -> StringArray:
    """Likewise all folders without subfolders, such as folders of extracted frames."""
    return StringArray(_walk(os.fspath(root), under, lambda path, name, folder: folder and _is_frame_folder(path)))


def endings_there(root: str | os.PathLike[str]) -> str:
    """Text for messages that no video was found: extensions of other files below `root`, ` (there are .jpg, .txt)`."""
    endings = Counter(os.path.splitext(path)[1].lower() for path in find_videos(root, ("",)))
    commonest = ", ".join(one_line(ending) or "files without extension" for ending, _ in endings.most_common(5))
    return f" (there are {commonest})" if commonest else ""


def relative(path: str | os.PathLike[str], root: str | os.PathLike[str]) -> str:
    """`path` as seen from `root`; empty where they are the same."""
    inner = os.path.relpath(path, root)
    return "" if inner == os.curdir else inner


def _walk(root: str, folder: str, wanted: Callable[[str, str, bool], bool], above: Above = ()) -> Iterator[str]:
    """Paths below `root/folder`, relative to `root`, for which `wanted(path, lower-case name, is a folder)` is true."""
    path = os.path.join(root, folder) if folder else root
    try:
        status = os.stat(path)
        with os.scandir(path) as entries:
            listing = sorted((entry.name, _is_folder(entry)) for entry in entries if not entry.name.startswith("."))
    except OSError as error:
        raise InputError(f"{path}: cannot be listed ({error.strerror or error})") from None
    here = status.st_dev, status.st_ino
    if here in above:
        return
    for name, is_folder in listing:
        inner = os.path.join(folder, name)
        if wanted(os.path.join(root, inner), name.lower(), is_folder):
            yield inner
        elif is_folder:
            yield from _walk(root, inner, wanted, (*above, here))


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself: reported when it is opened
        return False


def _is_frame_folder(path: str) -> bool:
    try:
        with os.scandir(path) as entries:
            return not any(_is_folder(entry) for entry in entries if not entry.name.startswith("."))
    except OSError as error:
        raise InputError(f"{path}: cannot be listed ({error.strerror or error})") from None
