"""How many frames a video has, at three prices."""

from typing import Any

from ops.errors import MediaError
from ops.videos import header_count, open_video

VERIFY = ("header", "packets", "decode")
"""What is looked at: the header's claim; every packet (exact on intact files); every decoded frame (the truth)."""


def probe_video(path: str, item: str, verify: str) -> dict[str, Any]:
    """Frames of the video at `path`: `num_frames`, and `claimed`, what its header says (0: nothing).

    A header that says nothing is not enough: then packets are counted. MediaError where there is no frame.
    """
    claimed = header_count(path)
    num_frames = claimed
    if verify != "header" or not claimed:
        with open_video(path) as source:
            num_frames = source.decodable() if verify == "decode" else len(source)
    if not num_frames:
        raise MediaError(path, "no frame of it decodes")
    return {"num_frames": num_frames, "claimed": claimed}
