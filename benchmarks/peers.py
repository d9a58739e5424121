"""Other libraries that read frames of videos, for comparison with the readers if they are installed.

torchcodec also needs FFmpeg's libraries, such as Debian's package ffmpeg. decord and eva-decord have the same import
name, so only one of them can be installed. Each uses one thread, as the readers do.
"""

import importlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ops.common.errors import MediaError

Read = Callable[[str, NDArray[np.int64]], list[torch.Tensor]]
"""Opens a video and reads the frames at sorted indices, uint8 `[3, h, w]` each."""


def _torchcodec(seek_mode: str) -> Read:
    importlib.import_module("torchcodec")  # also if its submodule is already imported
    decoders = importlib.import_module("torchcodec.decoders")

    def read(path: str, indices: NDArray[np.int64]) -> list[torch.Tensor]:
        decoder = decoders.VideoDecoder(path, num_ffmpeg_threads=1, seek_mode=seek_mode)
        return list(decoder.get_frames_at(indices.tolist()).data)

    return _reported(read, RuntimeError, ValueError, IndexError)


def _decord() -> Read:
    decord: Any = importlib.import_module("decord")

    def read(path: str, indices: NDArray[np.int64]) -> list[torch.Tensor]:
        frames = decord.VideoReader(path, num_threads=1).get_batch(indices.tolist()).asnumpy()
        return list(torch.from_numpy(frames).permute(0, 3, 1, 2))

    return _reported(read, RuntimeError, ValueError, IndexError, decord.DECORDError)


PEERS: dict[str, tuple[str, Callable[[], Read]]] = {
    "torchcodec, exact": ("torchcodec", lambda: _torchcodec("exact")),
    "torchcodec, approximate": ("torchcodec", lambda: _torchcodec("approximate")),
    "decord": ("decord", _decord),
}
"""For each name, the package and the function that makes its reader."""


def installed_peers() -> tuple[dict[str, Read], dict[str, str]]:
    """The reading functions by the name of the peer, and by package, the reasons why others cannot be used."""
    found, missing = {}, {}
    for name, (package, make) in PEERS.items():
        try:
            found[name] = make()
        except (ImportError, OSError, RuntimeError) as error:  # the last two if FFmpeg's libraries are missing
            missing[package] = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return found, missing


def versions(peers: dict[str, Read]) -> Iterator[str]:
    """The packages of `peers` with their versions."""
    for package in dict.fromkeys(PEERS[name][0] for name in peers):
        yield f"{package} {getattr(importlib.import_module(package), '__version__', 'of unknown version')}"


def _reported(read: Read, *errors: type[Exception]) -> Read:
    """`read`, whose `errors` become MediaError."""

    def reported(path: str, indices: NDArray[np.int64]) -> list[torch.Tensor]:
        try:
            return read(path, indices)
        except errors as error:
            raise MediaError(path, next(iter(str(error).splitlines()), type(error).__name__)) from error

    return reported
