#!/usr/bin/env bash
# The number of frames that libraries report for a fragmented MP4, and the frame that they return by index.
#
# Expected: a file that plays to its end has as many frames as its header says, and frame 100 is the 101st.
# What happens: in a fragmented MP4 (ffmpeg -movflags frag_keyframe), as recorders write it so that a crash loses little,
#   the header lists only the frames before the first fragment. PyAV's stream.frames, imageio's improps and OpenCV's
#   CAP_PROP_FRAME_COUNT are that number, 25 of 150. OpenCV also limits seeks to it: after set(CAP_PROP_POS_FRAMES, 100),
#   read() returns True and frame 25. decord is right. With empty_moov, PyAV and imageio say 0, and the others are right.
# Why it matters: sampling over the count takes all frames of a clip from its first moment, and nothing is raised.
# Instead: count the frames of a sequential decode, or remux first: ffmpeg -i in.mp4 -c copy out.mp4.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    av==18.1.0 decord==0.6.0 opencv-python-headless==5.0.0.93 imageio==2.38.1 imageio-ffmpeg==0.8.1 numpy==2.4.6
cd "$work"
OPENCV_FFMPEG_LOGLEVEL=-8 venv/bin/python - <<'EOF'
import subprocess
import sys

import av
import cv2
import decord
import imageio
import imageio.v3 as iio
import imageio_ffmpeg
import numpy as np

decord.logging.set_level(decord.logging.QUIET)
COUNT, INDEX = 150, 100


def draw(number):
    """The number in binary: eight columns, white for 1."""
    return np.repeat([[[255 * (number >> bit & 1)] * 3 for bit in range(8) for _ in range(16)]], 64, axis=0).astype(np.uint8)


def read(image):
    return sum((int(image[32, 16 * bit + 8].mean()) > 128) << bit for bit in range(8))


def ffmpeg(*arguments):
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error", *arguments]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def look(path):
    """Count and frame INDEX by each reader, and the count of a sequential decode."""
    with av.open(path) as container:
        stream = container.streams.video[0]
        found = {"PyAV": (stream.frames, None)}
        decoded = [read(frame.to_ndarray(format="rgb24")) for frame in container.decode(stream)]
    capture = cv2.VideoCapture(path)
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    capture.set(cv2.CAP_PROP_POS_FRAMES, INDEX)
    ok, image = capture.read()
    found["OpenCV"] = (count, read(image) if ok else None)
    reader = decord.VideoReader(path)
    found["decord"] = (len(reader), read(reader[INDEX].asnumpy()) if INDEX < len(reader) else None)
    found["imageio"] = (iio.improps(path, plugin="pyav").shape[0], read(iio.imread(path, index=INDEX, plugin="pyav")))
    return decoded, found


print(f"av {av.__version__}, opencv {cv2.__version__}, decord {decord.__version__}, imageio {imageio.__version__},", end=" ")
print(f"ffmpeg {imageio_ffmpeg.get_ffmpeg_version()}")
with av.open("plain.mp4", "w") as container:
    stream = container.add_stream("libx264", rate=25, options={"g": "25", "sc_threshold": "0"})
    stream.width, stream.height, stream.pix_fmt = 128, 64, "yuv420p"
    for number in range(COUNT):
        container.mux(stream.encode(av.VideoFrame.from_ndarray(draw(number), format="rgb24")))
    container.mux(stream.encode(None))
ffmpeg("-i", "plain.mp4", "-c", "copy", "-movflags", "frag_keyframe", "fragmented.mp4")
ffmpeg("-i", "plain.mp4", "-c", "copy", "-movflags", "frag_keyframe+empty_moov", "empty_moov.mp4")
results = {}
for name in ("plain", "fragmented", "empty_moov"):
    decoded, results[name] = look(f"{name}.mp4")
    assert decoded == list(range(COUNT)), "every file has all frames"
    print(f"{name}.mp4: {COUNT} frames in a sequential decode")
    for reader, (count, frame) in results[name].items():
        print(f"    {reader:<8} says {count:3} frames" + (f"; frame {INDEX} is {frame}" if reader != "PyAV" else ""))
fragmented, empty = results["fragmented"], results["empty_moov"]
right = (COUNT, INDEX)
as_described = (
    all(found == right for reader, found in results["plain"].items() if reader != "PyAV")
    and fragmented["PyAV"][0] == fragmented["OpenCV"][0] == fragmented["imageio"][0] == 25
    and fragmented["OpenCV"][1] == 25 and fragmented["decord"] == right and fragmented["imageio"][1] == INDEX
    and empty["PyAV"][0] == empty["imageio"][0] == 0 and empty["OpenCV"] == empty["decord"] == right
)
sys.exit(0 if as_described else "the behaviour has changed")
EOF
