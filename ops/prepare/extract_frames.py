"""Extracting the frames of a video as images in a folder of its own."""

import os
from dataclasses import dataclass
from typing import Any

from ops.common.errors import MediaError
from ops.common.storage import stamp_of
from ops.data.videos import open_video
from ops.prepare.image_folders import resize_image, write_image
from ops.prepare.options import Size
from ops.prepare.output_paths import image_folder, whole_folder


@dataclass(frozen=True)
class FrameOptions:
    """Which frames are written and how: every `interval`-th from the first, resized to `size` (None: unchanged).

    `extension` has no dot, `quality` is for jpg; folders have the video's name or, with `keep_dirs`, its relative path.
    """

    extension: str = "jpg"
    interval: int = 1
    size: Size | None = None
    quality: int = 95
    keep_dirs: bool = False

    @property
    def template(self) -> str:
        """The file names, from index 1, as an `ops.data.frames.FrameTemplate`."""
        return "img_{index:05d}." + self.extension


def extract_video(path: str, item: str, out: str, options: FrameOptions) -> dict[str, Any]:
    """Write the frames of the video at `path`, whose item is `item`, as images to a folder in `out`.

    Only one frame is in memory at a time. Returns `frames` (written), `decoded`, `claimed` (by header and packets) and
    `made`, the folder's `stamp_of`. MediaError if no frame can be decoded; then no folder is created.
    """
    name = image_folder(item, options.keep_dirs)
    decoded = written = 0
    with open_video(path) as source, whole_folder(out, name, options.template) as folder:
        for image in source.images():
            if decoded % options.interval == 0:
                written += 1
                sized = resize_image(image, options.size) if options.size else image
                write_image(f"{folder}/{options.template.format(index=written)}", sized, options.quality)
            decoded += 1
        if not decoded:
            raise MediaError(path, "none of its frames can be decoded")
        claimed, stood_in = source.claimed, source.stood_in
    made = stamp_of(os.path.join(out, name))
    return {"frames": written, "decoded": decoded - stood_in, "claimed": claimed, "made": made}
