"""The reader of lists of videos, by PyAV."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av

from ops.common.storage import stamp_of
from ops.data.frame_source import FrameSource
from ops.data.index_file import IndexFile, index_file_of
from ops.data.lists import Records
from ops.data.recent_indexes import RecentIndexes
from ops.data.videos import VideoSource, open_video


class VideoReader:
    """Opens the videos of a list. A two-column line holds path and label: the count comes from the file.

    When a video is opened for the first time, all its packets are read, unless its index is in `indexes`. The index is
    kept for the next time.
    """

    kind = "videos"
    decoder = f"PyAV {av.__version__}"
    counts_in_pairs = False

    def __init__(self, indexes: IndexFile | None = None) -> None:
        self._indexes, self._recent = indexes, RecentIndexes()

    def prepare(self, records: Records, root: str | Path) -> "VideoReader":
        """A reader that uses the index file beside the list, if there is one."""
        return type(self)(IndexFile(index_file_of(records.source), root))

    def first_file(self, path: str) -> str:
        """The video itself."""
        return path

    @contextmanager
    def open(self, path: str, num_frames: int) -> Iterator[FrameSource]:
        """Open one video; `num_frames` of the list is not needed."""
        with self.open_video(path) as source:
            yield source

    @contextmanager
    def open_video(self, path: str) -> Iterator[VideoSource]:
        """Open one video by PyAV."""
        stamp = stamp_of(path)
        known = self._recent.get(path, stamp) or (self._indexes.get(path, stamp) if self._indexes else None)
        with open_video(path, known) as source:
            yield source
            if source.index is not known:
                self._recent.put(path, stamp, source.index)
