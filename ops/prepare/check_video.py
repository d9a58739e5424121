"""Inspecting a video or frame folder: functions that depend only on its files, not on a list."""

import os
from typing import Any

from ops.common.errors import MediaError, TruncatedMediaError
from ops.common.text import counted
from ops.data.frames import FolderSource
from ops.data.videos import header_count, open_video
from ops.prepare.count_frames import look_into
from ops.prepare.write_index import index_entry


def check_video(path: str, item: str, decode: str) -> dict[str, Any]:
    """Inspect the video at `path`.

    Returns `frames` (those in the file or, with "none", those that its header claims), `claimed` (including claimed
    frames that are missing), `broken` (the decoding error, "" if none was found), with "full" `decoded`, `index` if
    packets were read, and the items of `identity_of`. MediaError if it cannot be read at all.
    """
    claimed = header_count(path)
    found: dict[str, Any] = {"frames": claimed, "claimed": claimed, "broken": "", **identity_of(path, os.stat(path))}
    if decode == "none" and claimed:
        return found
    with open_video(path) as source:
        found["frames"], found["claimed"] = len(source), source.claimed
        if decode == "ends":
            try:
                source.read([0, len(source) - 1])
            except TruncatedMediaError as error:
                found["broken"] = error.reason
        if decode == "full":
            found["decoded"] = source.decodable()
            if found["decoded"] < len(source):
                found["broken"] = f"only {found['decoded']} of {counted(len(source), 'frame')} can be decoded"
        found |= index_entry(source.index)
    return found


def check_folder(path: str, item: str, decode: str, pattern: str, flow: bool, named: bool = False) -> dict[str, Any]:
    """Inspect the frame folder at `path`; `pattern` and `named` are the names of frames (see `ops.data.frames`).

    Returns `frames` (up to the first gap), `beyond` (after it), `pattern` and `first` (the names of the files),
    `broken` (the first of the tried images that cannot be read), and the items of `identity_of`. MediaError if there
    are no frames.
    """
    if not os.path.isdir(path):
        raise MediaError(path, "not a folder of frames" if os.path.exists(path) else "no such folder")
    template, frames, beyond = look_into(path, pattern, flow, named)
    tried = {"none": [], "ends": [0, frames - 1], "full": range(frames)}[decode]
    ends = [os.path.join(path, template.name(path, index, template.axes[0])) for index in (0, frames - 1)]
    return {
        "frames": frames,
        "beyond": beyond,
        "pattern": template.pattern,
        "first": template.first,
        "broken": _unreadable(FolderSource(path, frames, template, flow), sorted(set(tried))),
        **identity_of(path, *map(os.stat, ends)),
    }


def identity_of(path: str, *files: os.stat_result) -> dict[str, Any]:
    """`file`, the same for all paths to one file or folder, and `size`, the total bytes of `files`."""
    status = os.stat(path)
    return {"file": f"{status.st_dev}:{status.st_ino}", "size": sum(file.st_size for file in files)}


def _unreadable(source: FolderSource, indices: list[int]) -> str:
    """The error of the first image that cannot be read, and how many more there are; "" if there is none."""
    reasons = []
    for index in indices:
        try:
            source.read([index])
        except MediaError as error:
            reasons.append(error.reason)
    more = f"; and {len(reasons) - 1} more" if len(reasons) > 1 else ""
    return reasons[0] + more if reasons else ""
