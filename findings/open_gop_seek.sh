#!/usr/bin/env bash
# Frames near a key frame of HEVC as written by x265, or of H.264 with open GOPs or intra refresh.
#
# Expected: a reader that seeks to the key frame before frame k and decodes from there returns frame k, or an error.
# What happens: x265 uses open groups of pictures by default. Frames that are shown just before a key frame but stored
#   after it need the previous group, so a decoder that starts at the key frame drops them. decord and imageio count
#   as if it had not dropped them, and silently return later frames near each key frame. With x264's intra refresh
#   (live streams, cameras), the picture of some key frames is complete only a few frames later, and these frames are
#   dropped, too. OpenCV is right.
# Why it matters: the frame at index k depends on how the reader got there. Reading forwards is right, so a test that
#   loops over a file passes, but training reads clips at random places.
# Instead: start one key frame earlier, decode, and compare the time of each frame with the wanted one; or encode with
#   -x265-params open-gop=0 (x264: no open-gop, no intra-refresh).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    av==18.1.0 decord==0.6.0 imageio==2.38.1 opencv-python-headless==5.0.0.93 numpy==2.4.6
cd "$work"
OPENCV_FFMPEG_LOGLEVEL=-8 venv/bin/python - <<'EOF'
import sys

import av
import cv2
import decord
import imageio
import imageio.v3 as iio
import numpy as np

COUNT = 60
FILMS = {
    "HEVC, x265's defaults": ("libx265", "keyint=30:log-level=none"),
    "HEVC, closed groups": ("libx265", "keyint=30:open-gop=0:log-level=none"),
    "H.264, open groups": ("libx264", "keyint=30:scenecut=0:open-gop=1:bframes=3:b-adapt=0"),
    "H.264, intra refresh": ("libx264", "keyint=30:intra-refresh=1:bframes=0"),
    "H.264, x264's defaults": ("libx264", "keyint=30"),
}

decord.logging.set_level(decord.logging.QUIET)


def draw(number):
    """The number in binary: eight columns, white for 1."""
    return np.repeat([[[255 * (number >> bit & 1)] * 3 for bit in range(8) for _ in range(16)]], 64, axis=0).astype(np.uint8)


def read(image):
    return sum((int(image[32, 16 * bit + 8].mean()) > 128) << bit for bit in range(8))


def opencv(path, index):
    capture = cv2.VideoCapture(path)
    capture.set(cv2.CAP_PROP_POS_FRAMES, index)
    return capture.read()[1]


print(f"av {av.__version__}, decord {decord.__version__}, imageio {imageio.__version__}, opencv {cv2.__version__}")
found = {}
for name, (codec, settings) in FILMS.items():
    with av.open("film.mp4", "w") as container:
        stream = container.add_stream(codec, rate=25, options={f"{codec[3:]}-params": settings})
        stream.width, stream.height, stream.pix_fmt = 128, 64, "yuv420p"
        for number in range(COUNT):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(draw(number), format="rgb24")))
        container.mux(stream.encode(None))
    with av.open("film.mp4") as container:
        assert [read(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)] == list(range(COUNT))
    forwards, backwards = (decord.VideoReader("film.mp4", num_threads=1) for _ in range(2))
    assert [read(forwards[k].asnumpy()) for k in range(COUNT)] == list(range(COUNT))
    readings = {
        "decord, backwards": [read(backwards[k].asnumpy()) for k in reversed(range(COUNT))][::-1],
        "imageio, index=k": [read(iio.imread("film.mp4", index=k, plugin="pyav")) for k in range(COUNT)],
        "OpenCV, POS_FRAMES": [read(opencv("film.mp4", k)) for k in range(COUNT)],
    }
    print(f"{name}: every reader is right forwards")
    for reader, numbers in readings.items():
        wrong = [(k, number) for k, number in enumerate(numbers) if number != k]
        found[name, reader] = bool(wrong)
        print(f"    {reader:<20} {len(wrong)} of {COUNT} frames are others", *(f"{k}->{n}" for k, n in wrong))

wrong_ones = {(name, reader) for (name, reader), wrong in found.items() if wrong}
films = ("HEVC, x265's defaults", "H.264, open groups", "H.264, intra refresh")
if wrong_ones != {(film, reader) for film in films for reader in ("decord, backwards", "imageio, index=k")}:
    sys.exit("the behaviour has changed")
EOF
