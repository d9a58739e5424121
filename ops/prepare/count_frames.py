"""How many frames a video has, at three prices."""

import os
import re
import string
from typing import Any

from ops.common.errors import MediaError
from ops.data.frames import FrameTemplate, template_in
from ops.data.videos import header_count, open_video
from ops.prepare.write_index import index_entry


def probe_video(path: str, item: str, verify: str) -> dict[str, Any]:
    """Frames of the video at `path`: `num_frames`, `claimed`, those that it promises, and `index` if it was read.

    Where the header does not tell how many frames there are, packets do. MediaError where there is no frame.
    """
    claimed = num_frames = header_count(path)
    index: dict[str, str] = {}
    if verify != "header" or not claimed:
        with open_video(path) as source:
            claimed = source.claimed
            num_frames = source.decodable() if verify == "decode" else len(source)
            index = index_entry(source.index)
    if not num_frames:
        raise MediaError(path, "no frame of it decodes")
    return {"num_frames": num_frames, "claimed": claimed, **index}


def count_frames(path: str, item: str, pattern: str, flow: bool, named: bool = False) -> dict[str, Any]:
    """Frames of the folder at `path`: `num_frames`, those before the first gap, and `claimed`, all that are there.

    `pattern` is the dataset's way to name them (see `ops.data.frames.FrameTemplate`); other usual ones are found,
    unless it is `named` by `--frame_template`. MediaError where there is none.
    """
    _, num_frames, beyond = look_into(path, pattern, flow, named)
    return {"num_frames": num_frames, "claimed": num_frames + beyond}


def look_into(path: str, pattern: str, flow: bool, named: bool = False) -> tuple[FrameTemplate, int, int]:
    """Of a frame folder: how its files are named, how many frames it holds up to the first gap, and how many after it.

    MediaError where there is none.
    """
    template = template_in(path, pattern, flow, named)
    there = frame_indices(os.listdir(path), path, template)
    frames = next(index for index in range(len(there) + 1) if index not in there)
    return template, frames, len(there) - frames


def frame_indices(names: list[str], folder: str, template: FrameTemplate) -> set[int]:
    """The frames, 0-based, that are whole among the files `names` of `folder`: with flow, both x and y."""
    by_axis: list[set[int]] = []
    for axis in template.axes:
        parts = string.Formatter().parse(template.pattern)
        fields = {"index": r"(\d+)", "axis": re.escape(axis), "video": r"\d+", None: ""}
        named = re.compile("".join(re.escape(text) + fields[field] for text, field, _, _ in parts))
        matches = [match for match in map(named.fullmatch, names) if match]
        numbered = {int(match[1]) - template.first: match[0] for match in matches}
        by_axis.append({index for index, name in numbered.items() if name == template.name(folder, index, axis)})
    return set.intersection(*by_axis)
