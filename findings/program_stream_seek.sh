#!/usr/bin/env bash
# Seeking in MPEG program streams (.mpg, .vob), which older datasets, DVDs and recorders use.
#
# Expected: the frame that has a certain time (pts) after a seek is the one that has this time when the file is read from
#   the start; readers by index return the frame of a sequential decode.
# What happens: a program stream gives a time only to some frames, and FFmpeg counts on from the last one; after a seek it
#   starts counting at another frame. In MPEG-1 (.mpg), more than half of the frames after a seek then have the time of
#   another one; in MPEG-2 (.vob), two thirds have times that do not occur when the file is read from the start. OpenCV
#   returns the wrong frame after more than half of its seeks. decord, going backwards, returns the wrong one for every
#   index but one, often off by a hundred frames. OpenCV says that the 200 frames are 175 to 194.
# Why it matters: a clip is cut from another part of the video than its annotation says, and comparing the times of the
#   frames, as for other containers, does not show it. Nothing is raised or printed.
# Instead: decode such files from the start, or remux them to MP4 (`ffmpeg -i film.mpg -c copy film.mp4`) and check the
#   times of the result.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    av==18.1.0 decord==0.6.0 opencv-python-headless==5.0.0.93 numpy==2.4.6
cd "$work"
venv/bin/python - <<'EOF'
import sys
from fractions import Fraction

import av
import cv2
import decord
import numpy as np

COUNT, RATE, BITS = 200, 25, 8
WANTED = range(5, COUNT - 5, 7)


def draw(number):
    """A picture with one white column for each bit of `number`."""
    picture = np.zeros((64, BITS * 16, 3), np.uint8)
    for bit in range(BITS):
        picture[8:56, bit * 16 : bit * 16 + 16] = 255 * (number >> bit & 1)
    return picture


def number_in(picture):
    """The number that `draw` has drawn."""
    columns = picture.reshape(64, BITS, 16, -1)[12:52, :, 4:12].mean(axis=(0, 2, 3))
    return sum(1 << bit for bit in range(BITS) if columns[bit] > 128)


def write(path, codec, b_frames):
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=RATE)
        stream.width, stream.height, stream.pix_fmt = BITS * 16, 64, "yuv420p"
        stream.codec_context.gop_size, stream.codec_context.max_b_frames, stream.bit_rate = 12, b_frames, 400_000
        for number in range(COUNT):
            frame = av.VideoFrame.from_ndarray(draw(number), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def with_pyav(path):
    """Frames with a time of another frame, and frames with an unknown time, of all that follow seeks; whether reading
    from the start is right."""
    with av.open(path) as container:
        read = [(frame.pts, number_in(frame.to_ndarray(format="rgb24"))) for frame in container.decode(video=0)]
    number_at = dict(read)
    other = unknown = count = 0
    for wanted in WANTED:
        with av.open(path) as container:
            container.seek(read[wanted][0], stream=container.streams.video[0])
            for _, frame in zip(range(12), container.decode(video=0)):
                number = number_in(frame.to_ndarray(format="rgb24"))
                count += 1
                unknown += frame.pts not in number_at
                other += number_at.get(frame.pts, number) != number
    return other, unknown, count, [number for _, number in read] == list(range(COUNT))


def with_opencv(path):
    capture = cv2.VideoCapture(path)
    found = []
    for wanted in WANTED:
        capture.set(cv2.CAP_PROP_POS_FRAMES, wanted)
        found.append(number_in(capture.read()[1]))
    return sum(number != wanted for number, wanted in zip(found, WANTED)), int(capture.get(cv2.CAP_PROP_FRAME_COUNT))


def with_decord(path):
    video = decord.VideoReader(path)
    forwards = [number_in(frame.asnumpy()) for frame in video] == list(range(COUNT))
    video = decord.VideoReader(path)
    found = {wanted: number_in(video[wanted].asnumpy()) for wanted in reversed(WANTED)}
    return sum(number != wanted for wanted, number in found.items()), forwards


print(f"av {av.__version__}, opencv {cv2.__version__}, decord {decord.__version__}")
ok = True
for path, codec, b_frames in (
    ("a.mpg", "mpeg1video", 0), ("b.mpg", "mpeg1video", 2), ("a.vob", "mpeg2video", 0), ("b.vob", "mpeg2video", 2)
):
    write(path, codec, b_frames)
    other, unknown, count, sequential = with_pyav(path)
    opencv, estimate = with_opencv(path)
    decord_wrong, forwards = with_decord(path)
    print(f"{path}, {codec}, {b_frames} B-frames: from the start, PyAV {'right' if sequential else 'wrong'}, "
          f"decord {'right' if forwards else 'wrong'}")
    print(f"  after seeks, PyAV: of {count} frames, {other} have the time of another one, {unknown} an unknown time")
    print(f"  by index: OpenCV {opencv} of {len(WANTED)} wrong ({estimate} frames, it says), decord backwards "
          f"{decord_wrong} of {len(WANTED)} wrong")
    ok &= sequential and forwards and other + unknown > count / 5 and opencv > 5 and decord_wrong > 20
sys.exit(0 if ok else "the behaviour has changed")
EOF
