"""The readers of videos, by the name of what decodes."""

from ops.common.errors import InputError
from ops.data.dataset_configs import DatasetConfig
from ops.data.opencv_videos import OpenCVReader
from ops.data.videos import VideoReader

DECODERS: dict[str, type[VideoReader]] = {"pyav": VideoReader, "opencv": OpenCVReader}


def video_reader(config: DatasetConfig, modality: str, decoder: str = "pyav") -> VideoReader:
    """The reader of the videos of a dataset; `decoder` is a key of `DECODERS`.

    InputError for Flow, which videos do not hold.
    """
    if modality != "RGB":
        raise InputError(f"videos are RGB; {modality} is trained and tested from frames (main.py, test_models.py)")
    return DECODERS[decoder]()
