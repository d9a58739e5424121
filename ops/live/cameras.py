"""The sources of live predictions: a camera of this machine, an RTSP stream, or a file played at its own speed."""

import os
import re
import stat

from ops.common.errors import InputError
from ops.data.list_lines import names_protocol
from ops.live.camera import Camera
from ops.live.device_camera import DeviceCamera
from ops.live.video_stream import open_file, open_rtsp


def open_camera(source: str, speed: float = 1.0) -> Camera:
    """The camera named by `source`: a number or a device, an rtsp:// address, or a video file.

    A file is played at `speed` times its own speed. InputError if it cannot be opened, MediaError for a file.
    """
    if source.isdecimal():
        return DeviceCamera(source)
    if re.match(r"rtsps?://", source, re.IGNORECASE):
        return open_rtsp(source)
    if names_protocol(source):
        raise InputError(f"{source}: only rtsp:// and rtsps:// addresses, cameras and files can be opened")
    if _is_device(source):
        return DeviceCamera(source)
    return open_file(source, speed)


def _is_device(path: str) -> bool:
    try:
        return stat.S_ISCHR(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False
