#!/usr/bin/env bash
# Extracting the frames of a video with a variable frame rate by "ffmpeg -i film.mp4 img_%05d.png".
#
# Expected: there are as many images as frames, image k is frame k, and "-vsync 0" makes sure of it.
# What happens: by default ffmpeg writes images at a constant rate. It repeats a frame that is shown for longer, and
#   drops one of two frames that are close together. So do imageio's ffmpeg reader and other programs that read raw
#   video from a pipe of ffmpeg. ffmpeg 9 has removed the option "-vsync 0", which many published scripts use: it
#   writes nothing and ends with an error. "-fps_mode passthrough" writes every frame once.
# Why it matters: phones, screen recorders and browsers write such films. A list made from the videos has other frame
#   counts than the folders, and frame numbers mean different moments for a model trained on images and tested on
#   videos, or for annotations by frame.
# Instead: ffmpeg -i film.mp4 -fps_mode passthrough img_%05d.png, and compare the number of images with a full decode.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    av==18.1.0 imageio==2.38.1 imageio-ffmpeg==0.8.1 numpy==2.4.6
cd "$work"
venv/bin/python - <<'EOF'
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import imageio
import imageio.v3 as iio
import imageio_ffmpeg
import numpy as np

COUNT = 60
TIMES = [40 * k + 200 * (k // 10) for k in range(COUNT)]  # ms: 25 frames a second, a pause after every ten


def draw(number):
    """The number in binary: eight columns, white for 1."""
    return np.repeat([[[255 * (number >> bit & 1)] * 3 for bit in range(8) for _ in range(16)]], 64, axis=0).astype(np.uint8)


def read(image):
    return sum((int(image[32, 16 * bit + 8].mean()) > 128) << bit for bit in range(8))


def extract(*options):
    for image in Path().glob("img_*.png"):
        image.unlink()
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-i", "film.mp4", *options, "img_%05d.png"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    numbers = [read(iio.imread(path, plugin="pyav", index=0)) for path in sorted(Path().glob("img_*.png"))]
    return numbers, done.stderr.strip().splitlines()


with av.open("film.mp4", "w") as container:
    stream = container.add_stream("libx264", rate=25)
    stream.width, stream.height, stream.pix_fmt = 128, 64, "yuv420p"
    stream.codec_context.time_base = Fraction(1, 1000)
    for number, time in enumerate(TIMES):
        frame = av.VideoFrame.from_ndarray(draw(number), format="rgb24")
        frame.pts, frame.time_base = time, Fraction(1, 1000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
with av.open("film.mp4") as container:
    assert [read(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)] == list(range(COUNT))

print(f"av {av.__version__}, imageio {imageio.__version__}, ffmpeg {imageio_ffmpeg.get_ffmpeg_version()}")
print(f"a film of {COUNT} frames, shown for 40 ms, every tenth for 240 ms")
results = {f"ffmpeg {' '.join(options)}": extract(*options) for options in ([], ["-vsync", "0"], ["-fps_mode", "passthrough"])}
results["imageio, plugin FFMPEG"] = [read(image) for image in iio.imiter("film.mp4", plugin="FFMPEG")], []
for name, (numbers, said) in results.items():
    first = next((k for k, number in enumerate(numbers) if number != k), None)
    print(f"    {name:<29} {len(numbers)} images, first other one at {first}", *said[:1])
default, removed, every_frame, by_imageio = (numbers for numbers, _ in results.values())
if default[:11] != [*range(10), 9] or len(default) <= COUNT or by_imageio != default:
    sys.exit("the behaviour has changed")
if removed or every_frame != list(range(COUNT)):
    sys.exit("the behaviour has changed")
EOF
