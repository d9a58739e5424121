#!/usr/bin/env bash
# Portrait videos of phones (stored in landscape, rotated by the display matrix), read by moviepy with the newest
#   ffmpeg.
#
# Expected: VideoFileClip returns upright frames of portrait size, with every ffmpeg program that imageio-ffmpeg
#   contains.
# What happens: moviepy finds the rotation in the text that ffmpeg prints. imageio-ffmpeg 0.8.1 contains ffmpeg 9,
#   which prints "Display Matrix" instead of "displaymatrix", so moviepy 2.2.1 uses the stored size as that of the
#   film. ffmpeg still rotates the film and then scales it to that size: 64 x 128 becomes 128 x 64, and a square
#   becomes four times as wide as tall.
#   With imageio-ffmpeg 0.6.0 (ffmpeg 7) the size is right. Nothing is raised or logged.
# Why it matters: moviepy pins neither version, so a fresh environment gets this pair. Portrait clips that are cut or
#   resized with it are squeezed permanently, but only those made after the upgrade.
# Instead: pin imageio-ffmpeg==0.6.0 next to moviepy, or compare clip.size with the size that another reader reports.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
for version in 0.6.0 0.8.1; do
    "${PYTHON:-python3}" -m venv "venv-$version"
    "venv-$version/bin/python" -m pip install --quiet --disable-pip-version-check \
        moviepy==2.2.1 "imageio-ffmpeg==$version" av==18.1.0 numpy==2.4.6
    "venv-$version/bin/python" - "$version" <<'EOF'
import struct
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import av
import imageio_ffmpeg
import moviepy
import numpy as np

WIDTH, HEIGHT, SIDE = 128, 64, 32
picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
picture[16 : 16 + SIDE, 48 : 48 + SIDE] = 255  # a square in the middle
with av.open("film.mp4", "w") as container:
    stream = container.add_stream("libx264", rate=25)
    stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    for _ in range(10):
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
    container.mux(stream.encode(None))
data = bytearray(Path("film.mp4").read_bytes())
place = data.find(b"tkhd") + 44
data[place : place + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, HEIGHT << 16, 0, 1 << 30)  # a quarter turn
Path("film.mp4").write_bytes(data)

command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-i", "film.mp4"]
said = subprocess.run(command, capture_output=True, text=True).stderr
words = [line.strip() for line in said.splitlines() if "rotat" in line or "matrix" in line.lower()]
clip = moviepy.VideoFileClip("film.mp4")
frame = clip.get_frame(0)
white = frame.mean(axis=2) > 128
wide, tall = int(white.any(axis=0).sum()), int(white.any(axis=1).sum())
print(f"moviepy {version('moviepy')}, imageio-ffmpeg {version('imageio-ffmpeg')},", end=" ")
print(f"ffmpeg {imageio_ffmpeg.get_ffmpeg_version()}, which prints {words}")
print(f"    size {clip.size}, rotation {clip.rotation}; the square of {SIDE} x {SIDE} is {wide} x {tall} in the frame")
squeezed = sys.argv[1] == "0.8.1"
if list(clip.size) != ([WIDTH, HEIGHT] if squeezed else [HEIGHT, WIDTH]) or (wide > 3 * tall) != squeezed:
    sys.exit("the behaviour has changed")
EOF
done
