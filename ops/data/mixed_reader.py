"""The reader of tools that take both videos and frame folders."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ops.data.frame_source import FrameSource, Reader
from ops.data.frames import FrameReader
from ops.data.lists import Records


class MixedReader:
    """Opens folders as frames, which are counted, and everything else as videos."""

    kind = "videos"
    counts_in_pairs = False

    def __init__(self, videos: Reader, frames: FrameReader) -> None:
        self.videos, self.frames, self.decoder = videos, frames, videos.decoder

    def prepare(self, records: Records, root: str | Path) -> "MixedReader":
        """The reader itself: names of frames are detected in each folder."""
        return self

    def first_file(self, path: str) -> str:
        """See `Reader.first_file`."""
        return (self.frames if Path(path).is_dir() else self.videos).first_file(path)

    @contextmanager
    def open(self, path: str, num_frames: int) -> Iterator[FrameSource]:
        """Open the video or frame folder at `path`."""
        if Path(path).is_dir():
            with self.frames.open(path, self.frames.count(path)) as source:
                yield source
        else:
            with self.videos.open(path, num_frames) as source:
                yield source
