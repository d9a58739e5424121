"""Counting the frames of a video in three ways, from fast to exact."""

import os
import re
import string
from typing import Any

from ops.common.errors import MediaError
from ops.data.frames import FrameTemplate, template_in
from ops.data.videos import header_count, open_video
from ops.prepare.write_index import index_entry


def probe_video(path: str, item: str, verify: str) -> dict[str, Any]:
    """Frames of the video at `path`: `num_frames`, `claimed` (by its header), and `index` if packets were read.

    If the header has no number of frames, packets are counted. MediaError if there is no frame.
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
    """Frames of the folder at `path`: `num_frames` (those before the first gap) and `claimed` (all that exist).

    `pattern` is the dataset's template (see `ops.data.frames.FrameTemplate`); other usual names are detected, unless
    it was `named` by `--frame_template`. MediaError if there are no frames.
    """
    _, num_frames, beyond = look_into(path, pattern, flow, named)
    return {"num_frames": num_frames, "claimed": num_frames + beyond}


def look_into(path: str, pattern: str, flow: bool, named: bool = False) -> tuple[FrameTemplate, int, int]:
    """The template of a frame folder, the number of frames up to the first gap, and the number after it.

    MediaError if there are no frames.
    """
    template = template_in(path, pattern, flow, named)
    there = frame_indices(os.listdir(path), path, template)
    frames = next(index for index in range(len(there) + 1) if index not in there)
    return template, frames, len(there) - frames


def frame_indices(names: list[str], folder: str, template: FrameTemplate) -> set[int]:
    """The complete frames, 0-based, among the files `names` of `folder`: flow needs both x and y."""
    by_axis: list[set[int]] = []
    for axis in template.axes:
        parts = string.Formatter().parse(template.pattern)
        fields = {"index": r"(\d+)", "axis": re.escape(axis), "video": r"\d+", None: ""}
        named = re.compile("".join(re.escape(text) + fields[field] for text, field, _, _ in parts))
        matches = [match for match in map(named.fullmatch, names) if match]
        numbered = {int(match[1]) - template.first: match[0] for match in matches}
        by_axis.append({index for index, name in numbered.items() if name == template.name(folder, index, axis)})
    return set.intersection(*by_axis)
