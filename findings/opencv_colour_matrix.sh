#!/usr/bin/env bash
# The colours of HD video (BT.709) in OpenCV 4.12 and 4.13, and in video_reader-rs.
#
# Expected: readers built on FFmpeg agree to a level or two, and upgrading OpenCV does not change pixels.
# What happens: up to 4.12, OpenCV converts everything with the matrix of SD video (BT.601). Since 4.13 it uses the
#   matrix that the file names. In HD files, which nearly always name BT.709, saturated colours change by up to 23
#   levels. video_reader-rs ignores what the file names: at this size it treats BT.601 as BT.709, and full range (many
#   phones) as limited range, with errors of up to 50 levels. PyAV and decord follow the file.
# Why it matters: a model trained with one version is tested on other colours with another one, and neither the code
#   of the model nor its log shows it.
# Instead: pin the reader together with the dataset, record its version with each result, and compare a frame after
#   upgrades.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
for version in 4.12.0.88 4.13.0.92; do
    "${PYTHON:-python3}" -m venv "venv-$version"
    "venv-$version/bin/python" -m pip install --quiet --disable-pip-version-check \
        "opencv-python-headless==$version" av==18.1.0 decord==0.6.0 video-reader-rs==0.4.0 numpy==2.2.6
    "venv-$version/bin/python" - "$version" <<'EOF' | grep -v "failed to load lib"
import sys
from importlib.metadata import version

import av
import cv2
import decord
import numpy as np
import video_reader

COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (200, 120, 60), (16, 16, 16), (240, 240, 240)]
LIMITED, FULL, BT709, BT601 = 1, 2, 1, 5
FILMS = {"BT.601, limited": (BT601, LIMITED), "BT.601, full": (BT601, FULL), "BT.709, limited": (BT709, LIMITED)}
READERS = {
    "OpenCV": lambda path: cv2.VideoCapture(path).read()[1][:, :, ::-1],
    "PyAV": lambda path: next(av.open(path).decode(video=0)).to_ndarray(format="rgb24"),
    "decord": lambda path: decord.VideoReader(path)[0].asnumpy(),
    "video_reader": lambda path: video_reader.PyVideoReader(path).get_batch([0])[0],
}
WRONG = {("video_reader", "BT.601, limited"), ("video_reader", "BT.601, full")}
if sys.argv[1].startswith("4.12"):
    WRONG.add(("OpenCV", "BT.709, limited"))

print(f"opencv {cv2.__version__}, av {av.__version__}, decord {decord.__version__},", end=" ")
print(f"video_reader-rs {version('video-reader-rs')}: the largest error of any colour, in levels")
picture = np.repeat([[colour for colour in COLOURS for _ in range(160)]], 720, axis=0).astype(np.uint8)
found = set()
for film, (matrix, levels) in FILMS.items():
    with av.open("film.mp4", "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "5"})
        stream.height, stream.width, stream.pix_fmt = *picture.shape[:2], "yuv420p"
        stream.codec_context.colorspace, stream.codec_context.color_range = matrix, levels
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(frame.reformat(format="yuv420p", dst_colorspace=matrix, dst_color_range=levels)))
        container.mux(stream.encode(None))
    errors = {}
    for name, reader in READERS.items():
        sampled = reader("film.mp4")[360, 80::160].astype(int)
        errors[name] = int(np.abs(sampled - COLOURS).max())
        if errors[name] > 10:
            found.add((name, film))
    print(f"    {film:<16}", ", ".join(f"{name} {error}" for name, error in errors.items()))
sys.exit("the behaviour has changed" if found != WRONG else 0)
EOF
done
