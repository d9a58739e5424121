"""A search in folders finds all files that the video reader accepts."""

from pathlib import Path

import av
import pytest

from ops.data.containers import FORMATS
from ops.data.file_search import VIDEO_EXTENSIONS, endings_there, find_videos

NO_VIDEOS = {"m4a", "m4b", "psp", "ism", "ismv", "isma", "f4a", "avif", "heic", "heif", "mk3d", "mka", "mks", "mpo",
             "wma", "oga", "opus", "spx", "hvf", "ra", "dif", "avc", "h26l", "str", "mjp"}  # fmt: skip
"""Extensions of audio, pictures and subtitles in the same containers, and extensions that are unusual for videos."""


@pytest.mark.parametrize(
    "ending",
    ["mts", "m2ts", "vob", "asf", "rm", "gif", "3g2", "m2v", "mxf", "dv", "wtv", "ogg",
     "mp4", "mkv", "webm", "avi", "mov", "ts", "mpg", "wmv", "flv", "3gp", "ogv"],
)  # fmt: skip
def test_videos_in_every_container_are_found(ending: str, tmp_path: Path) -> None:
    for name in (f"a.{ending}", f"b.{ending.upper()}", f"{ending}", f"c.{ending}.txt"):
        (tmp_path / name).touch()
    assert list(find_videos(tmp_path)) == [f"a.{ending}", f"b.{ending.upper()}"]


def test_all_extensions_of_supported_containers_are_found() -> None:
    """The search knows every extension that FFmpeg uses for the supported containers."""
    endings = {ending for name in FORMATS for ending in av.format.ContainerFormat(name, "r").extensions}
    assert {f".{ending}" for ending in endings - NO_VIDEOS} <= set(VIDEO_EXTENSIONS)


def test_other_extensions_in_a_folder_are_named(tmp_path: Path) -> None:
    assert endings_there(tmp_path) == ""
    for name in ("a.jpg", "b.JPG", "c.zip", "d"):
        (tmp_path / name).touch()
    assert endings_there(tmp_path) == " (there are .jpg, .zip, files without extension)"
