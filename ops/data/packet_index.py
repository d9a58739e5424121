"""The packets of a video: which frame each of them gives, and which must be decoded for a given frame."""

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

UNKNOWN = np.iinfo(np.int64).min
"""A time that is missing in the file."""


@dataclass(frozen=True, eq=False)
class PacketIndex:
    """The packets of a video stream, in the order in which they are decoded, and its frames, in the order shown.

    Attributes:
        pts, dts: presentation and decoding times of packets in ticks of the stream, int64 `[P]`; `UNKNOWN` if missing.
        keys: the packets where decoding can start, bool `[P]`.
        shown: the packets that give a frame, bool `[P]`. The others contain a second field or a picture that is only
            used as a reference, or are cut out by the edit list of the file.
        when: position of each packet in presentation order, int64 `[P]`; only the order of these numbers matters.
        length: number of frames, F.
        order: the packet of each frame, int64 `[F]`; None if it is only known after decoding from the start.
        from_keys: whether a frame can be decoded starting at the key frame before it.
        first: whether the first packet must always be decoded, because it contains a header that no other packet has.
        decoded: whether the index was made by decoding the whole video.
    """

    pts: NDArray[np.int64]
    dts: NDArray[np.int64]
    keys: NDArray[np.bool_]
    shown: NDArray[np.bool_]
    when: NDArray[np.int64]
    length: int
    order: NDArray[np.int64] | None
    from_keys: bool
    first: bool
    decoded: bool

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PacketIndex) and all(
            np.array_equal(getattr(self, field.name), getattr(other, field.name)) for field in fields(self)
        )

    __hash__ = None  # type: ignore[assignment]  # arrays have none

    @cached_property
    def ranks(self) -> dict[int | None, int] | None:
        """The frame number of each packet that gives a frame, according to `order`."""
        return None if self.order is None else {packet: rank for rank, packet in enumerate(self.order.tolist())}

    def times(self, packet: int) -> tuple[int, int] | None:
        """Presentation and decoding time of a packet; None if there is no packet with this number."""
        return (int(self.pts[packet]), int(self.dts[packet])) if packet < len(self.pts) else None

    def needed(self, frames: NDArray[np.int64]) -> NDArray[np.bool_]:
        """The packets that must be decoded for the packets `frames`: bool `[P]`.

        Decoding starts at the last key frame that is both decoded and shown no later than the frame: in an open group
        of pictures, those shown before its key frame refer to the previous group. Packets without a frame are decoded
        with the packet before them, because they may be its second field.
        """
        keys = np.flatnonzero(self.keys)
        last = np.searchsorted(keys, frames, side="right") - 1
        while (late := (self.when[keys[last]] > self.when[frames]) & (last > 0)).any():
            last -= late
        count = len(self.keys)
        giving = np.flatnonzero(self.shown)
        after = np.searchsorted(giving, frames, side="right")
        ends = np.where(after < len(giving), giving[np.minimum(after, len(giving) - 1)], count)
        needed = np.zeros(count, bool)
        for start, end in zip(keys[last].tolist(), ends.tolist(), strict=True):
            needed[start:end] = True
        needed[0] |= self.first
        return needed
