#!/usr/bin/env bash
# Files with two video tracks: two lenses of a dash cam or action cam, a preview beside the film, a screen and a face.
#
# Expected: by default every reader selects the first track, or the one that is marked as default.
# What happens: OpenCV and PyAV's streams.video[0] select the first track, no matter which one is marked. PyAV's
#   streams.best("video") selects the marked one. So does the ffmpeg program (imageio, extracted frames), but if both
#   are marked it selects the larger one. decord selects the larger one in MP4, even if the other one is marked, and
#   the first one in MKV. The readers do not all agree for any of the three ways of marking.
# Why it matters: frames extracted by ffmpeg and videos decoded by decord or OpenCV can be two different films with
#   the same list and label. Nothing is logged.
# Instead: check for a second track when a dataset is made ("ffprobe -show_streams", or len(container.streams.video)
#   without cover pictures), and keep one: ffmpeg -i a.mp4 -map 0:v:0 -c copy b.mp4.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    av==18.1.0 decord==0.6.0 opencv-python-headless==5.0.0.93 imageio==2.38.1 imageio-ffmpeg==0.8.1 numpy==2.4.6
cd "$work"
venv/bin/python - <<'EOF'
import subprocess
import sys

import av
import cv2
import decord
import imageio
import imageio.v3 as iio
import imageio_ffmpeg
import numpy as np


def best(path):
    with av.open(path) as container:
        return next(container.decode(container.streams.best("video"))).to_ndarray(format="rgb24")


READERS = {
    "OpenCV": lambda path: cv2.VideoCapture(path).read()[1][:, :, ::-1],
    "PyAV [0]": lambda path: next(av.open(path).decode(video=0)).to_ndarray(format="rgb24"),
    "PyAV best": best,
    "decord": lambda path: decord.VideoReader(path)[0].asnumpy(),
    "imageio/ffmpeg": lambda path: next(iter(iio.imiter(path, plugin="FFMPEG"))),
}
FILMS = {  # container and which of the tracks are marked as default: the small red one is first, the large blue second
    "MP4, first marked": ("a.mp4", ("default", "0")),
    "MP4, second marked": ("b.mp4", ("0", "default")),
    "MKV, both marked": ("c.mkv", ("default", "default")),
}
EXPECTED = {
    "MP4, first marked": ["red", "red", "red", "blue", "red"],
    "MP4, second marked": ["red", "red", "blue", "blue", "blue"],
    "MKV, both marked": ["red", "red", "red", "red", "blue"],
}


def write(path, colour, size):
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for _ in range(20):
            picture = np.full((size[1], size[0], 3), colour, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


print(f"av {av.__version__}, decord {decord.__version__}, opencv {cv2.__version__}, imageio {imageio.__version__},", end=" ")
print(f"ffmpeg {imageio_ffmpeg.get_ffmpeg_version()}")
write("red.mp4", (200, 0, 0), (128, 64))
write("blue.mp4", (0, 0, 200), (256, 128))
found = {}
for name, (path, marks) in FILMS.items():
    tracks = ["-i", "red.mp4", "-i", "blue.mp4", "-map", "0:v", "-map", "1:v", "-c", "copy"]
    marked = [text for track, mark in enumerate(marks) for text in (f"-disposition:v:{track}", mark)]
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", *tracks, *marked, path], check=True)
    found[name] = ["red" if reader(path)[..., 0].mean() > 100 else "blue" for reader in READERS.values()]
    print(f"    {name:<19}", ", ".join(f"{reader} {colour}" for reader, colour in zip(READERS, found[name], strict=True)))
sys.exit("the behaviour has changed" if found != EXPECTED else 0)
EOF
