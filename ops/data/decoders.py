"""The readers of videos, by the name of their decoder."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ops.common.errors import InputError
from ops.data.dataset_configs import DatasetConfig

if TYPE_CHECKING:
    from ops.data.pyav_videos import VideoReader


def _pyav() -> "VideoReader":
    from ops.data.pyav_videos import VideoReader

    return VideoReader()


def _opencv() -> "VideoReader":
    from ops.data.opencv_videos import OpenCVReader

    return OpenCVReader()


DECODERS: "dict[str, Callable[[], VideoReader]]" = {"pyav": _pyav, "opencv": _opencv}
"""Functions that create a reader, by the name of its decoder. A decoder is imported when it is first used."""


def video_reader(config: DatasetConfig, modality: str, decoder: str = "pyav") -> "VideoReader":
    """The reader of the videos of a dataset; `decoder` is a key of `DECODERS`.

    InputError for Flow, which cannot be read from videos.
    """
    if modality != "RGB":
        raise InputError(f"videos contain only RGB; for {modality} use frames (main.py, test_models.py)")
    return DECODERS[decoder]()
