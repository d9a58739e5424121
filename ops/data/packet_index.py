"""What is known of a video's packets: which of them gives which frame, and which must be decoded to see it."""

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

UNKNOWN = np.iinfo(np.int64).min
"""A time that the file does not say."""


@dataclass(frozen=True, eq=False)
class PacketIndex:
    """The packets of a video stream, in the order in which they are decoded, and its frames, in the order shown.

    Attributes:
        pts, dts: times of packets in ticks of the stream, int64 `[P]`, `UNKNOWN` where there are none.
        keys: which packets decoding can begin with, bool `[P]`.
        shown: which give a frame, bool `[P]`. The others hold a second field, or a picture that only others refer to,
            or were left out by an edit of the file.
        when: where packets stand in the order of presentation, int64 `[P]`: only the order of these numbers counts.
        length: number of frames, F.
        order: the packet of each frame, int64 `[F]`; None where only decoding from the start tells.
        from_keys: whether a frame can be decoded from the key frame before it.
        first: whether the first packet must be decoded too, for a fact that stands nowhere else.
        decoded: whether all this comes from decoding the whole video.
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
        """The number of the frame that each packet gives, as `order` has it."""
        return None if self.order is None else {packet: rank for rank, packet in enumerate(self.order.tolist())}

    def times(self, packet: int) -> tuple[int, int] | None:
        """When a packet is shown and when it is decoded; None where there is none of this number."""
        return (int(self.pts[packet]), int(self.dts[packet])) if packet < len(self.pts) else None

    def needed(self, frames: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which packets must be decoded for `frames`, the packets that give them: bool `[P]`.

        The last key frame before a frame is the last one decoded and shown no later than it: the pictures that an open
        group shows before its key frame need the group before. What follows a packet and gives no frame may be its
        second field.
        """
        keys = np.flatnonzero(self.keys)
        last = np.searchsorted(keys, frames, side="right") - 1
        while (late := (self.when[keys[last]] > self.when[frames]) & (last > 0)).any():
            last -= late
        giving = np.flatnonzero(self.shown)
        after = np.searchsorted(giving, frames, side="right")
        ends = np.append(giving, len(self.keys))[after] - 1
        count = len(self.keys)
        balance = np.bincount(keys[last], minlength=count) - np.bincount(ends, minlength=count)
        needed: NDArray[np.bool_] = np.cumsum(balance) + np.bincount(ends, minlength=count) > 0
        needed[0] |= self.first
        return needed
