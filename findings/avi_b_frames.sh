#!/usr/bin/env bash
# Frames of an AVI or WMV file with B-frames, read by index.
#
# Expected: if every packet of a file has its own presentation time, frames can be read at random. Sort the packets by
#   packet.pts, and the k-th time is that of frame k.
# What happens: AVI and ASF store no presentation times. FFmpeg makes them up by counting packets in decoding order.
#   No time is missing and none occurs twice, so nothing looks wrong, but the times belong to other packets: the frame
#   that is decoded for time k is often not frame k. imageio's index=k is wrong for nearly every frame. decord returns
#   frames of another group of pictures once it has to seek backwards. OpenCV is right.
# Why it matters: NTU RGB+D, UCF101, HMDB51 and much surveillance footage are AVI. Clips keep their label, but lose
#   their order or come from another part of the film, without an error.
# Instead: decode such containers from the start and count frames, or remux to MP4 or MKV by decoding and encoding
#   once.
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

COUNT, GOP = 60, 30

decord.logging.set_level(decord.logging.QUIET)


def draw(number):
    """The number in binary: eight columns, white for 1."""
    return np.repeat([[[255 * (number >> bit & 1)] * 3 for bit in range(8) for _ in range(16)]], 64, axis=0).astype(np.uint8)


def read(image):
    return sum((int(image[32, 16 * bit + 8].mean()) > 128) << bit for bit in range(8))


def write(path):
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"bf": "2", "g": str(GOP), "sc_threshold": "0"})
        stream.width, stream.height, stream.pix_fmt = 128, 64, "yuv420p"
        for number in range(COUNT):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(draw(number), format="rgb24")))
        container.mux(stream.encode(None))


def opencv(path, index):
    capture = cv2.VideoCapture(path)
    capture.set(cv2.CAP_PROP_POS_FRAMES, index)
    return capture.read()[1]


print(f"av {av.__version__}, decord {decord.__version__}, imageio {imageio.__version__}, opencv {cv2.__version__}")
found = {}
for path in ("film.mp4", "film.avi", "film.wmv"):
    write(path)
    with av.open(path) as container:
        times = [packet.pts for packet in container.demux(video=0) if packet.size]
    with av.open(path) as container:
        frames = [(read(frame.to_ndarray(format="rgb24")), frame.pts) for frame in container.decode(video=0)]
    assert [number for number, _ in frames] == list(range(COUNT)), "a sequential decode gives every frame"
    assert None not in times and len(set(times)) == COUNT
    order = {time: number for number, time in frames}
    by_time = [order.get(time) for time in sorted(times)]
    reader = decord.VideoReader(path, num_threads=1)
    backwards = [read(reader[k].asnumpy()) for k in reversed(range(COUNT))][::-1]
    readings = {
        "PyAV, sorted by pts": by_time,
        "imageio, index=k": [read(iio.imread(path, index=k, plugin="pyav")) for k in range(COUNT)],
        "decord, backwards": backwards,
        "OpenCV, POS_FRAMES": [read(opencv(path, k)) for k in range(COUNT)],
    }
    print(f"{path}: packet times {times[:6]} ..., frame times {[time for _, time in frames[:6]]} ...")
    for reader_name, numbers in readings.items():
        wrong = [(k, number) for k, number in enumerate(numbers) if number != k]
        found[path, reader_name] = len(wrong)
        print(f"    {reader_name:<20} {len(wrong):2} of {COUNT} frames are others", *(f"{k}->{n}" for k, n in wrong[:6]))

right = {key for key, wrong in found.items() if key[0] == "film.mp4" or key[1].startswith("OpenCV")}
if any(bool(wrong) == (key in right) for key, wrong in found.items()):
    sys.exit("the behaviour has changed")
EOF
