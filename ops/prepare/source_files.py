"""The files of a dataset: the videos or frame folders found for the names in its annotations."""

import functools
import itertools
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ops.common.errors import InputError
from ops.common.string_array import StringArray
from ops.data.dataset_configs import DatasetConfig
from ops.data.file_search import VIDEO_EXTENSIONS, find_frame_folders, find_videos
from ops.prepare.annotations import Split
from ops.prepare.count_frames import count_frames, probe_video
from ops.prepare.match_names import Matches, Rules, match, whole

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """Where files are, and how their frames are counted.

    root: the folder that paths in lists are relative to.
    kind: "videos", counted according to `verify` (see `ops.prepare.count_frames`), or "frames", folders whose images
        are named by the template of `config`.
    endings: file extensions of videos.
    listed: if given, the only files; the folder is not searched for others.
    """

    root: str
    kind: str
    config: DatasetConfig
    verify: str = "packets"
    flow: bool = False
    endings: Sequence[str] = VIDEO_EXTENSIONS
    listed: StringArray | None = None

    def find(self, under: str) -> StringArray:
        """All videos or frame folders below `root/under`, relative to `root`."""
        if self.listed is not None:
            return self.listed
        if self.kind == "videos":
            return find_videos(self.root, self.endings, under)
        return find_frame_folders(self.root, under)

    def stem(self, path: str) -> str:
        """A path as in annotations: videos without their extension."""
        return os.path.splitext(path)[0] if self.kind == "videos" else path

    @property
    def unit(self) -> str:
        """The name of one item, for messages."""
        return "video" if self.kind == "videos" else "frame folder"

    @property
    def pattern(self) -> str:
        """The template of the names of frames."""
        return self.config.flow if self.flow else self.config.rgb

    @property
    def named(self) -> bool:
        """Whether the template came from `--frame_template`, so that no other names are accepted."""
        return ("Flow" if self.flow else "RGB") in self.config.named

    @property
    def settings(self) -> dict[str, object]:
        """Everything that the frame counts depend on."""
        if self.kind == "videos":
            return {"count": "videos", "verify": self.verify}
        named: dict[str, object] = {"named": True} if self.named else {}  # left out, as in earlier versions
        return {"count": "frames", "pattern": self.pattern, "flow": self.flow, **named}

    def work(self) -> functools.partial[dict[str, object]]:
        """The function that counts the frames of one file or folder."""
        if self.kind == "videos":
            return functools.partial(probe_video, verify=self.verify)
        return functools.partial(count_frames, pattern=self.pattern, flow=self.flow, named=self.named)


@dataclass(frozen=True)
class Plan:
    """A list to be made: its split, the folder of its files below the source's root, and the path of the list.

    `also` is a second folder, which is searched first.
    """

    split: Split
    under: str
    path: Path
    also: str | None = None

    @property
    def folders(self) -> list[str]:
        """The folders to search for its files, in order."""
        return [self.under] if self.also is None else [self.also, self.under]


@dataclass(frozen=True)
class Located:
    """A plan and the files found for it: `files` has indices into `paths`.

    Its items are the files of each name, first the matched one and then the others.
    """

    plan: Plan
    paths: StringArray
    matches: Matches

    def __len__(self) -> int:
        return int((self.matches.files >= 0).sum()) + len(self.matches.spare)

    def __iter__(self) -> Iterator[str]:
        return (self.paths[file] for files in self.copies() for file in files)

    def copies(self) -> Iterator[list[int]]:
        """For each name the indices of its files, in the order in which they were found."""
        others: dict[int, list[int]] = {}
        for file, number in self.matches.spare:
            others.setdefault(number, []).append(file)
        for number, file in enumerate(self.matches.files.tolist()):
            yield [file, *others.get(number, [])] if file >= 0 else []


class Items:
    """The files of several lists, one list after the other: see `ops.prepare.jobs.Items`."""

    def __init__(self, parts: Sequence[Located]) -> None:
        self._parts = parts

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def __iter__(self) -> Iterator[str]:
        return (item for part in self._parts for item in part)


def locate(plans: Sequence[Plan], source: Source, rules: Rules) -> list[Located]:
    """Find the files of the names in `plans`; InputError if none is found.

    `rules` describe the names of files (see `ops.prepare.match_names.match`); without rules, names are paths.
    """
    trees = {
        folder: source.find(folder) for folder in dict.fromkeys(folder for plan in plans for folder in plan.folders)
    }
    parts = []
    for plan in plans:
        paths, names = trees[plan.under], plan.split.names
        if plan.also is not None:
            paths = StringArray(itertools.chain(trees[plan.also], paths))
        found = match(names, paths, rules, source.stem) if rules else match(names, paths, ((whole, whole),), whole)
        parts.append(Located(plan, paths, found))
    files = sum(map(len, trees.values()))
    used = sum(map(len, parts))
    if not used:
        name = next((name for plan in plans for name in plan.split.names), "…")
        raise InputError(
            f"{Path(source.root, plans[0].under)}: none of its {files} {source.unit}s has a name from the annotations, "
            f"such as {name}"
        )
    if used < files:
        log.info("%ss not in the annotations, left out: %d", source.unit, files - used)
    return parts
