#!/usr/bin/env bash
# The number of frames that decord and OpenCV report for a clip cut by stream copy, and for WebM with hidden frames.
#
# Expected: len(decord.VideoReader(path)) is the number of frames that can be read, and so is OpenCV's
#   CAP_PROP_FRAME_COUNT.
# What happens: decord counts packets, and so does OpenCV in MP4. "ffmpeg -ss T -i film.mp4 -c copy clip.mp4" keeps
#   all packets since the last key frame and hides those before T with an edit list. VP8 and VP9 store frames that are
#   never shown. For indices beyond the real end, decord returns the last frame again and again. It raises nothing;
#   after 23 of them it logs a line about "corrupted" frames. OpenCV's read() fails there.
# Why it matters: cutting Kinetics or AVA clips by stream copy is common, and YouTube and Something-Something deliver
#   WebM. Uniform sampling over len(reader) then takes a part of all frames from a still image (28 % here), in
#   training and in testing.
# Instead: count the frames of a sequential decode once and keep that number in the list, or re-encode when cutting.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    av==18.1.0 decord==0.6.0 opencv-python-headless==5.0.0.93 imageio-ffmpeg==0.8.1 numpy==2.4.6
cd "$work"
OPENCV_FFMPEG_LOGLEVEL=-8 venv/bin/python - <<'EOF'
import subprocess
import sys

import av
import cv2
import decord
import imageio_ffmpeg
import numpy as np

decord.logging.set_level(decord.logging.QUIET)


def draw(number):
    """The number in binary: eight columns, white for 1."""
    return np.repeat([[[255 * (number >> bit & 1)] * 3 for bit in range(8) for _ in range(16)]], 64, axis=0).astype(np.uint8)


def read(image):
    return sum((int(image[32, 16 * bit + 8].mean()) > 128) << bit for bit in range(8))


def ffmpeg(*arguments):
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error", *arguments]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


print(f"av {av.__version__}, decord {decord.__version__}, opencv {cv2.__version__},", end=" ")
print(f"ffmpeg {imageio_ffmpeg.get_ffmpeg_version()}")
with av.open("film.mp4", "w") as container:
    stream = container.add_stream("libx264", rate=25, options={"bf": "2", "g": "30", "sc_threshold": "0"})
    stream.width, stream.height, stream.pix_fmt = 128, 64, "yuv420p"
    for number in range(90):
        container.mux(stream.encode(av.VideoFrame.from_ndarray(draw(number), format="rgb24")))
    container.mux(stream.encode(None))
ffmpeg("-ss", "1", "-i", "film.mp4", "-c", "copy", "cut.mp4")
for number in ("1", "2"):  # libvpx makes hidden reference frames in the second of two passes
    lag = ("-auto-alt-ref", "1", "-lag-in-frames", "25", "-pass", number, "-passlogfile", "passes")
    ffmpeg("-i", "film.mp4", "-c:v", "libvpx", "-b:v", "60k", *lag, "hidden.webm")

for path in ("film.mp4", "cut.mp4", "hidden.webm"):
    with av.open(path) as container:
        packets = sum(1 for packet in container.demux(video=0) if packet.size)
    with av.open(path) as container:
        frames = [read(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    count = int(cv2.VideoCapture(path).get(cv2.CAP_PROP_FRAME_COUNT))
    reader = decord.VideoReader(path, num_threads=1)
    numbers = [read(reader[k].asnumpy()) for k in range(len(reader))]
    still = numbers[len(frames) :]
    print(f"{path:<12} packets {packets}, frames {len(frames)}, OpenCV's count {count}, decord's length {len(reader)};", end=" ")
    print(f"decord's last frames {numbers[-5:]}, so {len(still) / len(numbers):.0%} of its indices repeat the last one")
    if len(reader) != packets or set(still) - {frames[-1]} or (path == "film.mp4") != (len(frames) == packets):
        sys.exit("the behaviour has changed")
    if path == "cut.mp4" and (count, len(frames)) != (90, 65):
        sys.exit("the behaviour has changed")
EOF
