"""From a line of a list to a clip.

`lists` and `open_lists` read lists, `sampling` chooses frames, `frames` and `videos` are the two readers, `transforms`
crops and resizes, and `datasets` and `dataloaders` combine them; `dataset_configs` describes each dataset.
"""

from typing import TYPE_CHECKING

from ops.common.lazy import lazy_names

if TYPE_CHECKING:
    from ops.data.decoders import DECODERS as DECODERS
    from ops.data.decoders import video_reader as video_reader
    from ops.data.frames import common_template as common_template
    from ops.data.frames import frame_reader as frame_reader
    from ops.data.open_lists import check_lists_exist as check_lists_exist
    from ops.data.videos import open_video as open_video

__getattr__ = lazy_names(
    __name__,
    {
        "common_template": "frames",
        "frame_reader": "frames",
        "DECODERS": "decoders",
        "video_reader": "decoders",
        "check_lists_exist": "open_lists",
        "open_video": "videos",
    },
)
