"""The indexes of the videos that this process has read, in case it reads them again."""

from ops.data.index_format import decode_index, encode_index
from ops.data.video_index import VideoIndex

MOST_BYTES = 2**25
"""The memory limit per process: enough for about 100,000 videos of ten seconds."""

_OVERHEAD = 400
"""Approximate bytes per entry in addition to the index."""


class RecentIndexes:
    """Indexes by path, stored as bytes; the oldest are dropped if the limit is reached."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._most, self._size = most, 0
        self._kept: dict[str, tuple[str, bytes]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, path: str, stamp: str) -> VideoIndex | None:
        """The index of the video at `path`, if stored for the state `stamp`."""
        kept = self._kept.get(path)
        return decode_index(kept[1]) if kept and kept[0] == stamp else None

    def put(self, path: str, stamp: str, index: VideoIndex) -> None:
        """Store an index."""
        self._drop(path)
        data = encode_index(index)
        self._kept[path] = stamp, data
        self._size += len(data) + _OVERHEAD
        while self._size > self._most:
            self._drop(next(iter(self._kept)))

    def _drop(self, path: str) -> None:
        if path in self._kept:
            self._size -= len(self._kept.pop(path)[1]) + _OVERHEAD
