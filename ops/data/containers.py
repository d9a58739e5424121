"""Opening video files with PyAV: only plain media files, and within limits on their size."""

import os
import stat
from typing import Any

import av

from ops.common.errors import MediaError
from ops.data.encryption import MOV, is_encrypted

FORMATS = (MOV, "matroska,webm", "avi", "mpegts", "mpeg", "mpegvideo", "flv", "asf", "ogg",
            "gif", "ivf", "h264", "hevc", "m4v", "nut", "rm", "dv", "mxf", "wtv", "yuv4mpegpipe")  # fmt: skip
"""FFmpeg's names of the formats that are opened: plain media files. Playlists, and other formats that refer to further
files or URLs, are not among them."""

MAX_PIXELS = 2**26
"""Pixels per frame, twice those of 8K video. Larger frames would only fill the memory."""

_ENCRYPTED = "the video is encrypted (DRM) and cannot be decoded: use an unencrypted copy"

_OPTIONS = {"format_whitelist": ",".join(FORMATS), "protocol_whitelist": "file", "blocksize": "16384"}

# PyAV 18 raises on tags that are not UTF-8 unless told otherwise; 19 keeps their bytes and has no such argument.
_TAGS: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}


def checked_path(path: str | os.PathLike[str]) -> str:
    """`path` as a string; MediaError unless it is a regular file."""
    path = os.fspath(path)
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise MediaError(path, error.strerror or "cannot be opened") from None
    except ValueError as error:
        raise MediaError(repr(path), str(error)) from None
    if not stat.S_ISREG(mode):
        raise MediaError(path, "not a regular file")
    return path


def open_container(
    path: str, strict: bool = False, known: bool = False, edits: bool = True
) -> "av.container.InputContainer":
    """The container of the file at `path`, to be closed; MediaError if it is not a video.

    With `strict`, pictures with errors raise an error and are not concealed. A file that is `known` was read before,
    and is not encrypted. Without `edits`, the edit list of an MP4 file is not applied packet by packet.
    """
    try:
        container: av.container.InputContainer = av.open(
            "file:" + path, options=_OPTIONS | ({} if edits else {"advanced_editlist": "0"}), **_TAGS
        )
    except (av.error.FFmpegError, ValueError) as error:
        raise MediaError(path, reason_of(error)) from None
    if not container.streams.video:
        container.close()
        raise MediaError(path, "has no video stream")
    try:
        encrypted = not known and is_encrypted(container, path)
    except OSError as error:
        container.close()
        raise MediaError(path, reason_of(error)) from None
    if encrypted:
        container.close()
        raise MediaError(path, _ENCRYPTED)
    codec = container.streams.video[0].codec_context
    if codec is None:  # refused before anything is decoded: some PyAV releases end the process there
        container.close()
        raise MediaError(path, f"not a readable video (no decoder in PyAV {av.__version__}: re-encode it as H.264, or "
                               "fetch it again if its header was cut off)")  # fmt: skip
    if codec.width * codec.height > MAX_PIXELS:
        container.close()
        raise MediaError(path, f"frames of {codec.width} x {codec.height}, more than {MAX_PIXELS} pixels each")
    codec.thread_count = 1
    codec.options = {"max_pixels": str(MAX_PIXELS)}  # the header can be wrong, and the size can change within the file
    if strict:
        codec.options |= {"err_detect": "explode"}
    return container


def reason_of(error: Exception) -> str:
    """FFmpeg's error for a file, as a `MediaError`."""
    text = getattr(error, "strerror", None) or str(error)
    return f"not a readable video ({text})"
