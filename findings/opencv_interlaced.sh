#!/usr/bin/env bash
# Interlaced H.264 (TV, camcorders), read by OpenCV 4.12 and newer versions.
#
# Expected: cv2.VideoCapture.read() returns the picture, or False.
# What happens: since 4.13, FFmpeg refuses the conversion to BGR for frames that are marked as interlaced. read()
#   still returns True, with an array that was never written to: it holds whatever was in that memory before, or is
#   black. The only sign is a line on standard error. 4.12 returns the picture.
# Why it matters: after an upgrade, all such videos become noise with a label, and no reader counts them as broken.
# Instead: stay at 4.12 for such data, read it with PyAV or decord, or check frame.interlaced_frame with PyAV
#   beforehand.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
for version in 4.12.0.88 4.13.0.92 5.0.0.93; do
    "${PYTHON:-python3}" -m venv "venv-$version"
    "venv-$version/bin/python" -m pip install --quiet --disable-pip-version-check \
        "opencv-python-headless==$version" av==18.1.0 numpy==2.2.6
    "venv-$version/bin/python" - 2>errors.txt <<'EOF'
import sys

import av
import cv2
import numpy as np

COUNT = 10
new = tuple(map(int, cv2.__version__.split(".")[:2])) >= (4, 13)
column = np.linspace(0, 255, 128).astype(np.uint8)
picture = np.dstack([np.tile(column, (128, 1))] * 3)  # a ramp from black to white
changed = False
for interlaced in (False, True):
    with av.open("film.mp4", "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"x264-params": "tff=1"} if interlaced else {})
        stream.width, stream.height, stream.pix_fmt = 128, 128, "yuv420p"
        for _ in range(COUNT):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    with av.open("film.mp4") as container:
        assert next(container.decode(video=0)).interlaced_frame == interlaced
    capture = cv2.VideoCapture("film.mp4")
    taken = [capture.read() for _ in range(COUNT)]
    right = [bool(np.abs(image.astype(int) - picture).mean() < 5) for _, image in taken if image is not None]
    kind = "interlaced" if interlaced else "progressive"
    print(f"opencv {cv2.__version__}, {kind}: read() is True for {sum(ok for ok, _ in taken)} of {COUNT} frames,", end=" ")
    print(f"the picture is right in {sum(right)}; mean of the last {taken[-1][1].mean():.1f} (in the film {picture.mean():.1f})")
    changed |= not all(ok for ok, _ in taken) or sum(right) != (0 if new and interlaced else COUNT)
sys.exit("the behaviour has changed" if changed else 0)
EOF
    grep -o "fmt:yuv420p.*" errors.txt | sort | uniq -c || true
done
