"""A camera as a stream of frames, each yielded when it is captured.

A consumer that takes frames too late loses some, but never gets old ones.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Event
from typing import Any

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

RATES = 1.0, 240.0
"""The range of plausible frame rates; others are mistakes of drivers and headers."""


@dataclass(frozen=True)
class CapturedFrame:
    """A frame of a stream.

    Attributes:
        seconds: its time in the stream; the first frame is at 0.
        captured: when it was captured, by `time.monotonic`.
        image: decodes the frame and returns it, BGR uint8 `[h, w, 3]`, upright.
    """

    seconds: float
    captured: float
    image: Callable[[], Image]


class Camera(ABC):
    """A stream of frames. `rate` is its nominal frame rate, 0 if unknown; `lost` counts frames that nobody decoded."""

    name: str
    rate: float
    lost: int = 0

    @abstractmethod
    def frames(self, stop: Event) -> Iterator[CapturedFrame]:
        """The frames, each when it is captured, until the end of a file, or until `stop` is set.

        RunStoppedError if a camera vanishes, MediaError if nothing can be decoded.
        """

    @abstractmethod
    def close(self) -> None:
        """Release the camera."""


def believed_rate(rate: Any) -> float:
    """A frame rate as a float; 0 if it is missing or implausible."""
    value = float(rate or 0)
    return value if RATES[0] <= value <= RATES[1] else 0.0
