"""Decoding only what certain frames of a video need; the container stays open between reads."""

from collections.abc import Iterator

import av
import numpy as np
from numpy.typing import NDArray

from ops.data.containers import open_container
from ops.data.decoding import Decoded, decode_needed
from ops.data.numbered_packets import NumberedPackets, can_seek
from ops.data.packet_index import PacketIndex
from ops.data.packet_scan import READ_ERRORS
from ops.data.video_index import VideoIndex, read_index


class SelectiveDecoder:
    """The decoder of the file at `path`, which reports errors instead of concealing them.

    Args:
        seeks: whether to seek, in containers where this is exact.
        known: the index of the file, if it was read before.
    """

    def __init__(self, path: str, seeks: bool = True, known: VideoIndex | None = None) -> None:
        self._path, self._seeks, self._known = path, seeks, known
        self._idle: av.container.InputContainer | None = None

    def close(self) -> None:
        """Close the file."""
        if self._idle:
            self._idle.close()
        self._idle = None

    def read_index(self) -> VideoIndex:
        """See `ops.data.video_index.read_index`."""
        container = self._open()
        try:
            index = read_index(container, self._path)
        except BaseException:
            container.close()
            raise
        self._put_back(container)
        return index

    def decode(self, index: PacketIndex, wanted: NDArray[np.int64]) -> Iterator[Decoded]:
        """All frames that result from decoding what the frames in the packets `wanted` need.

        It ends early if the file cannot be read any further. SeekError if the packets differ from those of `index`.
        """
        container, self._idle = self._idle, None
        is_new = container is None
        container = container or self._open()
        try:
            packets = NumberedPackets(container, index, is_new, self._seeks and can_seek(container))
            yield from decode_needed(packets, container.streams.video[0].codec_context, index, wanted)
        except READ_ERRORS:
            return
        finally:
            self._put_back(container)

    def _open(self) -> "av.container.InputContainer":
        known = self._known
        return open_container(self._path, strict=True, known=known is not None, edits=not (known and known.plain_edits))

    def _put_back(self, container: "av.container.InputContainer") -> None:
        """Keep a used container for the next read if seeking in it is exact; otherwise close it."""
        if self._idle is None and self._seeks and can_seek(container):
            self._idle = container
        else:
            container.close()
