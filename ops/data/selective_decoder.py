"""Decoding only what certain frames of a video need, in a container that stays open from one read to the next."""

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
    """The decoder of the file at `path`, with errors reported rather than mended.

    Args:
        seeks: whether packets may be sought, in containers where that is exact.
        known: the index of the file, where it was read before.
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
        """What all packets tell; MediaError as `ops.data.video_index.read_index` has it."""
        container = self._open()
        try:
            index = read_index(container, self._path)
        except BaseException:
            container.close()
            raise
        self._put_back(container)
        return index

    def decode(self, index: PacketIndex, wanted: NDArray[np.int64]) -> Iterator[Decoded]:
        """What comes out when the packets are decoded that the frames in the packets `wanted` need.

        It ends early where the file cannot be read on. SeekError where packets are not those of `index`.
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
        """Keep a container that was read for the next time, if it can be sought in, else close it."""
        if self._idle is None and self._seeks and can_seek(container):
            self._idle = container
        else:
            container.close()
