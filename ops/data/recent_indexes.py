"""The indexes of the videos that a process has read, for when it reads them again."""

from ops.data.index_format import decode_index, encode_index
from ops.data.video_index import VideoIndex

MOST_BYTES = 2**25
"""What a process keeps: the indexes of about 100,000 videos of ten seconds."""

_OVERHEAD = 400
"""Bytes that an entry takes besides, about."""


class RecentIndexes:
    """Indexes by path, as bytes; the oldest ones make room for new ones."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._most, self._size = most, 0
        self._kept: dict[str, tuple[str, bytes]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, path: str, stamp: str) -> VideoIndex | None:
        """The index of the video at `path` if it was kept in its state `stamp`."""
        kept = self._kept.get(path)
        return decode_index(kept[1]) if kept and kept[0] == stamp else None

    def put(self, path: str, stamp: str, index: VideoIndex) -> None:
        """Keep an index."""
        self._drop(path)
        data = encode_index(index)
        self._kept[path] = stamp, data
        self._size += len(data) + _OVERHEAD
        while self._size > self._most:
            self._drop(next(iter(self._kept)))

    def _drop(self, path: str) -> None:
        if path in self._kept:
            self._size -= len(self._kept.pop(path)[1]) + _OVERHEAD
