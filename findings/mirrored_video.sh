#!/usr/bin/env bash
# Selfie videos: an MP4 whose display matrix mirrors the picture.
#
# Expected: readers apply the display matrix or ignore it; in both cases people are upright.
# What happens: OpenCV, decord and PyAV's frame.rotation ask FFmpeg for a single angle, which cannot describe a mirror
#   image. For a matrix that swaps left and right, FFmpeg returns 180 degrees, so OpenCV and decord turn the film
#   upside down, as does code that rotates by frame.rotation. For a matrix that swaps top and bottom it returns 0, and
#   nothing happens. Only the ffmpeg program (imageio-ffmpeg, moviepy) mirrors. PyAV's pixels are as stored.
# Why it matters: front cameras and editors write such matrices. Upside-down films lower accuracy without an error,
#   and whether a film is mirrored depends on the reader, which swaps "left" and "right" classes.
# Instead: read all nine numbers (the DISPLAYMATRIX side data) and rotate and mirror by their signs, or re-encode with
#   ffmpeg.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    av==18.1.0 decord==0.6.0 opencv-python-headless==5.0.0.93 imageio==2.38.1 imageio-ffmpeg==0.8.1 numpy==2.4.6
cd "$work"
venv/bin/python - <<'EOF'
import struct
import sys
from pathlib import Path

import av
import cv2
import decord
import imageio.v3 as iio
import imageio_ffmpeg
import numpy as np

MATRICES = {  # a, b, c, d of x' = ax + cy, y' = bx + dy
    "as stored": (1, 0, 0, 1),
    "turned by 180 degrees": (-1, 0, 0, -1),
    "left and right swapped": (-1, 0, 0, 1),
    "top and bottom swapped": (1, 0, 0, -1),
}
READERS = {
    "OpenCV": lambda path: cv2.VideoCapture(path).read()[1][:, :, ::-1],
    "decord": lambda path: decord.VideoReader(path)[0].asnumpy(),
    "ffmpeg (imageio)": lambda path: next(iter(iio.imiter(path, plugin="FFMPEG"))),
    "PyAV": lambda path: next(av.open(path).decode(video=0)).to_ndarray(format="rgb24"),
}


def corners(image):
    """The colours of the four quarters, row by row: "RG/BW" as stored."""
    height, width = image.shape[:2]
    names = {(1, 0, 0): "R", (0, 1, 0): "G", (0, 0, 1): "B", (1, 1, 1): "W"}
    quarters = [image[height * y // 4, width * x // 4] > 128 for y in (1, 3) for x in (1, 3)]
    text = "".join(names[tuple(map(int, quarter))] for quarter in quarters)
    return f"{text[:2]}/{text[2:]}"


def write(path, matrix):
    picture = np.zeros((64, 128, 3), np.uint8)
    picture[:32, :64], picture[:32, 64:], picture[32:, :64], picture[32:, 64:] = np.vstack([np.eye(3), [1, 1, 1]]) * 255
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 64, "yuv420p"
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    data = bytearray(Path(path).read_bytes())
    a, b, c, d = (number << 16 for number in matrix)
    place = data.find(b"tkhd") + 44
    shift = 128 << 16 if a < 0 else 0, 64 << 16 if d < 0 else 0
    data[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, *shift, 1 << 30)
    Path(path).write_bytes(data)


print(f"av {av.__version__}, opencv {cv2.__version__}, decord {decord.__version__},", end=" ")
print(f"ffmpeg {imageio_ffmpeg.get_ffmpeg_version()}")
seen = {}
for name, matrix in MATRICES.items():
    write("film.mp4", matrix)
    seen[name] = [corners(reader("film.mp4")) for reader in READERS.values()]
    rotation = next(av.open("film.mp4").decode(video=0)).rotation
    print(f"{name:<23}", ", ".join(f"{reader} {text}" for reader, text in zip(READERS, seen[name], strict=True)), end="")
    print(f", frame.rotation {rotation}")
    seen[name].append(abs(rotation))

upright, turned = "RG/BW", "WB/GR"
expected = [[upright] * 4 + [0], [turned] * 3 + [upright, 180], [turned] * 2 + ["GR/WB", upright, 180]]
if list(seen.values()) != [*expected, [upright] * 2 + ["BW/RG", upright, 0]]:
    sys.exit("the behaviour has changed")
EOF
