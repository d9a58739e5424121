#!/usr/bin/env bash
# Frames of an MPEG transport stream (.ts, .mts: TV, camcorders, live streams), read by decord and OpenCV.
#
# Expected: vr[0] is the first frame of the file, and reading vr[0], vr[1], ... in order needs no seeking at all.
# What happens: times in a transport stream do not start at zero (FFmpeg starts at 1.4 s), but decord looks up frames
#   as if they did. Its frame 0 is the first frame of the second group of pictures, all others are shifted likewise,
#   and the last frames repeat; the first group is never returned. The length is right and nothing is raised (a line
#   is logged). OpenCV reads forwards correctly, but after setting CAP_PROP_POS_FRAMES the first group is missing,
#   too. Both read the same film in MP4 correctly.
# Why it matters: every label of such a file belongs to a film that is shifted by a whole group (often 1 to 10
#   seconds).
# Instead: remux first (ffmpeg -i a.ts -c copy a.mp4), or decode from the start and count.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    av==18.1.0 decord==0.6.0 opencv-python-headless==5.0.0.93 numpy==2.4.6
cd "$work"
OPENCV_FFMPEG_LOGLEVEL=-8 venv/bin/python - <<'EOF'
import sys

import av
import cv2
import decord
import numpy as np

COUNT, GOP = 90, 30

decord.logging.set_level(decord.logging.QUIET)


def draw(number):
    """The number in binary: eight columns, white for 1."""
    return np.repeat([[[255 * (number >> bit & 1)] * 3 for bit in range(8) for _ in range(16)]], 64, axis=0).astype(np.uint8)


def read(image):
    return sum((int(image[32, 16 * bit + 8].mean()) > 128) << bit for bit in range(8))


def opencv(path, index):
    capture = cv2.VideoCapture(path)
    capture.set(cv2.CAP_PROP_POS_FRAMES, index)
    ok, image = capture.read()
    return read(image) if ok else None


print(f"av {av.__version__}, decord {decord.__version__}, opencv {cv2.__version__}")
wrong = {}
for path in ("film.mp4", "film.ts"):
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"bf": "2", "g": str(GOP), "sc_threshold": "0"})
        stream.width, stream.height, stream.pix_fmt = 128, 64, "yuv420p"
        for number in range(COUNT):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(draw(number), format="rgb24")))
        container.mux(stream.encode(None))
    with av.open(path) as container:
        assert [read(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)] == list(range(COUNT))
    reader = decord.VideoReader(path, num_threads=1)
    capture = cv2.VideoCapture(path)
    numbers = {
        "decord, forwards": [read(reader[k].asnumpy()) for k in range(len(reader))],
        "OpenCV, forwards": [read(capture.read()[1]) for _ in range(COUNT)],
        "OpenCV, POS_FRAMES": [opencv(path, k) for k in range(COUNT)],
    }
    print(f"{path}: {COUNT} frames, key frames at 0, {GOP} and {2 * GOP}")
    for name, seen in numbers.items():
        wrong[path, name] = sum(k != number for k, number in enumerate(seen))
        print(f"    {name:<20} {len(seen)} frames: {seen[:4]} ... {seen[-4:]}; {wrong[path, name]} are others")
        if (path, name) == ("film.ts", "decord, forwards") and (seen[0] != GOP or 0 in seen):
            sys.exit("the behaviour has changed")

bad = {key for key, count in wrong.items() if count}
if bad != {("film.ts", "decord, forwards"), ("film.ts", "OpenCV, POS_FRAMES")}:
    sys.exit("the behaviour has changed")
EOF
